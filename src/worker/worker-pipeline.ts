/** DiffEditPipeline's face on the page's side of a worker. */
import type { FolderSource } from '../core/tensor-source.ts';
import type { RgbImage } from '../io/image.ts';
import type { FromSingleFileOptions, PretrainedOptions } from '../pipeline/diffedit/pretrained-options.ts';
import type { Recommended } from '../pipeline/diffedit/recommended.ts';
import type { ReconstructArgs, Reconstruction } from '../pipeline/diffedit/reconstruct.ts';
import type {
  AsPictures,
  EditArgs,
  EditOutput,
  GenerateMaskArgs,
  InversionOutput,
  InvertArgs,
  MaskOutput,
  RunArgs,
  RunOutput,
} from '../pipeline/diffedit/types.ts';
import type { CallPlanOptions } from '../pipeline/diffusion/call-planner.ts';
import type { SavingsPlan } from '../pipeline/diffusion/planned-call.ts';
import type { StepEvent } from '../pipeline/diffusion/sampling-loop.ts';
import type { SingleFileSource } from '../pipeline/diffusion/single-file-options.ts';
import type { CallPlan } from '../pipeline/runtime/memory-plan.ts';
import { startWorker } from './start.ts';
import { type InWorker, type Opened, openInWorker } from './worker-model.ts';
import { type StableDiffusionFacts, seenFromWorker, WorkerStableDiffusion } from './worker-stable-diffusion.ts';

/** What the page knows of a pipeline without asking. */
export interface WorkerPipelineFacts extends StableDiffusionFacts {
  /** What the model's folder recommends; undefined where it recommends nothing. */
  readonly recommended: Recommended | undefined;
  /** scheduler_config.json of the inversion, as `scheduler` is that of mask and edit. */
  readonly inverseScheduler: Readonly<Record<string, unknown>>;
}

/**
 * Opens a pipeline in a worker: `DiffEditPipeline.fromPretrained`, told from afar.
 * @param source urlFolder, hubUrlFolder, cachedFolder of either, directoryHandleFolder, fileListFolder, mapFolder: made again in the worker; a
 * folder of another kind is read by messages
 * @param options those of fromPretrained but `gpu`; functions are called in the page
 * @throws as fromPretrained, errors of the same class; DeviceError for a worker that does not start
 */
export async function createWorkerPipeline(
  source: FolderSource,
  options: InWorker<PretrainedOptions> = {},
): Promise<WorkerPipeline> {
  return new WorkerPipeline(await openInWorker('createWorkerPipeline', 'diffedit', source, options, startWorker));
}

/**
 * Opens a checkpoint in one file in a worker: `DiffEditPipeline.fromSingleFile`, told from afar.
 * @param source a File or Blob, an address, which may be relative to the page, bytes, or a ByteSource, which is read by messages
 * @throws as fromSingleFile
 */
export async function createWorkerPipelineFromSingleFile(
  source: SingleFileSource,
  options: InWorker<FromSingleFileOptions> = {},
): Promise<WorkerPipeline> {
  const op = 'createWorkerPipelineFromSingleFile';
  return new WorkerPipeline(await openInWorker(op, 'single-file', seenFromWorker(source), options, startWorker));
}

/** DiffEditPipeline in a worker: the same methods and arguments; those that answer at once there are promises here. */
export class WorkerPipeline extends WorkerStableDiffusion {
  /** What the model's folder recommends: `run({ ...recommended?.settings, ...yours })`. */
  readonly recommended: Recommended | undefined;
  /** scheduler_config.json of the inversion, as `schedulerConfig` is that of mask and edit. */
  readonly inverseSchedulerConfig: Readonly<Record<string, unknown>>;

  /** @internal */
  constructor(opened: Opened<WorkerPipelineFacts>) {
    super(opened);
    const { facts } = opened;
    this.recommended = facts.recommended;
    this.inverseSchedulerConfig = facts.inverseScheduler;
  }

  /** Finds what changes between two prompts. @throws as DiffEditPipeline.generateMask */
  generateMask(args: GenerateMaskArgs): Promise<MaskOutput> {
    return this.call('generateMask', [args]);
  }

  /** Runs the picture backwards to noise. @throws as DiffEditPipeline.invert */
  invert(args: InvertArgs): Promise<InversionOutput> {
    return this.call('invert', [args]);
  }

  /** `invert` step by step. Leaving the loop early frees everything. */
  invertSteps(args: InvertArgs): AsyncGenerator<StepEvent, InversionOutput> {
    return this.steps('invertSteps', [args]);
  }

  /** Denoises under the prompt where the mask is set. @throws as DiffEditPipeline.edit */
  edit(args: EditArgs & AsPictures): Promise<EditOutput<RgbImage[]>>;
  edit(args: EditArgs): Promise<EditOutput>;
  edit(args: EditArgs): Promise<EditOutput> {
    return this.call('edit', [args]);
  }

  /** `edit` step by step. Leaving the loop early frees everything. */
  editSteps(args: EditArgs): AsyncGenerator<StepEvent, EditOutput> {
    return this.steps('editSteps', [args]);
  }

  /** All three phases. @throws as DiffEditPipeline.run */
  run(args: RunArgs & AsPictures): Promise<RunOutput<RgbImage[]>>;
  run(args: RunArgs): Promise<RunOutput>;
  run(args: RunArgs): Promise<RunOutput> {
    return this.call('run', [args]);
  }

  /** `run` step by step. Leaving the loop early frees everything. */
  runSteps(args: RunArgs): AsyncGenerator<StepEvent, RunOutput> {
    return this.steps('runSteps', [args]);
  }

  /** A picture inverted and denoised again under the same prompt. @throws as DiffEditPipeline.reconstruct */
  reconstruct(args: ReconstructArgs): Promise<Reconstruction> {
    return this.call('reconstruct', [args]);
  }

  /** What `run` would take, known before it. @throws as DiffEditPipeline.plan */
  plan(args: RunArgs, options: CallPlanOptions = {}): Promise<CallPlan> {
    return this.call('plan', [args, options]);
  }

  /** What `run` would take with each way to save memory. @throws as DiffEditPipeline.planSavings */
  planSavings(args: RunArgs, options: CallPlanOptions = {}): Promise<SavingsPlan[]> {
    return this.call('planSavings', [args, options]);
  }
}

/** DiffEditPipeline's face on the page's side of a worker. */
import type { NdArray } from '../core/ndarray.ts';
import type { FolderSource } from '../core/tensor-source.ts';
import type { Caps } from '../gpu/caps.ts';
import type { PictureSize, RgbImage } from '../io/image.ts';
import { fullAddress } from '../io/sources.ts';
import type { TileSizes } from '../models/stable-diffusion/index.ts';
import type { CallPlanOptions, SavingsPlan } from '../pipeline/diffedit/call-planner.ts';
import type { FromSingleFileOptions, PretrainedOptions } from '../pipeline/diffedit/pretrained-options.ts';
import type { Recommended } from '../pipeline/diffedit/recommended.ts';
import type { ReconstructArgs, Reconstruction } from '../pipeline/diffedit/reconstruct.ts';
import type {
  AsPictures,
  CommonArgs,
  EditArgs,
  EditOutput,
  EncodePromptOptions,
  GenerateMaskArgs,
  InversionOutput,
  InvertArgs,
  MaskOutput,
  PromptEmbeddings,
  RunArgs,
  RunOutput,
} from '../pipeline/diffedit/types.ts';
import type { LoraOptions } from '../pipeline/diffusion/lora-adapters.ts';
import type { LoraSource } from '../pipeline/diffusion/lora-file.ts';
import type { Prompt } from '../pipeline/diffusion/prompt-arguments.ts';
import type { StepEvent } from '../pipeline/diffusion/sampling-loop.ts';
import type { SingleFileSource } from '../pipeline/diffusion/single-file-options.ts';
import type { EmbeddingSource, TextualInversionOptions } from '../pipeline/diffusion/textual-inversion-sources.ts';
import type { CallPlan } from '../pipeline/runtime/memory-plan.ts';
import type { CallOptions } from '../pipeline/runtime/progress.ts';
import { startWorker } from './start.ts';
import { type InWorker, type Opened, openInWorker, WorkerModel } from './worker-model.ts';

/** What the page knows of a pipeline without asking. */
export interface WorkerPipelineFacts {
  /** What its device grants. */
  readonly caps: Caps;
  /** Of activations, and, for float16, of weights. */
  readonly dtype: 'float32' | 'float16';
  /** Pixels behind one latent side. */
  readonly vaeScaleFactor: number;
  /** The size in pixels that the model was trained on. */
  readonly defaultSize: PictureSize;
  /** What the model's folder recommends; undefined where it recommends nothing. */
  readonly recommended: Recommended | undefined;
  /** scheduler_config.json of mask and edit, for DDIMScheduler.fromConfig. */
  readonly scheduler: Readonly<Record<string, unknown>>;
  /** The same of the inversion. */
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
  const isAddress = typeof source === 'string' || source instanceof URL;
  const there = isAddress ? fullAddress(String(source)) : source;
  return new WorkerPipeline(await openInWorker(op, 'single-file', there, options, startWorker));
}

/** DiffEditPipeline in a worker: the same methods and arguments; those that answer at once there are promises here. */
export class WorkerPipeline extends WorkerModel {
  /** Pixels behind one latent side. */
  readonly vaeScaleFactor: number;
  /** The size in pixels that the model was trained on. */
  readonly defaultSize: PictureSize;
  /** What the model's folder recommends: `run({ ...recommended?.settings, ...yours })`. */
  readonly recommended: Recommended | undefined;
  /** scheduler_config.json of mask and edit, for DDIMScheduler.fromConfig. */
  readonly schedulerConfig: Readonly<Record<string, unknown>>;
  /** The same of the inversion. */
  readonly inverseSchedulerConfig: Readonly<Record<string, unknown>>;

  /** @internal */
  constructor(opened: Opened<WorkerPipelineFacts>) {
    super(opened);
    const { facts } = opened;
    this.vaeScaleFactor = facts.vaeScaleFactor;
    this.defaultSize = facts.defaultSize;
    this.recommended = facts.recommended;
    this.schedulerConfig = facts.scheduler;
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

  /** Embeddings of prompts. @throws as DiffEditPipeline.encodePrompt */
  encodePrompt(prompt: Prompt, options: EncodePromptOptions = {}): Promise<PromptEmbeddings> {
    return this.call('encodePrompt', [prompt, options]);
  }

  /** One embedding for many sentences, [1, L, D]. */
  embedPrompts(sentences: readonly string[], options: CommonArgs = {}): Promise<NdArray> {
    return this.call('embedPrompts', [sentences, options]);
  }

  /** Loads a LoRA and makes it the one that acts. @returns its name. @throws as DiffEditPipeline.loadLoraWeights */
  loadLoraWeights(source: LoraSource, options: LoraOptions & CallOptions = {}): Promise<string> {
    return this.call('loadLoraWeights', [source, options], true);
  }

  /** Chooses which adapters act. @throws as DiffEditPipeline.setAdapters */
  setAdapters(names: string | readonly string[], weights?: number | readonly number[]): Promise<void> {
    return this.call('setAdapters', [names, weights]);
  }

  /** Names of the adapters that act. */
  getActiveAdapters(): Promise<string[]> {
    return this.call('getActiveAdapters', []);
  }

  /** Names of all adapters, by the network that they change. */
  getListAdapters(): Promise<{
    /** Of the denoiser. */
    readonly unet: string[];
    /** Of the text encoder. */
    readonly textEncoder: string[];
  }> {
    return this.call('getListAdapters', []);
  }

  /** Forgets adapters and closes their files. @throws as DiffEditPipeline.deleteAdapters */
  deleteAdapters(names: string | readonly string[]): Promise<void> {
    return this.call('deleteAdapters', [names]);
  }

  /** Forgets all adapters. */
  unloadLoraWeights(): Promise<void> {
    return this.call('unloadLoraWeights', []);
  }

  /** Teaches the prompts words. @throws as DiffEditPipeline.loadTextualInversion */
  loadTextualInversion(
    source: EmbeddingSource | readonly EmbeddingSource[],
    options: TextualInversionOptions = {},
  ): Promise<readonly string[]> {
    return this.call('loadTextualInversion', [source, options]);
  }

  /** The words that are loaded. */
  getTextualInversions(): Promise<readonly string[]> {
    return this.call('getTextualInversions', []);
  }

  /** Takes such words away again. @param tokens all by default */
  unloadTextualInversion(tokens?: string | readonly string[]): Promise<void> {
    return this.call('unloadTextualInversion', [tokens]);
  }

  /** Decodes pictures one at a time: less memory, the same numbers. */
  enableVaeSlicing(): Promise<void> {
    return this.call('enableVaeSlicing', []);
  }

  /** Decodes pictures of a batch together again. */
  disableVaeSlicing(): Promise<void> {
    return this.call('disableVaeSlicing', []);
  }

  /** Encodes and decodes larger pictures by overlapping tiles. @throws as DiffEditPipeline.enableVaeTiling */
  enableVaeTiling(sizes: Partial<TileSizes> = {}): Promise<void> {
    return this.call('enableVaeTiling', [sizes]);
  }

  /** Encodes and decodes pictures whole again. */
  disableVaeTiling(): Promise<void> {
    return this.call('disableVaeTiling', []);
  }
}

/**
 * What edits behind DiffEditPipeline: the opened model, and what each method asks of it. In a file of its own, so that a page loads it, and
 * networks and kernels with it, when it opens a model.
 */
import type { NdArray } from '../../core/ndarray.ts';
import type { FolderSource } from '../../core/tensor-source.ts';
import type { RgbImage } from '../../io/image.ts';
import type { CallPlanOptions } from '../diffusion/call-planner.ts';
import { LatentDiffusion } from '../diffusion/latent-diffusion.ts';
import type { PlannedCall, SavingsPlan } from '../diffusion/planned-call.ts';
import type { Prompt } from '../diffusion/prompt-arguments.ts';
import { repeatRows } from '../diffusion/rows.ts';
import type { StepEvent } from '../diffusion/sampling-loop.ts';
import { SharedModel } from '../diffusion/shared-model.ts';
import type { SingleFileSource } from '../diffusion/single-file-options.ts';
import type { DeviceCall } from '../runtime/device-call.ts';
import type { CallPlan } from '../runtime/memory-plan.ts';
import { warner } from '../runtime/model-options.ts';
import { type OpenedModel, openFile, openFolder } from './open-model.ts';
import { editRequest, encodeRequest, invertRequest, maskRequest, type RequestHome } from './phase-requests.ts';
import { plannedCall } from './plan-request.ts';
import type { FromSingleFileOptions, PretrainedOptions } from './pretrained-options.ts';
import { type ReconstructArgs, type Reconstruction, reconstructionOf, reconstructRequest } from './reconstruct.ts';
import type { Request } from './request.ts';
import { type PhaseResults, runPhases } from './run-phases.ts';
import { runRequest } from './run-request.ts';
import type {
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
} from './types.ts';

/** The model of a folder, for `DiffEditPipeline.fromPretrained`. @throws as it does */
export async function editModelOfFolder(source: FolderSource, options: PretrainedOptions): Promise<EditModel> {
  return new EditModel(await openFolder(source, options), options);
}

/** The model of a single file, for `DiffEditPipeline.fromSingleFile`. @throws as it does */
export async function editModelOfFile(source: SingleFileSource, options: FromSingleFileOptions): Promise<EditModel> {
  return new EditModel(await openFile(source, options), options);
}

/** An opened model; its methods are those of the pipeline, which says what they do. */
export class EditModel {
  /** What it has in common with other pipelines. */
  readonly shared: SharedModel;
  /** The model's folder, as it was read. */
  readonly folder: OpenedModel['folder'];
  readonly #diffusion: LatentDiffusion;
  readonly #home: RequestHome;

  constructor(opened: OpenedModel, options: PretrainedOptions) {
    const { folder } = opened;
    const { scheduler, inverseScheduler } = folder.schedulers;
    const shared = new SharedModel(opened, warner(options));
    const model = new LatentDiffusion(shared.parts, { sampler: scheduler, inverseSampler: inverseScheduler });
    this.shared = shared;
    this.folder = folder;
    this.#diffusion = model;
    this.#home = { model, mendQuirks: options.mendQuirks ?? false, adapters: () => shared.loras.active };
  }

  /** `generateMask`, step by step. */
  maskSteps(args: GenerateMaskArgs): AsyncGenerator<StepEvent, MaskOutput> {
    return this.#perform('generateMask', args, maskRequest, ({ mask }) => mask as MaskOutput);
  }

  /** `invert`, step by step. */
  invertSteps(args: InvertArgs): AsyncGenerator<StepEvent, InversionOutput> {
    return this.#perform('invert', args, invertRequest, ({ inversion }) => inversion as InversionOutput);
  }

  /** `edit`, step by step. */
  editSteps(args: EditArgs): AsyncGenerator<StepEvent, EditOutput> {
    return this.#perform('edit', args, editRequest, ({ images }) => {
      return { images: images as RgbImage[] | NdArray, nsfwContentDetected: undefined };
    });
  }

  /** `run`, step by step. */
  runSteps(args: RunArgs): AsyncGenerator<StepEvent, RunOutput> {
    return this.#perform('run', args, runRequest, ({ mask, inversion, images }, { timings }) => ({
      ...(mask ? { mask } : {}),
      ...(inversion ? { latents: inversion.latents } : {}),
      ...(inversion?.noise ? { noise: inversion.noise } : {}),
      ...{ images: images as RgbImage[] | NdArray, timings: { ...timings } },
    }));
  }

  /** `reconstruct`, step by step. */
  reconstructSteps(args: ReconstructArgs): AsyncGenerator<StepEvent, Reconstruction> {
    return this.#perform('reconstruct', args, reconstructRequest, reconstructionOf);
  }

  /** `plan` */
  async plan(args: RunArgs, options: CallPlanOptions): Promise<CallPlan> {
    return this.shared.planner.plan(args, options, () => this.#planned(args));
  }

  /** `planSavings` */
  async planSavings(args: RunArgs, options: CallPlanOptions): Promise<SavingsPlan[]> {
    return this.shared.planner.savings(args, options, () => this.#planned(args));
  }

  #planned(args: RunArgs): PlannedCall {
    return plannedCall(this.#diffusion, runRequest(args, this.#home));
  }

  /** `encodePrompt` */
  encodePrompt(prompt: Prompt, options: EncodePromptOptions): Promise<PromptEmbeddings> {
    const work = async (call: DeviceCall): Promise<PromptEmbeddings> => {
      const { prompts, copies } = encodeRequest(prompt, options, this.#home);
      await this.shared.planner.prepareText('encodePrompt', call, prompts);
      const { positive, negative } = await this.#diffusion.prompts.encode(call, prompts);
      const many = (embeds: NdArray): NdArray => repeatRows(embeds, copies);
      return { promptEmbeds: many(positive), negativePromptEmbeds: many(negative as NdArray) };
    };
    return this.shared.device.call('encodePrompt', options, work);
  }

  /** Settles the arguments, then performs what they ask for. */
  #perform<A extends CommonArgs, T>(
    op: string,
    args: A,
    request: (args: A, home: RequestHome) => Request,
    result: (results: PhaseResults, call: DeviceCall) => T,
  ): AsyncGenerator<StepEvent, T> {
    const [home, { planner, device }] = [this.#home, this.shared];
    const show = (accepted: Request): void => this.#showTimesteps(accepted);
    let settled: Request | undefined; // once: work that is done again draws from the same random streams
    return device.steps(op, args, async function* (call) {
      settled ??= request(args, home);
      await planner.prepare(op, call, plannedCall(home.model, settled));
      show(settled);
      return result(yield* runPhases(call, home.model, settled), call);
    });
  }

  /** The public schedulers have the timesteps of the last call that was accepted, for whoever reads them; no phase does. */
  #showTimesteps({ mask, invert, edit }: Request): void {
    const { scheduler, inverseScheduler } = this.folder.schedulers;
    const forwards = edit ?? mask;
    if (forwards) scheduler.setTimesteps(forwards.numInferenceSteps);
    if (invert) inverseScheduler.setTimesteps(invert.numInferenceSteps);
  }
}

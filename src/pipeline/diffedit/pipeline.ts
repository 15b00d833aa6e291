/**
 * DiffEdit: find what two prompts disagree about, invert the picture, edit under the mask.
 * Couairon et al. 2022, https://arxiv.org/abs/2210.11427. Reference: diffusers 0.34.0, StableDiffusionDiffEditPipeline.
 * The phases themselves are in mask-phase, invert-phase and edit-phase; docs/parity.md lists what differs.
 */
import type { NdArray } from '../../core/ndarray.ts';
import type { FolderSource } from '../../core/tensor-source.ts';
import type { RgbImage } from '../../io/image.ts';
import type { TileSizes } from '../../models/stable-diffusion/index.ts';
import type { DDIMInverseScheduler, DDIMScheduler } from '../../schedulers/index.ts';
import { embedPrompts } from '../diffusion/embed-prompts.ts';
import { LatentDiffusion } from '../diffusion/latent-diffusion.ts';
import type { Prompt } from '../diffusion/prompt-arguments.ts';
import { repeatRows } from '../diffusion/rows.ts';
import type { StepEvent } from '../diffusion/sampling-loop.ts';
import {
  openStableDiffusionFolder,
  type StableDiffusionFolder,
  type StableDiffusionNetworks,
} from '../diffusion/stable-diffusion-folder.ts';
import type { DeviceCall } from '../runtime/device-call.ts';
import { DeviceModel, warner } from '../runtime/device-model.ts';
import { PretrainedModel } from '../runtime/pretrained-model.ts';
import { editRequest, encodeRequest, invertRequest, maskRequest, type RequestHome } from './phase-requests.ts';
import { OWN_OPTIONS, type PretrainedOptions, refusal, refuseSafetyChecker } from './pretrained-options.ts';
import type { Request } from './request.ts';
import { type PhaseResults, runPhases } from './run-phases.ts';
import { runRequest } from './run-request.ts';
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
} from './types.ts';

export type { PretrainedOptions } from './pretrained-options.ts';

/** Edits pictures with Stable Diffusion 1.x and 2.x. One call at a time; several pipelines may share a device. */
export class DiffEditPipeline extends PretrainedModel {
  /** Of mask and edit; a call that is accepted sets its timesteps. */
  readonly scheduler: DDIMScheduler;
  /** Of the inversion; likewise. */
  readonly inverseScheduler: DDIMInverseScheduler;
  /** Pixels behind one latent side. */
  readonly vaeScaleFactor: number;
  /** The size in pixels that the model was trained on. */
  readonly defaultSize: {
    /** In pixels. */
    readonly width: number;
    /** In pixels. */
    readonly height: number;
  };
  readonly #device: DeviceModel<StableDiffusionNetworks>;
  readonly #home: RequestHome;

  private constructor(
    device: DeviceModel<StableDiffusionNetworks>,
    { tokenizer, schedulers }: StableDiffusionFolder,
    options: PretrainedOptions,
  ) {
    super(device);
    this.#device = device;
    const samplers = { sampler: schedulers.scheduler, inverseSampler: schedulers.inverseScheduler };
    const model = new LatentDiffusion(device.networks, tokenizer, samplers, warner(options));
    this.#home = { model, mendQuirks: options.mendQuirks ?? false };
    this.scheduler = schedulers.scheduler;
    this.inverseScheduler = schedulers.inverseScheduler;
    this.vaeScaleFactor = model.vaeScaleFactor;
    this.defaultSize = model.defaultSize;
  }

  /**
   * Reads a model folder in diffusers' layout and, unless offloading is asked for, brings its weights to the device.
   * @param source a directory (pentimento/node), a map of Blobs, URLs, or an object of the same face
   * @throws InputError for a folder that is no Stable Diffusion 1.x or 2.x; WeightsError listing every missing and misshapen
   * tensor; DeviceError without a device or memory; the signal's reason
   */
  static async fromPretrained(source: FolderSource, options: PretrainedOptions = {}): Promise<DiffEditPipeline> {
    const names = { op: 'DiffEditPipeline', noun: 'pipeline', ownOptions: OWN_OPTIONS };
    const { device, opened } = await DeviceModel.open<StableDiffusionNetworks, StableDiffusionFolder>(
      names,
      options,
      async () => {
        refuseSafetyChecker('DiffEditPipeline.fromPretrained', options);
        const { variant, scheduler, inverseScheduler } = options;
        return openStableDiffusionFolder(source, { variant, scheduler, inverseScheduler, warn: warner(options) });
      },
    );
    return new DiffEditPipeline(device, opened, options);
  }

  /**
   * Finds what changes between two prompts.
   * @throws InputError or ShapeError for arguments that make no sense; DeviceError while another call runs; the signal's reason
   * @see diffusers StableDiffusionDiffEditPipeline.generate_mask
   */
  generateMask(args: GenerateMaskArgs): Promise<MaskOutput> {
    return drain(this.#perform('generateMask', args, maskRequest, ({ mask }) => mask as MaskOutput));
  }

  /**
   * Runs the picture backwards to noise.
   * @throws as generateMask
   * @see diffusers StableDiffusionDiffEditPipeline.invert
   */
  invert(args: InvertArgs): Promise<InversionOutput> {
    return drain(this.invertSteps(args));
  }

  /** `invert` step by step: yields after each, returns its result. Leaving the loop early frees everything. */
  invertSteps(args: InvertArgs): AsyncGenerator<StepEvent, InversionOutput> {
    return this.#perform('invert', args, invertRequest, ({ inversion }) => inversion as InversionOutput);
  }

  /**
   * Denoises under the prompt where the mask is set.
   * @throws as generateMask
   * @see diffusers StableDiffusionDiffEditPipeline.__call__
   */
  edit(args: EditArgs & AsPictures): Promise<EditOutput<RgbImage[]>>;
  edit(args: EditArgs): Promise<EditOutput>;
  edit(args: EditArgs): Promise<EditOutput> {
    return drain(this.editSteps(args));
  }

  /** `edit` step by step: yields after each, returns its result. Leaving the loop early frees everything. */
  editSteps(args: EditArgs): AsyncGenerator<StepEvent, EditOutput> {
    return this.#perform('edit', args, editRequest, ({ images }) => {
      return { images: images as RgbImage[] | NdArray, nsfwContentDetected: undefined };
    });
  }

  /**
   * All three phases; prompts and picture are encoded once, the inverted latents stay on the device.
   * @throws as generateMask
   */
  run(args: RunArgs & AsPictures): Promise<RunOutput<RgbImage[]>>;
  run(args: RunArgs): Promise<RunOutput>;
  run(args: RunArgs): Promise<RunOutput> {
    return drain(this.runSteps(args));
  }

  /** `run` step by step: yields after each step of each phase, returns its result. Leaving the loop early frees everything. */
  runSteps(args: RunArgs): AsyncGenerator<StepEvent, RunOutput> {
    return this.#perform('run', args, runRequest, ({ mask, inversion, images }, { timings }) => ({
      ...(mask ? { mask } : {}),
      ...(inversion ? { latents: inversion.latents } : {}),
      ...{ images: images as RgbImage[] | NdArray, timings: { ...timings } },
    }));
  }

  /**
   * Embeddings of prompts, as the other methods take them.
   * @returns [B * numImagesPerPrompt, L, D] each
   * @see diffusers StableDiffusionDiffEditPipeline.encode_prompt
   */
  encodePrompt(prompt: Prompt, options: EncodePromptOptions = {}): Promise<PromptEmbeddings> {
    const work = async (call: DeviceCall): Promise<PromptEmbeddings> => {
      const { prompts, copies } = encodeRequest(prompt, options, this.#home);
      const { positive, negative } = await this.#home.model.prompts.encode(call, prompts);
      const many = (embeds: NdArray): NdArray => repeatRows(embeds, copies);
      return { promptEmbeds: many(positive), negativePromptEmbeds: many(negative as NdArray) };
    };
    return this.#device.call('encodePrompt', options, work);
  }

  /** One embedding for many sentences, [1, L, D]; the function of the same name says how. */
  embedPrompts(sentences: readonly string[], options: CommonArgs = {}): Promise<NdArray> {
    return embedPrompts(this, sentences, options);
  }

  /** Decodes pictures one at a time: less memory, the same numbers. */
  enableVaeSlicing(): void {
    this.#home.model.autoencoder.slicing = true;
  }

  /** Decodes pictures of a batch together again. */
  disableVaeSlicing(): void {
    this.#home.model.autoencoder.slicing = false;
  }

  /**
   * Encodes and decodes pictures larger than a tile by overlapping tiles: bounded memory, other numbers.
   * @param sizes default: the size that the VAE was trained on, a quarter of overlap; of pixels and latents one is enough
   * @throws InputError where pixels are not latents * vaeScaleFactor, or the overlap is not a whole number of latents
   * @see diffusers AutoencoderKL.enable_tiling
   */
  enableVaeTiling(sizes: Partial<TileSizes> = {}): void {
    this.#home.model.autoencoder.tile('enableVaeTiling', sizes);
  }

  /** Encodes and decodes pictures whole again. */
  disableVaeTiling(): void {
    this.#home.model.autoencoder.tiling = undefined;
  }

  /** Settles the arguments, then performs what they ask for. */
  #perform<A extends CommonArgs, T>(
    op: string,
    args: A,
    request: (args: A, home: RequestHome) => Request,
    result: (results: PhaseResults, call: DeviceCall) => T,
  ): AsyncGenerator<StepEvent, T> {
    const home = this.#home;
    const show = (accepted: Request): void => this.#showTimesteps(accepted);
    return this.#device.steps(op, args, async function* (call) {
      const settled = request(args, home);
      show(settled);
      return result(yield* runPhases(call, home.model, settled), call);
    });
  }

  /** The public schedulers have the timesteps of the last call that was accepted, for whoever reads them; no phase does. */
  #showTimesteps({ mask, invert, edit }: Request): void {
    const forwards = edit ?? mask;
    if (forwards) this.scheduler.setTimesteps(forwards.numInferenceSteps);
    if (invert) this.inverseScheduler.setTimesteps(invert.numInferenceSteps);
  }

  /** Not built. @throws InputError always */
  enableFreeU(): never {
    throw refusal('enableFreeU', 'FreeU', 'enableFreeU');
  }

  /** Not built. @throws InputError always */
  loadIpAdapter(): never {
    throw refusal('loadIpAdapter', 'IP-Adapter', 'loadIpAdapter');
  }

  /** Not built. @throws InputError always */
  loadLoraWeights(): never {
    throw refusal('loadLoraWeights', 'LoRA', 'loadLoraWeights');
  }

  /** Not built. @throws InputError always */
  loadTextualInversion(): never {
    throw refusal('loadTextualInversion', 'textual inversion', 'loadTextualInversion');
  }
}

async function drain<T>(steps: AsyncGenerator<unknown, T>): Promise<T> {
  for (;;) {
    const next = await steps.next();
    if (next.done) return next.value;
  }
}

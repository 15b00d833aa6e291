/**
 * DiffEdit: find what two prompts disagree about, invert the picture, edit under the mask.
 * Couairon et al. 2022, https://arxiv.org/abs/2210.11427. Reference: diffusers 0.34.0, StableDiffusionDiffEditPipeline.
 * The phases themselves are in mask-phase, invert-phase and edit-phase; docs/parity.md lists what differs.
 */
import { DeviceError } from '../../core/errors.ts';
import type { NdArray } from '../../core/ndarray.ts';
import type { FolderSource } from '../../core/tensor-source.ts';
import { Gpu } from '../../gpu/device.ts';
import type { RgbImage } from '../../io/image.ts';
import type { TileSizes } from '../../models/stable-diffusion/index.ts';
import type { DDIMInverseScheduler, DDIMScheduler } from '../../schedulers/index.ts';
import { Autoencoder } from '../diffusion/autoencoder.ts';
import { Denoiser } from '../diffusion/denoiser.ts';
import { PromptEncoder } from '../diffusion/prompt-encoder.ts';
import { type OpenedFolder, type OpenedModel, openFolder } from '../diffusion/stable-diffusion-folder.ts';
import { embedPrompts } from '../guide/helpers.ts';
import { Session } from '../runtime/device-call.ts';
import { Component, Memory } from '../runtime/network.ts';
import { editCall, encodeCall, invertCall, maskCall, runCall } from './calls.ts';
import type { Parts } from './parts.ts';
import { checkPretrained, type PretrainedOptions, refusal, warner } from './pretrained-options.ts';
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
  Prompt,
  RunArgs,
  RunOutput,
  StepEvent,
} from './types.ts';

export type { PretrainedOptions } from './pretrained-options.ts';

/** Edits pictures with Stable Diffusion 1.x and 2.x. One call at a time; several pipelines may share a device. */
export class DiffEditPipeline {
  readonly gpu: Gpu;
  readonly dtype: 'float32' | 'float16';
  readonly scheduler: DDIMScheduler;
  readonly inverseScheduler: DDIMInverseScheduler;
  /** Pixels behind one latent side. */
  readonly vaeScaleFactor: number;
  /** The size in pixels that the model was trained on. */
  readonly defaultSize: { readonly width: number; readonly height: number };
  readonly #parts: Parts;
  readonly #components: readonly Component<unknown>[];
  readonly #memory: Memory;
  readonly #options: PretrainedOptions;
  readonly #opened: OpenedFolder;
  readonly #ownsGpu: boolean;
  #offload: boolean;
  #busy: string | undefined;
  #disposed = false;

  private constructor(gpu: Gpu, opened: OpenedFolder, options: PretrainedOptions) {
    const dtype = options.dtype ?? 'float32';
    const memory = new Memory();
    const component = <M>(name: string, from: OpenedModel<M>): Component<M> =>
      new Component(name, from.model, from.weights, { gpu, memory, dtype, stagingBytes: options.stagingBytes });
    const [text, unet, vae] = [
      component('text encoder', opened.text),
      component('unet', opened.unet),
      component('vae', opened.vae),
    ];
    const warn = warner(options);
    this.gpu = gpu;
    this.dtype = dtype;
    this.#memory = memory;
    this.#options = options;
    this.#opened = opened;
    this.#ownsGpu = options.gpu === undefined;
    this.#offload = options.modelCpuOffload ?? false;
    this.#components = [text, unet, vae];
    this.#parts = {
      text: new PromptEncoder(text, opened.tokenizer, warn),
      vae: new Autoencoder(vae),
      denoiser: new Denoiser(unet),
      ...opened.schedulers,
      mendQuirks: options.mendQuirks ?? false,
      warn,
    };
    this.scheduler = opened.schedulers.scheduler;
    this.inverseScheduler = opened.schedulers.inverseScheduler;
    this.vaeScaleFactor = this.#parts.vae.factor;
    const [height, width] = opened.unet.model.config.sampleSize;
    this.defaultSize = { width: width * this.vaeScaleFactor, height: height * this.vaeScaleFactor };
  }

  /**
   * Reads a model folder in diffusers' layout and, unless offloading is asked for, brings its weights to the device.
   * @param source a directory (pentimento/node), a map of Blobs, URLs, or an object of the same face
   * @throws InputError for a folder that is no Stable Diffusion 1.x or 2.x; WeightsError listing every missing, unused and
   * misshapen tensor; DeviceError without a device or memory; the signal's reason
   */
  static async fromPretrained(source: FolderSource, options: PretrainedOptions = {}): Promise<DiffEditPipeline> {
    checkPretrained('DiffEditPipeline.fromPretrained', options);
    const { variant, scheduler, inverseScheduler } = options;
    const opened = await openFolder(source, { variant, scheduler, inverseScheduler, warn: warner(options) });
    let pipeline: DiffEditPipeline | undefined;
    try {
      pipeline = new DiffEditPipeline(options.gpu ?? (await Gpu.request()), opened, options);
      if (!options.modelCpuOffload) await pipeline.#load(options);
      options.signal?.throwIfAborted();
      return pipeline;
    } catch (error) {
      if (pipeline) pipeline.dispose();
      else await closeAll(opened);
      throw error;
    }
  }

  /** Device bytes held now: weights, plans, tensors. */
  get bytes(): number {
    return this.#memory.bytes;
  }

  /** The most device bytes that were ever held at once. */
  get peakBytes(): number {
    return this.#memory.peak;
  }

  /**
   * Finds what changes between two prompts.
   * @throws InputError or ShapeError for arguments that make no sense; DeviceError while another call runs; the signal's reason
   * @see diffusers StableDiffusionDiffEditPipeline.generate_mask
   */
  generateMask(args: GenerateMaskArgs): Promise<MaskOutput> {
    return drain(this.#call('generateMask', args, session => maskCall(session, this.#parts, args)));
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
    return this.#call('invert', args, session => invertCall(session, this.#parts, args));
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
    return this.#call('edit', args, session => editCall(session, this.#parts, args));
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
    return this.#call('run', args, session => runCall(session, this.#parts, args));
  }

  /**
   * Embeddings of prompts, as the other methods take them.
   * @returns [B * numImagesPerPrompt, L, D] each
   * @see diffusers StableDiffusionDiffEditPipeline.encode_prompt
   */
  encodePrompt(
    prompt: Prompt,
    options: EncodePromptOptions = {},
  ): Promise<{ promptEmbeds: NdArray; negativePromptEmbeds: NdArray }> {
    return drain(this.#call('encodePrompt', options, session => encodeCall(session, this.#parts, prompt, options)));
  }

  /** One embedding for many sentences, [1, L, D]; the function of the same name says how. */
  embedPrompts(sentences: readonly string[], options: CommonArgs = {}): Promise<NdArray> {
    return embedPrompts(this, sentences, options);
  }

  /** Keeps one network on the device at a time, for the length of its work; weights stream from their files again. */
  enableModelCpuOffload(): void {
    this.#idle('enableModelCpuOffload');
    this.#offload = true;
    for (const component of this.#components) component.unload();
  }

  /** Decodes pictures one at a time: less memory, the same numbers. */
  enableVaeSlicing(): void {
    this.#parts.vae.slicing = true;
  }

  disableVaeSlicing(): void {
    this.#parts.vae.slicing = false;
  }

  /**
   * Encodes and decodes pictures larger than a tile by overlapping tiles: bounded memory, other numbers.
   * @param sizes default: the size that the VAE was trained on, a quarter of overlap; of pixels and latents one is enough
   * @throws InputError where pixels are not latents * vaeScaleFactor, or the overlap is not a whole number of latents
   * @see diffusers AutoencoderKL.enable_tiling
   */
  enableVaeTiling(sizes: Partial<TileSizes> = {}): void {
    this.#parts.vae.tile('enableVaeTiling', sizes);
  }

  disableVaeTiling(): void {
    this.#parts.vae.tiling = undefined;
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

  /** Frees everything on the device and closes the files. A call that runs ends with an error. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    for (const component of this.#components) component.unload();
    void closeAll(this.#opened);
    if (this.#ownsGpu) this.gpu.dispose();
  }

  async #load(options: PretrainedOptions): Promise<void> {
    const start = performance.now();
    const sizes = [this.#opened.text, this.#opened.unet, this.#opened.vae].map(({ source }) =>
      [...source.tensors.values()].reduce((sum, t) => sum + t.byteLength, 0),
    );
    const of = sizes.reduce((a, b) => a + b, 0);
    let before = 0;
    for (const [i, component] of this.#components.entries()) {
      const report = (done: number): void => {
        options.onProgress?.({
          phase: 'load',
          step: before + done,
          of,
          ms: performance.now() - start,
          bytes: this.#memory.bytes,
        });
      };
      await component.load({ signal: options.signal, onProgress: report });
      before += sizes[i] as number;
      report(0);
    }
  }

  #idle(op: string): void {
    this.gpu.check(op);
    if (this.#disposed) {
      throw new DeviceError({ op, problem: 'the pipeline was disposed', fix: 'Open it again with fromPretrained().' });
    }
    if (this.#busy) {
      throw new DeviceError({
        op,
        problem: 'the pipeline is busy',
        expected: 'one call at a time',
        received: `${this.#busy} is still running`,
        fix: 'Await the other call, abort it by its signal, or open a second pipeline on the same device.',
      });
    }
  }

  /** Runs a call with a session of its own, and frees what it allocated however it ends. */
  async *#call<T>(
    op: string,
    args: CommonArgs,
    work: (session: Session) => AsyncGenerator<StepEvent, T>,
  ): AsyncGenerator<StepEvent, T> {
    this.#idle(op);
    this.#busy = op;
    const home = {
      gpu: this.gpu,
      memory: this.#memory,
      dtype: this.dtype,
      offload: this.#offload,
      components: this.#components,
      disposed: () => this.#disposed,
    };
    const session = new Session(home, { signal: args.signal, onProgress: args.onProgress ?? this.#options.onProgress });
    try {
      session.check();
      const result = yield* work(session);
      session.check();
      return result;
    } catch (error) {
      if (this.#disposed) session.check(); // what fails on freed memory and closed files failed for this reason
      throw error;
    } finally {
      session.close();
      this.#busy = undefined;
    }
  }
}

async function drain<T>(steps: AsyncGenerator<unknown, T>): Promise<T> {
  for (;;) {
    const next = await steps.next();
    if (next.done) return next.value;
  }
}

async function closeAll({ text, unet, vae }: OpenedFolder): Promise<void> {
  await Promise.all([text, unet, vae].map(({ source }) => source.close?.()));
}

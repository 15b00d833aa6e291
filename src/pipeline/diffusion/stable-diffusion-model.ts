/** What every pipeline on a Stable Diffusion model has: adapters, the VAE's switches, and the way to another pipeline of the same model. */
import { checkMember } from '../../core/kinds.ts';
import type { PictureSize } from '../../io/image.ts';
import type { TileSizes } from '../../models/stable-diffusion/index.ts';
import { PretrainedModel } from '../runtime/pretrained-model.ts';
import type { CallOptions } from '../runtime/progress.ts';
import type { LoraOptions } from './lora-adapters.ts';
import type { LoraSource } from './lora-file.ts';
import { refusal } from './refusal.ts';
import type { SharedModel } from './shared-model.ts';
import type { EmbeddingSource, TextualInversionOptions } from './textual-inversion-sources.ts';

/** A pipeline's class, such as InpaintPipeline: it can be had of a model that is open. */
export interface PipelineClass<P, O> {
  /** Called by `as`, with what it shares and its sampler. */
  over(model: object, scheduler: object, options?: O): Promise<P>;
}

/** A pipeline on a model of Stable Diffusion. */
export abstract class StableDiffusionModel extends PretrainedModel {
  /** Pixels behind one latent side. */
  readonly vaeScaleFactor: number;
  /** The size in pixels that the model was trained on. */
  readonly defaultSize: PictureSize;
  readonly #shared: SharedModel;

  protected constructor(shared: SharedModel) {
    super(shared.device);
    this.#shared = shared;
    this.vaeScaleFactor = shared.parts.vaeScaleFactor;
    this.defaultSize = shared.parts.defaultSize;
  }

  /** What denoises. */
  abstract readonly scheduler: object;

  /**
   * Another pipeline on the same model: weights on the device, adapters, remembered prompts and the VAE's switches are those of both, and
   * one of them works at a time. `dispose` of either ends both.
   * @param kind its class
   * @param options such as another scheduler; by default it has this one's
   * @throws InputError for what is no such class, and where the model or the scheduler does not fit; LoadError where its part does not come
   * @see diffusers DiffusionPipeline.from_pipe
   */
  async as<P, O>(kind: PipelineClass<P, O>, options?: O): Promise<P> {
    checkMember(
      'as',
      kind,
      'over',
      'function',
      'a class such as TextToImagePipeline, ImageToImagePipeline, InpaintPipeline',
    );
    return kind.over(this.#shared, this.scheduler, options);
  }

  /**
   * Loads a LoRA for the UNet, the text encoder or both, and makes it the one adapter that acts, as diffusers does; `setAdapters`
   * lets several act. It is merged while weights are read: the networks that it changes leave the device, and the next call
   * brings them back as W + scale * alpha / rank * B A, at no cost in any step. Weights that it changes are f32 on the device,
   * unless the pipeline's dtype is float16.
   * @param source its file, in the names of diffusers, PEFT or kohya's scripts, or the folder that it was saved in; closed when the
   * adapter is deleted
   * @returns the adapter's name
   * @throws InputError for adapters of other kinds (LoHa, LoKr, DoRA ...) or for other models, and a name that is taken;
   * WeightsError for damaged files and products that do not fit; DeviceError while another call runs; the signal's reason
   * @see diffusers StableDiffusionLoraLoaderMixin.load_lora_weights
   */
  loadLoraWeights(source: LoraSource, options: LoraOptions & CallOptions = {}): Promise<string> {
    return this.#shared.loadLora(source, options);
  }

  /**
   * Chooses which adapters act, and how strongly; the others stay loaded.
   * @param names one, several, or none
   * @param weights one for all, or one for each; default 1
   * @throws InputError for unknown names, or another number of weights; DeviceError while a call runs
   * @see diffusers LoraBaseMixin.set_adapters
   */
  setAdapters(names: string | readonly string[], weights?: number | readonly number[]): void {
    this.#shared.device.checkIdle('setAdapters');
    this.#shared.loras.set('setAdapters', names, weights);
  }

  /** Names of the adapters that act. @see diffusers LoraBaseMixin.get_active_adapters */
  getActiveAdapters(): string[] {
    return this.#shared.loras.active;
  }

  /** Names of all adapters, by the network that they change. @see diffusers LoraBaseMixin.get_list_adapters */
  getListAdapters(): {
    /** Of the denoiser. */
    readonly unet: string[];
    /** Of the text encoder. */
    readonly textEncoder: string[];
  } {
    return this.#shared.loras.list;
  }

  /**
   * Forgets adapters and closes their files.
   * @throws InputError for unknown names; DeviceError while a call runs
   * @see diffusers LoraBaseMixin.delete_adapters
   */
  deleteAdapters(names: string | readonly string[]): void {
    this.#shared.device.checkIdle('deleteAdapters');
    this.#shared.loras.delete('deleteAdapters', names);
  }

  /**
   * Forgets all adapters: the next call reads the checkpoint's own bits.
   * @throws DeviceError while a call runs
   * @see diffusers LoraBaseMixin.unload_lora_weights
   */
  unloadLoraWeights(): void {
    this.#shared.device.checkIdle('unloadLoraWeights');
    this.#shared.loras.unload();
  }

  /**
   * Teaches the prompts words: embeddings of textual inversion, which stand behind tokens of their own. A word of several
   * vectors is written as one and becomes as many tokens. The text encoder leaves the device, and the next call brings it back.
   * @param source a file of diffusers or of the AUTOMATIC1111 web UI, a folder with learned_embeds, vectors, or several of these
   * @returns the words as prompts write them
   * @throws InputError for a token that the vocabulary has, or that is given twice; ShapeError for an embedding of another model;
   * WeightsError for a damaged file; DeviceError while a call runs; the signal's reason. Nothing has changed then
   * @see diffusers TextualInversionLoaderMixin.load_textual_inversion
   */
  loadTextualInversion(
    source: EmbeddingSource | readonly EmbeddingSource[],
    options: TextualInversionOptions = {},
  ): Promise<readonly string[]> {
    return this.#shared.loadTextualInversion(source, options);
  }

  /** The words that are loaded, as prompts write them, in their order. */
  getTextualInversions(): readonly string[] {
    return this.#shared.inversions.tokens;
  }

  /**
   * Takes such words away again, with all their vectors: prompts mean what they meant before.
   * @param tokens all that were loaded by default
   * @throws InputError for a token that is not loaded; DeviceError while a call runs
   * @see diffusers TextualInversionLoaderMixin.unload_textual_inversion
   */
  unloadTextualInversion(tokens?: string | readonly string[]): void {
    this.#shared.device.checkIdle('unloadTextualInversion');
    this.#shared.inversions.unload(tokens);
  }

  /** Frees everything on the device and closes the files, those of adapters too. A call that runs ends with an error. */
  override dispose(): void {
    super.dispose();
    this.#shared.loras.close();
  }

  /** Decodes pictures one at a time: less memory, the same numbers. */
  enableVaeSlicing(): void {
    this.#shared.parts.autoencoder.slicing = true;
  }

  /** Decodes pictures of a batch together again. */
  disableVaeSlicing(): void {
    this.#shared.parts.autoencoder.slicing = false;
  }

  /**
   * Encodes and decodes pictures larger than a tile by overlapping tiles: bounded memory, other numbers.
   * @param sizes default: the size that the VAE was trained on, a quarter of overlap; of pixels and latents one is enough
   * @throws InputError where pixels are not latents * vaeScaleFactor, or the overlap is not a whole number of latents
   * @see diffusers AutoencoderKL.enable_tiling
   */
  enableVaeTiling(sizes: Partial<TileSizes> = {}): void {
    this.#shared.parts.autoencoder.tile('enableVaeTiling', sizes);
  }

  /** Encodes and decodes pictures whole again. */
  disableVaeTiling(): void {
    this.#shared.parts.autoencoder.tiling = undefined;
  }

  /** Not built. @throws InputError always */
  enableFreeU(): never {
    throw refusal('enableFreeU', 'FreeU');
  }

  /** Not built. @throws InputError always */
  loadIpAdapter(): never {
    throw refusal('loadIpAdapter', 'IP-Adapter');
  }
}

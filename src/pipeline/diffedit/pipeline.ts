/**
 * DiffEdit: find what two prompts disagree about, invert the picture, edit under the mask.
 * Couairon et al. 2022, https://arxiv.org/abs/2210.11427. Reference: diffusers 0.34.0, StableDiffusionDiffEditPipeline.
 * The phases themselves are in mask-phase, invert-phase and edit-phase; docs/parity.md lists what differs.
 */
import { loadPart } from '../../core/load-part.ts';
import type { NdArray } from '../../core/ndarray.ts';
import type { FolderSource } from '../../core/tensor-source.ts';
import type { PictureSize, RgbImage } from '../../io/image.ts';
import type { TileSizes } from '../../models/stable-diffusion/index.ts';
import type { DDIMInverseScheduler, DDIMScheduler } from '../../schedulers/index.ts';
import { embedPrompts } from '../diffusion/embed-prompts.ts';
import type { LoraOptions } from '../diffusion/lora-adapters.ts';
import type { LoraSource } from '../diffusion/lora-file.ts';
import type { Prompt } from '../diffusion/prompt-arguments.ts';
import type { StepEvent } from '../diffusion/sampling-loop.ts';
import type { SingleFileSource } from '../diffusion/single-file-options.ts';
import type { EmbeddingSource, TextualInversionOptions } from '../diffusion/textual-inversion-sources.ts';
import { drain } from '../runtime/drain.ts';
import type { CallPlan } from '../runtime/memory-plan.ts';
import { PretrainedModel } from '../runtime/pretrained-model.ts';
import type { CallOptions } from '../runtime/progress.ts';
import type { CallPlanOptions, SavingsPlan } from './call-planner.ts';
import type { EditModel } from './edit-model.ts';
import type { FromSingleFileOptions, PretrainedOptions } from './pretrained-options.ts';
import type { Recommended } from './recommended.ts';
import type { ReconstructArgs, Reconstruction } from './reconstruct.ts';
import { refusal } from './refusal.ts';
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

export type { FromSingleFileOptions, PretrainedOptions } from './pretrained-options.ts';

const loadEditModel = () => loadPart('what edits', () => import('./edit-model.ts'));

/** Edits pictures with Stable Diffusion 1.x and 2.x. One call at a time; several pipelines may share a device. */
export class DiffEditPipeline extends PretrainedModel {
  /** Of mask and edit; a call that is accepted sets its timesteps. */
  readonly scheduler: DDIMScheduler;
  /** Of the inversion; likewise. */
  readonly inverseScheduler: DDIMInverseScheduler;
  /** Pixels behind one latent side. */
  readonly vaeScaleFactor: number;
  /** The size in pixels that the model was trained on. */
  readonly defaultSize: PictureSize;
  /** What the model's folder recommends in pentimento.json, taken by no call itself: `run({ ...recommended?.settings, ...yours })`. */
  readonly recommended: Recommended | undefined;
  readonly #model: EditModel;

  private constructor(model: EditModel) {
    super(model.device);
    const { folder, diffusion } = model;
    this.#model = model;
    this.scheduler = folder.schedulers.scheduler;
    this.inverseScheduler = folder.schedulers.inverseScheduler;
    this.vaeScaleFactor = diffusion.vaeScaleFactor;
    this.defaultSize = diffusion.defaultSize;
    this.recommended = folder.recommended;
  }

  /**
   * Reads a model folder in diffusers' layout and, unless offloading is asked for, brings its weights to the device.
   * @param source a directory (pentimento/node), a map of Blobs, URLs, or an object of the same face
   * @throws InputError for a folder that is no Stable Diffusion 1.x or 2.x; WeightsError listing every missing and misshapen
   * tensor, also of `loras` and `embeddings`; DeviceError without a device or memory; the signal's reason
   */
  static async fromPretrained(source: FolderSource, options: PretrainedOptions = {}): Promise<DiffEditPipeline> {
    const { editModelOfFolder } = await loadEditModel();
    return new DiffEditPipeline(await editModelOfFolder(source, options));
  }

  /**
   * Reads a checkpoint of Stable Diffusion 1.x or 2.x that is one file (.safetensors or .ckpt in LDM's names) and, unless offloading is
   * asked for, brings its weights to the device, straight from the file.
   * @param source a File or Blob, an address, bytes, or a ByteSource such as `await fileSource(path)` of pentimento/node; closed by `dispose`
   * @param options with `tokenizer`, the folder of CLIP's vocabulary, which no such file holds
   * @throws InputError for another kind of file, named, or without a vocabulary; else as fromPretrained
   * @see diffusers FromSingleFileMixin.from_single_file
   */
  static async fromSingleFile(
    source: SingleFileSource,
    options: FromSingleFileOptions = {},
  ): Promise<DiffEditPipeline> {
    const { editModelOfFile } = await loadEditModel();
    return new DiffEditPipeline(await editModelOfFile(source, options));
  }

  /**
   * Finds what changes between two prompts.
   * @throws InputError or ShapeError for arguments that make no sense; DeviceError while another call runs; the signal's reason
   * @see diffusers StableDiffusionDiffEditPipeline.generate_mask
   */
  generateMask(args: GenerateMaskArgs): Promise<MaskOutput> {
    return drain(this.#model.maskSteps(args));
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
    return this.#model.invertSteps(args);
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
    return this.#model.editSteps(args);
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
    return this.#model.runSteps(args);
  }

  /**
   * A picture inverted and denoised again under the same prompt, beside what the VAE alone makes of it: how far the model can be trusted.
   * @throws as generateMask
   */
  reconstruct(args: ReconstructArgs): Promise<Reconstruction> {
    return drain(this.#model.reconstructSteps(args));
  }

  /**
   * What `run` would take as things are, known before it: memory by phase, the largest binding and buffer, kernel calls,
   * operations. No weights are read and nothing is done on the device.
   * @throws as run, also DeviceError for what the device would refuse
   */
  plan(args: RunArgs, options: CallPlanOptions = {}): Promise<CallPlan> {
    return this.#model.plan(args, options);
  }

  /**
   * What `run` would take with each way to save device memory, and all before it, in the order in which `maxBytes` tries them.
   * @throws as plan, but not for what the device would refuse
   */
  planSavings(args: RunArgs, options: CallPlanOptions = {}): Promise<SavingsPlan[]> {
    return this.#model.planSavings(args, options);
  }

  /**
   * Embeddings of prompts, as the other methods take them.
   * @returns [B * numImagesPerPrompt, L, D] each
   * @see diffusers StableDiffusionDiffEditPipeline.encode_prompt
   */
  encodePrompt(prompt: Prompt, options: EncodePromptOptions = {}): Promise<PromptEmbeddings> {
    return this.#model.encodePrompt(prompt, options);
  }

  /** One embedding for many sentences, [1, L, D]; the function of the same name says how. */
  embedPrompts(sentences: readonly string[], options: CommonArgs = {}): Promise<NdArray> {
    return embedPrompts(this, sentences, options);
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
    return this.#model.loadLora(source, options);
  }

  /**
   * Chooses which adapters act, and how strongly; the others stay loaded.
   * @param names one, several, or none
   * @param weights one for all, or one for each; default 1
   * @throws InputError for unknown names, or another number of weights; DeviceError while a call runs
   * @see diffusers LoraBaseMixin.set_adapters
   */
  setAdapters(names: string | readonly string[], weights?: number | readonly number[]): void {
    this.#model.device.checkIdle('setAdapters');
    this.#model.loras.set('setAdapters', names, weights);
  }

  /** Names of the adapters that act. @see diffusers LoraBaseMixin.get_active_adapters */
  getActiveAdapters(): string[] {
    return this.#model.loras.active;
  }

  /** Names of all adapters, by the network that they change. @see diffusers LoraBaseMixin.get_list_adapters */
  getListAdapters(): {
    /** Of the denoiser. */
    readonly unet: string[];
    /** Of the text encoder. */
    readonly textEncoder: string[];
  } {
    return this.#model.loras.list;
  }

  /**
   * Forgets adapters and closes their files.
   * @throws InputError for unknown names; DeviceError while a call runs
   * @see diffusers LoraBaseMixin.delete_adapters
   */
  deleteAdapters(names: string | readonly string[]): void {
    this.#model.device.checkIdle('deleteAdapters');
    this.#model.loras.delete('deleteAdapters', names);
  }

  /**
   * Forgets all adapters: the next call reads the checkpoint's own bits.
   * @throws DeviceError while a call runs
   * @see diffusers LoraBaseMixin.unload_lora_weights
   */
  unloadLoraWeights(): void {
    this.#model.device.checkIdle('unloadLoraWeights');
    this.#model.loras.unload();
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
    return this.#model.loadTextualInversion(source, options);
  }

  /** The words that are loaded, as prompts write them, in their order. */
  getTextualInversions(): readonly string[] {
    return this.#model.inversions.tokens;
  }

  /**
   * Takes such words away again, with all their vectors: prompts mean what they meant before.
   * @param tokens all that were loaded by default
   * @throws InputError for a token that is not loaded; DeviceError while a call runs
   * @see diffusers TextualInversionLoaderMixin.unload_textual_inversion
   */
  unloadTextualInversion(tokens?: string | readonly string[]): void {
    this.#model.device.checkIdle('unloadTextualInversion');
    this.#model.inversions.unload(tokens);
  }

  /** Frees everything on the device and closes the files, those of adapters too. A call that runs ends with an error. */
  override dispose(): void {
    super.dispose();
    this.#model.loras.close();
  }

  /** Decodes pictures one at a time: less memory, the same numbers. */
  enableVaeSlicing(): void {
    this.#model.diffusion.autoencoder.slicing = true;
  }

  /** Decodes pictures of a batch together again. */
  disableVaeSlicing(): void {
    this.#model.diffusion.autoencoder.slicing = false;
  }

  /**
   * Encodes and decodes pictures larger than a tile by overlapping tiles: bounded memory, other numbers.
   * @param sizes default: the size that the VAE was trained on, a quarter of overlap; of pixels and latents one is enough
   * @throws InputError where pixels are not latents * vaeScaleFactor, or the overlap is not a whole number of latents
   * @see diffusers AutoencoderKL.enable_tiling
   */
  enableVaeTiling(sizes: Partial<TileSizes> = {}): void {
    this.#model.diffusion.autoencoder.tile('enableVaeTiling', sizes);
  }

  /** Encodes and decodes pictures whole again. */
  disableVaeTiling(): void {
    this.#model.diffusion.autoencoder.tiling = undefined;
  }

  /** Not built. @throws InputError always */
  enableFreeU(): never {
    throw refusal('enableFreeU', 'FreeU', 'enableFreeU');
  }

  /** Not built. @throws InputError always */
  loadIpAdapter(): never {
    throw refusal('loadIpAdapter', 'IP-Adapter', 'loadIpAdapter');
  }
}

/**
 * DiffEdit: find what two prompts disagree about, invert the picture, edit under the mask.
 * Couairon et al. 2022, https://arxiv.org/abs/2210.11427. Reference: diffusers 0.34.0, StableDiffusionDiffEditPipeline.
 * The phases themselves are in mask-phase, invert-phase and edit-phase; docs/parity.md lists what differs.
 */
import { loadPart } from '../../core/load-part.ts';
import type { NdArray } from '../../core/ndarray.ts';
import type { FolderSource } from '../../core/tensor-source.ts';
import type { RgbImage } from '../../io/image.ts';
import type { DDIMInverseScheduler, DDIMScheduler } from '../../schedulers/index.ts';
import type { CallPlanOptions } from '../diffusion/call-planner.ts';
import { embedPrompts } from '../diffusion/embed-prompts.ts';
import type { SavingsPlan } from '../diffusion/planned-call.ts';
import type { Prompt } from '../diffusion/prompt-arguments.ts';
import type { StepEvent } from '../diffusion/sampling-loop.ts';
import type { SingleFileSource } from '../diffusion/single-file-options.ts';
import { StableDiffusionModel } from '../diffusion/stable-diffusion-model.ts';
import { drain } from '../runtime/drain.ts';
import type { CallPlan } from '../runtime/memory-plan.ts';
import type { EditModel } from './edit-model.ts';
import type { FromSingleFileOptions, PretrainedOptions } from './pretrained-options.ts';
import type { Recommended } from './recommended.ts';
import type { ReconstructArgs, Reconstruction } from './reconstruct.ts';
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
export class DiffEditPipeline extends StableDiffusionModel {
  /** Of mask and edit; a call that is accepted sets its timesteps. */
  readonly scheduler: DDIMScheduler;
  /** Of the inversion; likewise. */
  readonly inverseScheduler: DDIMInverseScheduler;
  /** What the model's folder recommends in pentimento.json, taken by no call itself: `run({ ...recommended?.settings, ...yours })`. */
  readonly recommended: Recommended | undefined;
  readonly #model: EditModel;

  private constructor(model: EditModel) {
    super(model.shared);
    const { folder } = model;
    this.#model = model;
    this.scheduler = folder.schedulers.scheduler;
    this.inverseScheduler = folder.schedulers.inverseScheduler;
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
}

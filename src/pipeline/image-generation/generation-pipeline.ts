/** What the pipelines that make pictures have in common: what loads their part, and the face that they show. */
import { loadPart } from '../../core/load-part.ts';
import type { NdArray } from '../../core/ndarray.ts';
import type { RgbImage } from '../../io/image.ts';
import type { NumericArray } from '../../io/mask.ts';
import type { PictureInput } from '../../io/preprocess.ts';
import type { CallPlanOptions } from '../diffusion/call-planner.ts';
import { embedPrompts } from '../diffusion/embed-prompts.ts';
import type { CommonArgs, EncodePromptOptions, PromptEmbeddings } from '../diffusion/encode-prompt-types.ts';
import type { SavingsPlan } from '../diffusion/planned-call.ts';
import type { Prompt } from '../diffusion/prompt-arguments.ts';
import { StableDiffusionModel } from '../diffusion/stable-diffusion-model.ts';
import type { CallPlan } from '../runtime/memory-plan.ts';
import type { CallOptions } from '../runtime/progress.ts';
import type { GenerationModel } from './generation-model.ts';
import type { PipelineScheduler } from './schedulers.ts';
import type { GenerationArgs } from './types.ts';

/** What makes pictures, loaded when a model is opened. */
export function loadGeneration(): Promise<typeof import('./generation-model.ts')> {
  return loadPart('what makes pictures', () => import('./generation-model.ts'));
}

/** A pipeline that makes pictures. One call at a time; several pipelines may share a model. */
export abstract class GenerationPipeline<Args extends GenerationArgs = GenerationArgs> extends StableDiffusionModel {
  /** What denoises; no call changes it. */
  readonly scheduler: PipelineScheduler;
  readonly #model: GenerationModel;

  protected constructor(model: GenerationModel) {
    super(model.shared);
    this.#model = model;
    this.scheduler = model.scheduler;
  }

  /**
   * What `generate` would take as things are, known before it: memory by phase, the largest binding and buffer, kernel calls,
   * operations. No weights are read, nothing is drawn and nothing is done on the device.
   * @throws as generate, also DeviceError for what the device would refuse
   */
  plan(args: Args, options: CallPlanOptions = {}): Promise<CallPlan> {
    return this.#model.plan(args, options);
  }

  /**
   * What `generate` would take with each way to save device memory, and all before it, in the order in which `maxBytes` tries them.
   * @throws as plan, but not for what the device would refuse
   */
  planSavings(args: Args, options: CallPlanOptions = {}): Promise<SavingsPlan[]> {
    return this.#model.planSavings(args, options);
  }

  /**
   * Embeddings of prompts, as `generate` takes them.
   * @returns [B * numImagesPerPrompt, L, D] each
   * @throws InputError for arguments that make no sense; DeviceError while another call runs; the signal's reason
   * @see diffusers StableDiffusionPipeline.encode_prompt
   */
  encodePrompt(prompt: Prompt, options: EncodePromptOptions = {}): Promise<PromptEmbeddings> {
    return this.#model.encodePrompt(prompt, options);
  }

  /** One embedding for many sentences, [1, L, D]; the function of the same name says how. */
  embedPrompts(sentences: readonly string[], options: CommonArgs = {}): Promise<NdArray> {
    return embedPrompts(this, sentences, options);
  }

  /**
   * Latents of pictures, as the UNet has them: the means of what the VAE's encoder says, times its scaling factor.
   * @param image pictures whose sides are multiples of vaeScaleFactor
   * @returns [M, 4, h, w]
   * @throws InputError or ShapeError for what is no picture; DeviceError while another call runs; the signal's reason
   * @see diffusers vae.encode(image).latent_dist.mode() * vae.config.scaling_factor
   */
  async encodeImages(image: PictureInput, options: CallOptions = {}): Promise<NdArray> {
    return this.#model.encodeImages(image, options);
  }

  /**
   * Pictures of latents, such as `generate` returns for outputType 'latent'.
   * @param latents [N, 4, h, w]
   * @throws ShapeError for what are no latents; InputError for values that are not finite; DeviceError while another call runs; the signal's reason
   * @see diffusers vae.decode(latents / vae.config.scaling_factor)
   */
  async decodeLatents(latents: NumericArray, options: CallOptions = {}): Promise<RgbImage[]> {
    return this.#model.decodeLatents(latents, options);
  }
}

/**
 * Arguments and results of the pipelines that make pictures: those of diffusers in camelCase, with the same defaults and meanings. What
 * diffusers lacks is marked "extra".
 */
import type { NdArray } from '../../core/ndarray.ts';
import type { RgbImage } from '../../io/image.ts';
import type { MaskInput, NumericArray } from '../../io/mask.ts';
import type { OutputType } from '../../io/postprocess.ts';
import type { PictureInput } from '../../io/preprocess.ts';
import type { Generators } from '../diffusion/generators.ts';
import type { PromptArgs } from '../diffusion/prompt-arguments.ts';
import type { StepCallback } from '../diffusion/sampling-loop.ts';
import type { CallOptions } from '../runtime/progress.ts';

/** What `callbackOnStepEnd` may answer: values to go on with. */
export interface StepChanges {
  /** [N, 4, h, w] in place of the latents. */
  readonly latents?: NdArray | undefined;
}

/**
 * Called after every step with its number, its timestep and a reader of the latents [N, 4, h, w]; what it returns is gone on with. Reading
 * waits for the device, not reading costs nothing.
 */
export type StepEndCallback = (
  step: number,
  timestep: number,
  values: { readonly latents: () => Promise<NdArray> },
) => undefined | StepChanges | Promise<undefined | StepChanges> | void | Promise<void>;

/** Arguments of all three pipelines. */
export interface GenerationArgs extends CallOptions, PromptArgs {
  /** N of the whole schedule; default 50. */
  readonly numInferenceSteps?: number | undefined;
  /** The timesteps themselves, descending, in place of a number; for samplers that take them. */
  readonly timesteps?: readonly number[] | undefined;
  /** The noise levels themselves, descending, the last one that behind the last step: 0 but for a part of a run. For samplers that take them. */
  readonly sigmas?: readonly number[] | undefined;
  /** Default 7.5; at 1 or below without classifier-free guidance. */
  readonly guidanceScale?: number | undefined;
  /** How much of the spread that guidance adds to a prediction is taken back, 0 to 1; default 0. Extra but in TextToImagePipeline. */
  readonly guidanceRescale?: number | undefined;
  /** Pictures for each prompt; default 1. */
  readonly numImagesPerPrompt?: number | undefined;
  /** Share of fresh noise a step of DDIM, 0 to 1; other samplers take no notice. Default 0. */
  readonly eta?: number | undefined;
  /** Source of noise: one, or one for each picture; by default a new one, seeded from entropy. */
  readonly generator?: Generators | undefined;
  /** Last layers of the text encoder that the positive prompt skips. */
  readonly clipSkip?: number | undefined;
  /** Pictures, or arrays of pixels or latents; default 'pil'. */
  readonly outputType?: OutputType | undefined;
  /** Told of every callbackSteps-th step. */
  readonly callback?: StepCallback | undefined;
  /** How many steps lie between two calls of `callback`; default 1. */
  readonly callbackSteps?: number | undefined;
  /** Told of every step, before `callback`; may change the latents. */
  readonly callbackOnStepEnd?: StepEndCallback | undefined;
  /** Only `scale`, for LoRA: they are merged, so that beside active adapters only 1 passes; setAdapters takes their weights. */
  readonly crossAttentionKwargs?: Readonly<Record<string, unknown>> | undefined;
}

/** What TextToImagePipeline's `generate` takes. */
export interface TextToImageArgs extends GenerationArgs {
  /** In pixels, a multiple of 8; default the model's own. Where one side is left out both are the model's, as in diffusers. */
  readonly height?: number | undefined;
  /** As the height. */
  readonly width?: number | undefined;
  /** The noise to begin with, [N, 4, h, w] of deviation 1; by default drawn. */
  readonly latents?: NumericArray | undefined;
}

/** What ImageToImagePipeline's `generate` takes. */
export interface ImageToImageArgs extends GenerationArgs {
  /** One picture or several, which are repeated until there is one for each result; arrays [M, 4, h, w] are latents. */
  readonly image: PictureInput;
  /** How much of the schedule is done, 0 to 1; default 0.8. */
  readonly strength?: number | undefined;
}

/** What InpaintPipeline's `generate` takes. */
export interface InpaintArgs extends GenerationArgs {
  /** One picture or several, which are repeated until there is one for each result; resized to `height` and `width`. */
  readonly image: PictureInput;
  /** Of the picture's size; white, from one half on, is what is made anew. One, or as many as pictures. */
  readonly maskImage: MaskInput;
  /** [M, 4, h, w] in place of the masked picture, for UNets of 9 channels. */
  readonly maskedImageLatents?: NumericArray | undefined;
  /** In pixels, a multiple of the VAE's factor; default the model's own. */
  readonly height?: number | undefined;
  /** As the height. */
  readonly width?: number | undefined;
  /** Makes the masked region alone, with so many pixels around it, at the full size, and puts it back; for one picture and 'pil'. */
  readonly paddingMaskCrop?: number | undefined;
  /** Sigma in pixels of the mask's picture by which it is blurred before everything; default 0. Extra: mask_processor.blur there. */
  readonly maskBlur?: number | undefined;
  /** How much of the schedule is done, above 0 to 1; at 1, the default, the picture has no part in the beginning. */
  readonly strength?: number | undefined;
  /** The noise to begin with, [N, 4, h, w] of deviation 1; by default drawn. */
  readonly latents?: NumericArray | undefined;
}

/** Result of `generate`; `Images` is RgbImage[] where outputType is 'pil' or left out. */
export interface GenerationOutput<Images = RgbImage[] | NdArray> {
  /** Pictures for 'pil', [N, H, W, 3] for 'np', [N, 3, H, W] for 'pt', [N, 4, h, w] for 'latent'. */
  readonly images: Images;
  /** There is no safety checker. */
  readonly nsfwContentDetected: undefined;
}

/** Arguments that ask for pictures, as the default does. */
export interface AsImages {
  /** 'pil', or left out. */
  readonly outputType?: 'pil' | undefined;
}

/** What a call will do, settled once: arguments with their defaults, checked, and everything that follows from them before the device works. */
import type { NdArray } from '../../core/ndarray.ts';
import type { RgbImage } from '../../io/image.ts';
import type { OutputType } from '../../io/postprocess.ts';
import type { LinearStep } from '../../schedulers/index.ts';
import type { Generators } from '../diffusion/generators.ts';
import type { PromptRequest } from '../diffusion/prompt-request.ts';
import type { StepCallback } from '../diffusion/sampling-loop.ts';
import type { StepEndCallback } from './types.ts';

/** Pictures whose latents are wanted, and the noise that those are drawn by. */
export interface DrawnPictures {
  /** [M, 3, H, W] in [-1, 1], or latents [M, 4, h, w]. */
  readonly pictures: NdArray;
  /** [R, 4, h, w]: noise of the draw, all of it again until there is enough; absent for latents. */
  readonly noise: NdArray | undefined;
}

/** What the loop begins with. */
export interface Start {
  /** [N, 4, h, w] of deviation 1. */
  readonly noise: NdArray;
  /** The noise is all there is, times this; undefined where it brings the picture to the first step's level. */
  readonly sigma: number | undefined;
  /** The picture: it is begun with, or kept outside of the mask. */
  readonly picture: DrawnPictures | undefined;
}

/** What the mask does. */
export interface Masking {
  /** 'blend': the picture is kept where the mask is 0; 'seen': the UNet sees mask and masked picture. */
  readonly way: 'blend' | 'seen';
  /** [N, 1, h, w] of zeros and ones. */
  readonly mask: NdArray;
  /** The masked picture, where the UNet sees it. */
  readonly masked: DrawnPictures | undefined;
}

/** Puts a result back into the picture that it was cut out of. */
export type Overlay = (image: RgbImage) => RgbImage;

/** One call. */
export interface GenerationRequest {
  readonly prompt: PromptRequest;
  /** Pictures for each prompt. */
  readonly copies: number;
  /** N: pictures in all. */
  readonly images: number;
  /** [4, h, w] of the latents. */
  readonly size: readonly [number, number, number];
  readonly guidance: { readonly scale: number; readonly guided: boolean; readonly rescale: number };
  /** The steps that are done, in their order. */
  readonly steps: readonly LinearStep[];
  /** Values that the sampler keeps from step to step. */
  readonly slots: number;
  readonly generator: Generators;
  readonly start: Start;
  readonly masking: Masking | undefined;
  readonly output: OutputType;
  readonly overlay: Overlay | undefined;
  readonly callback: StepCallback | undefined;
  readonly callbackSteps: number;
  readonly onStepEnd: StepEndCallback | undefined;
  /** Latents that `onStepEnd` has put in place of those behind a step: what is done again takes them again. */
  readonly changed: Map<number, NdArray>;
}

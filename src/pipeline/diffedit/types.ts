/**
 * What the pipeline takes and returns. Names are those of diffusers' StableDiffusionDiffEditPipeline in camelCase, with the
 * same defaults; what diffusers lacks is marked "extra".
 */

import type { NdArray } from '../../core/ndarray.ts';
import type { PictureFit } from '../../io/fit.ts';
import type { GreyImage, RgbImage } from '../../io/image.ts';
import type { MaskInput, NumericArray } from '../../io/mask.ts';
import type { OutputType } from '../../io/postprocess.ts';
import type { PictureInput } from '../../io/preprocess.ts';
import type { CommonArgs } from '../diffusion/encode-prompt-types.ts';
import type { Prompt, PromptArgs } from '../diffusion/prompt-arguments.ts';
import type { StepCallback } from '../diffusion/sampling-loop.ts';
import type { Phase } from '../runtime/progress.ts';
import type { MaskMode } from './soft-mask.ts';

export type { CommonArgs, EncodePromptOptions, PromptEmbeddings } from '../diffusion/encode-prompt-types.ts';

/** What `generateMask` takes: a picture, two sets of prompts, and how their difference becomes a mask. */
export interface GenerateMaskArgs extends CommonArgs {
  /** One picture, or one for each prompt; arrays [N, 4, H, W] are latents. */
  readonly image: PictureInput;
  /** What the picture shall show; this or its embeddings. */
  readonly targetPrompt?: Prompt | undefined;
  /** Of the target, with guidance; default empty. */
  readonly targetNegativePrompt?: Prompt | undefined;
  /** [B, L, D], instead of targetPrompt. */
  readonly targetPromptEmbeds?: NdArray | undefined;
  /** [B, L, D], instead of targetNegativePrompt. */
  readonly targetNegativePromptEmbeds?: NdArray | undefined;
  /** What the picture shows; this or its embeddings. */
  readonly sourcePrompt?: Prompt | undefined;
  /** Of the source, with guidance; default empty. */
  readonly sourceNegativePrompt?: Prompt | undefined;
  /** [B, L, D], instead of sourcePrompt. */
  readonly sourcePromptEmbeds?: NdArray | undefined;
  /** [B, L, D], instead of sourceNegativePrompt. */
  readonly sourceNegativePromptEmbeds?: NdArray | undefined;
  /** Noisy copies that are compared; default 10. */
  readonly numMapsPerMask?: number | undefined;
  /** How noisy they are, 0 to 1; default 0.5. */
  readonly maskEncodeStrength?: number | undefined;
  /** Differences are cut at this many times their mean; default 3. */
  readonly maskThresholdingRatio?: number | undefined;
  /** N of the whole schedule, 1 to the training timesteps; default 50. */
  readonly numInferenceSteps?: number | undefined;
  /** Default 7.5; at 1 or below without classifier-free guidance. */
  readonly guidanceScale?: number | undefined;
  /** Noise levels that guidance acts at, as shares of the training timesteps, such as [0.1, 0.8]; default all. Extra. */
  readonly guidanceInterval?: readonly [from: number, to: number] | undefined;
  /** How much of the spread that guidance adds to a prediction is taken back, 0 to 1; default 0. Extra. */
  readonly guidanceRescale?: number | undefined;
  /** 'pil' adds pictures of latent size; anything else changes nothing. Default 'np'. */
  readonly outputType?: OutputType | undefined;
  /** The cut and scaled map in [0, 1] instead of zeros and ones; default false. Extra. */
  readonly continuous?: boolean | undefined;
  /** 'soft' is `continuous`, for an edit that reads its mask so; default 'binary'. Extra. */
  readonly maskMode?: MaskMode | undefined;
  /** Where the scaled map becomes 1, between 0 and 1; default 0.5. Extra. */
  readonly threshold?: number | undefined;
  /**
   * Cleans the mask before it shrinks and grows: closes it by a 3 x 3 square, fills its holes, and drops components (of 8 neighbours) below
   * 15 % of the largest. A soft mask D is lifted by the clean F, max(D, F, the mean of F within 3 x 3 / 2), and loses nothing. Default
   * false. Extra.
   */
  readonly maskCleanup?: boolean | undefined;
  /** Latent pixels by which the mask grows; default 0. Extra. */
  readonly dilate?: number | undefined;
  /** Latent pixels by which the mask shrinks, before it grows; default 0. Extra. */
  readonly erode?: number | undefined;
  /** Sigma in latent pixels of a blur, last; the result is no longer only 0 and 1. Default 0. Extra. */
  readonly blur?: number | undefined;
}

/** Result of `generateMask`. */
export interface MaskOutput {
  /** [B, H, W] of the latents: 1 is what changes. */
  readonly mask: NdArray;
  /** The mean absolute difference of the two predictions, [B, H, W]. */
  readonly map: NdArray;
  /** The mask as pictures of latent size, white is what changes; with outputType 'pil'. */
  readonly images?: GreyImage[];
}

/** What `invert` takes: a picture, a prompt of what it shows, and how far back it goes. */
export interface InvertArgs extends CommonArgs, PromptArgs {
  /** One picture, or one for each prompt; arrays [N, 4, H, W] are latents. */
  readonly image: PictureInput;
  /** N of the whole schedule, 1 to the training timesteps; default 50. */
  readonly numInferenceSteps?: number | undefined;
  /** Share of the steps that is done, 0 to 1; default 0.8. */
  readonly inpaintStrength?: number | undefined;
  /** Default 7.5; at 1 or below without classifier-free guidance. */
  readonly guidanceScale?: number | undefined;
  /** Noise levels that guidance acts at, as shares of the training timesteps, such as [0.1, 0.8]; default all. Extra. */
  readonly guidanceInterval?: readonly [from: number, to: number] | undefined;
  /** How much of the spread that guidance adds to a prediction is taken back, 0 to 1; default 0. Extra. */
  readonly guidanceRescale?: number | undefined;
  /** Also returns what the latents of every step look like. */
  readonly decodeLatents?: boolean | undefined;
  /** Of the decoded latents: 'pil' pictures, anything else an array [B * T, H, W, 3]. Default 'pil'. */
  readonly outputType?: OutputType | undefined;
  /** Told of every callbackSteps-th step. */
  readonly callback?: StepCallback | undefined;
  /** How many steps lie between two calls of `callback`; default 1. */
  readonly callbackSteps?: number | undefined;
  /** Weight of the auto-correlation term of the regularisation; default 20. */
  readonly lambdaAutoCorr?: number | undefined;
  /** Weight of the divergence term of the regularisation; default 20. */
  readonly lambdaKl?: number | undefined;
  /** Rounds of noise regularisation a step; default 0, none. */
  readonly numRegSteps?: number | undefined;
  /** Updates against autocorrelation in a round of regularisation, each at random shifts; at least 1, default 5. */
  readonly numAutoCorrRolls?: number | undefined;
  /**
   * 'ddim' follows the model backwards. 'ddpm' puts independent noise on the picture at every level and keeps what the model's steps lack of
   * it, for an edit with all of a DDPM's noise (edit-friendly DDPM inversion). Default 'ddim'. Extra.
   * @see Huberman-Spiegelglas et al. 2023, https://arxiv.org/abs/2304.06140
   */
  readonly inversion?: 'ddim' | 'ddpm' | undefined;
  /**
   * Fixed-point rounds a step: z' = step(z, e(z', t)) again with the z' of the round before; each costs one more evaluation of the UNet.
   * Default 0. Extra.
   * @see Garibi et al. 2024, ReNoise, https://arxiv.org/abs/2403.14602, without its averaging
   */
  readonly inversionRounds?: number | undefined;
}

/** What `invert` found: the latents of every step, and pictures of them on request. */
export interface InversionOutput {
  /** [B, T, 4, H, W], noisiest first. */
  readonly latents: NdArray;
  /** With inversion 'ddpm': what `edit` takes as inversionNoise, [B, T, 4, H, W], of the first step of an edit first. */
  readonly noise?: NdArray;
  /** With decodeLatents: B * T pictures in the order of `latents`. */
  readonly images?: RgbImage[] | NdArray;
}

/** What `edit` takes: a prompt of what the changed region shall show, mask, inverted latents, and how strongly to follow each. */
export interface EditArgs extends CommonArgs, PromptArgs {
  /** Of latent size; white, or 1, is what changes. */
  readonly maskImage: MaskInput;
  /** [B, T, 4, H, W] as `invert` returns them, [B * T, 4, H, W], or a list of either, or of single [4, H, W]. */
  readonly imageLatents: NumericArray | readonly NumericArray[];
  /** The noise of every step, [B, T, 4, H, W], as `invert` returns it with inversion 'ddpm'; the edit then takes eta 1. Extra. */
  readonly inversionNoise?: NumericArray | readonly NumericArray[] | undefined;
  /** As given to `invert`; default 0.8. */
  readonly inpaintStrength?: number | undefined;
  /** As given to `invert`; default 50. */
  readonly numInferenceSteps?: number | undefined;
  /** Default 7.5; at 1 or below without classifier-free guidance. */
  readonly guidanceScale?: number | undefined;
  /** Noise levels that guidance acts at, as shares of the training timesteps, such as [0.1, 0.8]; default all. Extra. */
  readonly guidanceInterval?: readonly [from: number, to: number] | undefined;
  /** How much of the spread that guidance adds to a prediction is taken back, 0 to 1; default 0. Extra. */
  readonly guidanceRescale?: number | undefined;
  /** Pictures for each prompt; default 1. */
  readonly numImagesPerPrompt?: number | undefined;
  /** Share of fresh noise a step, 0 (DDIM) to 1 (DDPM); default 0. */
  readonly eta?: number | undefined;
  /** Ignored, as in diffusers. */
  readonly latents?: unknown;
  /** Pictures, or arrays of pixels or latents; default 'pil'. */
  readonly outputType?: OutputType | undefined;
  /** Told of every callbackSteps-th step. */
  readonly callback?: StepCallback | undefined;
  /** How many steps lie between two calls of `callback`; default 1. */
  readonly callbackSteps?: number | undefined;
  /** Last layers of the text encoder that the positive prompt skips. */
  readonly clipSkip?: number | undefined;
  /**
   * 'binary' cuts the mask at 0.5. 'soft' takes it as D in [0, 1], how much each place shall change: its latents are free at step i (from
   * 0) of the n that run where D > 1 - ((i + 1) / n)^maskExponent, else they are the inverted ones of the same noise level; after the last
   * step those of the picture itself (`run`) or the least noisy ones (`edit`). Default 'binary'. Extra.
   * @see Levin & Fried 2023, Differential Diffusion, https://arxiv.org/abs/2306.00950
   */
  readonly maskMode?: MaskMode | undefined;
  /** Of a soft mask, above 0: below 1 places become free earlier, above 1 later. Default 1. Extra. */
  readonly maskExponent?: number | undefined;
  /** Puts the changed region into this picture, at its own size; needs outputType 'pil'. Extra. */
  readonly pasteBack?: PasteBack | undefined;
}

/** A picture into which only the masked region of the result is pasted. */
export interface PasteBack {
  /** One for all results, or one for each prompt. */
  readonly image: RgbImage | readonly RgbImage[];
  /** Sigma of the mask's soft edge in pixels of the picture; default half a latent's side, as large as it is there. */
  readonly blur?: number | undefined;
  /** What `fitImage` returned for this picture (of each, where there are several of one size); by default the edit covers all of it. */
  readonly fit?: PictureFit | undefined;
}

/** Arguments that ask for pictures, as the default does. */
export interface AsPictures {
  /** 'pil', or left out. */
  readonly outputType?: 'pil' | undefined;
}

/** Result of `edit`; `Images` is RgbImage[] where outputType is 'pil' or left out. */
export interface EditOutput<Images = RgbImage[] | NdArray> {
  /** Pictures for 'pil', [B, H, W, 3] for 'np', [B, 3, H, W] for 'pt', [B, 4, H, W] for 'latent'. */
  readonly images: Images;
  /** There is no safety checker. */
  readonly nsfwContentDetected: undefined;
}

type Shared = 'image' | 'signal' | 'onProgress' | 'generator' | 'crossAttentionKwargs';

/** Arguments of `run`: those of the three phases, each under its own name, and what they share. */
export interface RunArgs
  extends CommonArgs,
    Omit<GenerateMaskArgs, Shared | 'outputType'>,
    Omit<
      InvertArgs,
      Shared | 'prompt' | 'negativePrompt' | 'promptEmbeds' | 'negativePromptEmbeds' | 'decodeLatents' | 'outputType'
    >,
    Omit<EditArgs, Shared | 'prompt' | 'promptEmbeds' | 'maskImage' | 'imageLatents' | 'latents'> {
  /** One picture, or one for each prompt; arrays [N, 4, H, W] are latents. Not needed where mask and latents are given. */
  readonly image: PictureInput;
  /** Of the edit; by default the source prompt, as the published guide does. */
  readonly negativePrompt?: Prompt | undefined;
  /** What the inversion is pushed away from, where its guidance is above 1; by default empty. */
  readonly invertNegativePrompt?: Prompt | undefined;
  /** [B, L, D], instead of invertNegativePrompt. */
  readonly invertNegativePromptEmbeds?: NdArray | undefined;
  /** Guidance of the mask alone; default guidanceScale. */
  readonly maskGuidanceScale?: number | undefined;
  /** Guidance of the inversion alone; 1 keeps it from drifting. Default guidanceScale. */
  readonly invertGuidanceScale?: number | undefined;
  /** Each of the three phases draws from a fresh torch CPU stream with this seed. */
  readonly seed?: number | undefined;
  /** Skips the mask phase. */
  readonly maskImage?: MaskInput | undefined;
  /** Skips the inversion. */
  readonly imageLatents?: NumericArray | readonly NumericArray[] | undefined;
  /** Also reads the inverted latents back; default false. */
  readonly returnLatents?: boolean | undefined;
}

/** Result of `run`; `Images` is RgbImage[] where outputType is 'pil' or left out. */
export interface RunOutput<Images = RgbImage[] | NdArray> {
  /** Absent where the mask was given. */
  readonly mask?: MaskOutput;
  /** With returnLatents. */
  readonly latents?: NdArray;
  /** With returnLatents and inversion 'ddpm'. */
  readonly noise?: NdArray;
  /** Pictures for 'pil', else arrays as EditOutput says. */
  readonly images: Images;
  /** Milliseconds spent in each phase. */
  readonly timings: Readonly<Partial<Record<Phase, number>>>;
}

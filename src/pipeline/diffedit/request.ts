/**
 * What a call will do, settled once: arguments with their defaults, checked, and everything that follows from them before
 * the device works. Phases take these and nothing else. Built by phase-requests.ts and run-request.ts.
 */
import type { NdArray } from '../../core/ndarray.ts';
import type { OutputType } from '../../io/postprocess.ts';
import type { Generator, ScheduledStep } from '../../schedulers/index.ts';
import type { Generators } from '../diffusion/generators.ts';
import type { PromptRequest } from '../diffusion/prompt-request.ts';
import type { StepCallback } from '../diffusion/sampling-loop.ts';
import type { Guidance } from './guidance.ts';
import type { PasteBack } from './types.ts';

/** What all phases have in common. */
interface PhaseRequest {
  /** B: prompts. */
  readonly batch: number;
  readonly guidance: Guidance;
  /** N of the whole schedule, which the pipeline's public scheduler takes over once the call is accepted. */
  readonly numInferenceSteps: number;
  readonly generator: Generators;
  /** Whether the original's slips are mended. */
  readonly mendQuirks: boolean;
}

/** Who is told of the steps of a loop. */
export interface StepListener {
  readonly callback: StepCallback | undefined;
  /** Every so many steps. */
  readonly callbackSteps: number;
}

/** The mask phase. Its guidance is without negatives where they cancel. */
export interface MaskRequest extends PhaseRequest {
  readonly source: PromptRequest;
  readonly target: PromptRequest;
  /** Noise level of the maps. */
  readonly timestep: number;
  /** Noisy copies that are compared. */
  readonly maps: number;
  /** What the difference of the two predictions is multiplied by: what guidance would, where the negatives cancel; else 1. */
  readonly gain: number;
  /** Differences are cut at this many times their mean. */
  readonly ratio: number;
  /** Where the scaled map becomes 1. */
  readonly threshold: number;
  readonly continuous: boolean;
  /** Whether gaps, holes and specks go before. */
  readonly cleanup: boolean;
  /** What happens to the mask then, in this order; 0 is nothing. */
  readonly refine: { readonly erode: number; readonly dilate: number; readonly blur: number };
  /** Whether the mask comes as pictures too. */
  readonly asPictures: boolean;
}

/** How predictions are pushed towards white noise. */
export interface Regularisation {
  readonly numRegSteps: number;
  readonly numAutoCorrRolls: number;
  readonly lambdaAutoCorr: number;
  readonly lambdaKl: number;
  /** Source of the rolls. */
  readonly generator: Generator;
}

/** The inversion. */
export interface InvertRequest extends PhaseRequest, StepListener {
  readonly prompt: PromptRequest;
  /** Ascending, for 'ddim'. */
  readonly schedule: readonly ScheduledStep[];
  readonly regularisation: Regularisation | undefined;
  /** 'ddpm': the schedule is the edit's, descending, with all of a DDPM's noise. */
  readonly kind: 'ddim' | 'ddpm';
  /** Fixed-point rounds a step. */
  readonly rounds: number;
  /** Whether the latents are read back. */
  readonly returned: boolean;
  /** As what they are decoded then; undefined for not at all. */
  readonly decoded: 'pil' | 'np' | undefined;
}

/** The edit. */
export interface EditRequest extends PhaseRequest, StepListener {
  readonly prompt: PromptRequest;
  /** Descending. */
  readonly schedule: readonly ScheduledStep[];
  /** Pictures for each prompt. */
  readonly copies: number;
  /** Whether steps add fresh noise. */
  readonly noisy: boolean;
  /** [B, 1, h, w]; absent where the mask phase of the same run makes it. */
  readonly mask: NdArray | undefined;
  /** The exponent by which a soft mask opens; undefined where the mask is zeros and ones. Soft masks mend the original's blend. */
  readonly softExponent: number | undefined;
  /** [T, B, C, h, w]; absent where the inversion of the same run makes them. */
  readonly latents: NdArray | undefined;
  /** [T, B, C, h, w]: the noise of the steps; absent where it is drawn, or the inversion of the same run finds it. */
  readonly noise: NdArray | undefined;
  readonly output: OutputType;
  readonly pasteBack: PasteBack | undefined;
}

/** One call: a phase of its own, or all those of a run. What is absent is not done. */
export interface Request {
  /** [N, C, H, W], prepared, of mask and inversion. */
  readonly pictures?: NdArray | undefined;
  readonly mask?: MaskRequest | undefined;
  readonly invert?: InvertRequest | undefined;
  readonly edit?: EditRequest | undefined;
  /** Whether the first picture is also decoded as it was encoded. */
  readonly roundTrip?: boolean | undefined;
}

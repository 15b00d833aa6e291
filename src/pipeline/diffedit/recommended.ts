/**
 * Settings that fit a model, as its folder recommends them in pentimento.json. The library shows them and takes none by itself: its
 * defaults are diffusers'. recommended-file.ts reads them.
 */
import type { RunArgs } from './types.ts';

/** The file, at the root of a model folder. */
export const RECOMMENDED_FILE = 'pentimento.json';

/**
 * Arguments of `run` that a model may recommend a value of: numbers, booleans and enumerations that say how a picture is edited. Never
 * prompts, files, seeds, callbacks or the number of pictures.
 */
export type RecommendedName =
  | 'numMapsPerMask'
  | 'maskEncodeStrength'
  | 'maskThresholdingRatio'
  | 'maskGuidanceScale'
  | 'threshold'
  | 'continuous'
  | 'maskMode'
  | 'maskExponent'
  | 'maskCleanup'
  | 'erode'
  | 'dilate'
  | 'blur'
  | 'invertGuidanceScale'
  | 'numInferenceSteps'
  | 'guidanceScale'
  | 'guidanceInterval'
  | 'guidanceRescale'
  | 'inpaintStrength'
  | 'lambdaAutoCorr'
  | 'lambdaKl'
  | 'numRegSteps'
  | 'numAutoCorrRolls'
  | 'inversion'
  | 'inversionRounds'
  | 'eta'
  | 'clipSkip';

/** Settings as `run` takes them: `pipe.run({ ...pipe.recommended?.settings, image, sourcePrompt, targetPrompt })`. */
export type RecommendedSettings = { readonly [N in RecommendedName]?: NonNullable<RunArgs[N]> } & {
  /** '' where the model is edited better without a negative; absent or undefined where it is the source prompt, as by default. */
  readonly negativePrompt?: '' | undefined;
};

/** What a model's folder recommends. Frozen. */
export interface Recommended {
  /** Why, in the file's own words; '' where it says nothing. */
  readonly reason: string;
  /** Why single settings are as they are, by their names. */
  readonly reasons: Readonly<Record<string, string>>;
  /** The settings; each has passed the check of its argument. */
  readonly settings: RecommendedSettings;
  /** What is otherwise where prompts are means of many embeddings, as the guide makes them; {} for nothing. */
  readonly guide: RecommendedSettings;
}

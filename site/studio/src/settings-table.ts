/** The settings of an edit: names and defaults are diffusers' own, in camelCase. */
import type { RecommendedName } from 'pentimento';

/** What a setting may be. */
type Kind =
  | { readonly kind: 'number'; readonly min: number; readonly max?: number; readonly step: number | 'any' }
  | { readonly kind: 'choice'; readonly choices: readonly string[] }
  | { readonly kind: 'switch' }
  | { readonly kind: 'pair' };

/** One setting. */
export type Setting = Kind & {
  readonly name: RecommendedName;
  /** What it is where nobody says anything, in words. */
  readonly usual: string;
  /** What it does. */
  readonly help: string;
};

const number = (
  name: RecommendedName,
  [min, max, step]: readonly [number, number | undefined, number | 'any'],
  usual: string,
  help: string,
): Setting => ({ name, kind: 'number', min, ...(max === undefined ? {} : { max }), step, usual, help });
const choice = (name: RecommendedName, choices: readonly string[], usual: string, help: string): Setting => ({
  name,
  kind: 'choice',
  choices,
  usual,
  help,
});
const onOff = (name: RecommendedName, help: string): Setting => ({ name, kind: 'switch', usual: 'off', help });

/** All settings, in the order in which an edit comes by them. */
export const SETTINGS: readonly Setting[] = [
  number('numInferenceSteps', [1, 1000, 1], '50', 'Steps of the whole schedule. More is slower and finer.'),
  number('guidanceScale', [0, undefined, 'any'], '7.5', 'How strongly the words act.'),
  number('inpaintStrength', [0, 1, 'any'], '0.8', 'Share of the steps that is done.'),
  number('numMapsPerMask', [1, undefined, 1], '10', 'Noisy copies that are compared for the mask.'),
  number('maskEncodeStrength', [0, 1, 'any'], '0.5', 'How noisy those copies are.'),
  number('maskThresholdingRatio', [0, undefined, 'any'], '3', 'Differences are cut at so many times their mean.'),
  number('maskGuidanceScale', [0, undefined, 'any'], 'guidanceScale', 'Guidance of the mask alone.'),
  choice('maskMode', ['binary', 'soft'], 'binary', 'Whether the mask says how early each place may change.'),
  number('maskExponent', [0, undefined, 'any'], '1', 'Of a soft mask: below 1 places become free earlier.'),
  onOff('maskCleanup', 'Closes gaps of the mask, fills holes, drops specks.'),
  number('erode', [0, undefined, 1], '0', 'Latents by which the mask shrinks when it is found.'),
  number('dilate', [0, undefined, 1], '0', 'Latents by which the mask grows when it is found.'),
  number('blur', [0, undefined, 'any'], '0', 'Blur of the mask when it is found.'),
  number('invertGuidanceScale', [0, undefined, 'any'], 'guidanceScale', 'Guidance of the inversion; 1 does not drift.'),
  { name: 'guidanceInterval', kind: 'pair', usual: 'all', help: 'Noise levels that guidance acts at: 0.2, 1.' },
  number('guidanceRescale', [0, 1, 'any'], '0', 'How much of guidance’s spread is taken back.'),
  choice('inversion', ['ddim', 'ddpm'], 'ddim', 'How the picture becomes noise.'),
  number('inversionRounds', [0, undefined, 1], '0', 'Fixed-point rounds a step of the inversion.'),
  number('numRegSteps', [0, undefined, 1], '0', 'Rounds of noise regularisation a step.'),
  number('numAutoCorrRolls', [1, undefined, 1], '5', 'Updates against autocorrelation in such a round.'),
  number('lambdaAutoCorr', [0, undefined, 'any'], '20', 'Weight of the autocorrelation.'),
  number('lambdaKl', [0, undefined, 'any'], '20', 'Weight of the divergence.'),
  number('eta', [0, 1, 'any'], '0', 'Share of fresh noise a step.'),
  number('clipSkip', [0, undefined, 1], 'none', 'Last layers of the text encoder that are skipped.'),
];

/** Checks of arguments before any work: every refusal of diffusers' pipeline as a typed error, and a few of our own. */
import { InputError } from '../../core/errors.ts';
import { checkPrompts, type PromptArgs, promptNames } from '../diffusion/prompt-arguments.ts';
import type { CommonArgs, GenerateMaskArgs } from './types.ts';

/**
 * Arguments with defaults where they are undefined. null stays, for the checks to refuse: diffusers takes no None for a
 * number either.
 */
export function withDefaults<A extends object, D extends object>(args: A, defaults: D): A & D {
  const given = Object.entries(args).filter(([, value]) => value !== undefined);
  return { ...defaults, ...Object.fromEntries(given) } as A & D;
}

/** @throws InputError outside [0, 1] */
export function checkStrength(op: string, value: unknown, path: string): void {
  if (typeof value === 'number' && value >= 0 && value <= 1) return;
  throw new InputError({
    op,
    problem: 'strength out of range',
    expected: 'a number from 0 to 1',
    received: value,
    path,
  });
}

/** @throws InputError for anything but a whole number of at least `least` */
export function checkCount(op: string, value: unknown, path: string, least: number = 1): void {
  if (typeof value === 'number' && Number.isInteger(value) && value >= least) return;
  throw new InputError({ op, problem: 'not a count', expected: `a whole number >= ${least}`, received: value, path });
}

/** @throws InputError for anything but a finite number, or one outside the bounds */
export function checkNumber(
  op: string,
  value: unknown,
  path: string,
  least: number = Number.NEGATIVE_INFINITY,
  most: number = Number.POSITIVE_INFINITY,
): void {
  if (typeof value === 'number' && Number.isFinite(value) && value >= least && value <= most) return;
  const [low, high] = [Number.isFinite(least) ? ` >= ${least}` : '', Number.isFinite(most) ? ` <= ${most}` : ''];
  throw new InputError({
    op,
    problem: 'not a number in range',
    expected: `a finite number${low}${high}`,
    received: value,
    path,
  });
}

/**
 * Steps that `strength` leaves of `steps`: min(trunc(steps * strength), steps).
 * @throws InputError where none is left
 */
export function stepsOf(op: string, steps: number, strength: number, path: string): number {
  const count = Math.min(Math.trunc(steps * strength), steps);
  if (count >= 1) return count;
  throw new InputError({
    op,
    problem: `numInferenceSteps ${steps} at ${path} ${strength} leave no step`,
    expected: `at least 1 of ${steps}`,
    received: count,
    path,
    fix: 'Use more steps or a higher strength.',
  });
}

/** Refuses what LoRA layers and attention processors would take; `scale` acts on LoRA layers only, of which there are none. */
export function checkCrossAttention(op: string, args: CommonArgs): void {
  for (const [name, value] of Object.entries(args.crossAttentionKwargs ?? {})) {
    if (name === 'scale' && typeof value === 'number') continue;
    throw new InputError({
      op,
      problem: 'an attention argument that is not built',
      expected: 'scale, a number',
      received: `${name}: ${typeof value}`,
      path: 'crossAttentionKwargs',
      fix: 'Leave it out; LoRA, IP-Adapter and other attention processors are not part of this library.',
    });
  }
}

/** Checks of `generateMask` that need no model, in diffusers' order. */
export function checkMaskArgs(op: string, a: GenerateMaskArgs): void {
  checkStrength(op, a.maskEncodeStrength, 'maskEncodeStrength');
  checkPrompts(op, targetOf(a), promptNames('target'));
  checkPrompts(op, sourceOf(a), promptNames('source'));
  checkCount(op, a.numMapsPerMask, 'numMapsPerMask');
  if (!(typeof a.maskThresholdingRatio === 'number' && a.maskThresholdingRatio > 0)) {
    throw new InputError({
      op,
      problem: 'not a ratio',
      expected: 'a number > 0',
      received: a.maskThresholdingRatio,
      path: 'maskThresholdingRatio',
    });
  }
  checkNumber(op, a.guidanceScale, 'guidanceScale');
  if (a.threshold !== undefined) checkNumber(op, a.threshold, 'threshold', 0, 1);
  if (a.dilate !== undefined) checkCount(op, a.dilate, 'dilate', 0);
  if (a.erode !== undefined) checkCount(op, a.erode, 'erode', 0);
  if (a.blur !== undefined) checkNumber(op, a.blur, 'blur', 0);
}

/** The target's four arguments under their plain names. */
export function targetOf(a: GenerateMaskArgs): PromptArgs {
  return {
    prompt: a.targetPrompt,
    negativePrompt: a.targetNegativePrompt,
    promptEmbeds: a.targetPromptEmbeds,
    negativePromptEmbeds: a.targetNegativePromptEmbeds,
  };
}

/** The source's four arguments under their plain names. */
export function sourceOf(a: GenerateMaskArgs): PromptArgs {
  return {
    prompt: a.sourcePrompt,
    negativePrompt: a.sourceNegativePrompt,
    promptEmbeds: a.sourcePromptEmbeds,
    negativePromptEmbeds: a.sourceNegativePromptEmbeds,
  };
}

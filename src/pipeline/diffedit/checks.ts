/** Checks of arguments before any work: every refusal of diffusers' pipeline as a typed error, and a few of our own. */
import { InputError, ShapeError } from '../../core/errors.ts';
import type { NdArray } from '../../core/ndarray.ts';
import { dim, sameShape } from '../../core/shape.ts';
import type { CommonArgs, GenerateMaskArgs, Prompt } from './types.ts';

/** A prompt in either form, with its negative in either form, and the names under which the caller knows them. */
export interface PromptArgs {
  readonly prompt?: Prompt | undefined;
  readonly negativePrompt?: Prompt | undefined;
  readonly promptEmbeds?: NdArray | undefined;
  readonly negativePromptEmbeds?: NdArray | undefined;
}

export interface PromptNames {
  readonly prompt: string;
  readonly negativePrompt: string;
  readonly promptEmbeds: string;
  readonly negativePromptEmbeds: string;
}

/** Names of the four arguments, `prefix` being '', 'source' or 'target'. */
export function promptNames(prefix: string): PromptNames {
  const name = (rest: string): string => (prefix ? `${prefix}${rest}` : `${rest[0]?.toLowerCase()}${rest.slice(1)}`);
  return {
    prompt: name('Prompt'),
    negativePrompt: name('NegativePrompt'),
    promptEmbeds: name('PromptEmbeds'),
    negativePromptEmbeds: name('NegativePromptEmbeds'),
  };
}

/**
 * Exactly one form of the prompt, at most one of the negative, and shapes that agree.
 * @param op the method, for messages
 * @throws InputError or ShapeError
 */
export function checkPrompts(op: string, args: PromptArgs, names: PromptNames): void {
  const { prompt, promptEmbeds, negativePrompt, negativePromptEmbeds } = args;
  if (prompt != null && promptEmbeds != null) throw both(op, names.prompt, names.promptEmbeds);
  if (prompt == null && promptEmbeds == null) {
    throw new InputError({
      op,
      problem: `neither ${names.prompt} nor ${names.promptEmbeds} was given`,
      expected: 'one of the two',
      fix: `Pass ${names.prompt}: a string, or a list with one for each picture.`,
    });
  }
  if (prompt != null) checkText(op, prompt, names.prompt);
  if (negativePrompt != null && negativePromptEmbeds != null) {
    throw both(op, names.negativePrompt, names.negativePromptEmbeds);
  }
  if (negativePrompt != null) checkText(op, negativePrompt, names.negativePrompt);
  if (promptEmbeds != null) checkEmbeds(op, promptEmbeds, names.promptEmbeds);
  if (negativePromptEmbeds != null) checkEmbeds(op, negativePromptEmbeds, names.negativePromptEmbeds);
  if (promptEmbeds && negativePromptEmbeds && !sameShape(promptEmbeds.shape, negativePromptEmbeds.shape)) {
    throw new ShapeError({
      op,
      problem: `${names.promptEmbeds} and ${names.negativePromptEmbeds} differ in shape`,
      expected: promptEmbeds.shape,
      received: negativePromptEmbeds.shape,
      fix: 'Encode both for the same number of prompts.',
    });
  }
}

function both(op: string, one: string, other: string): InputError {
  return new InputError({
    op,
    problem: `${one} and ${other} were both given`,
    expected: 'one of the two',
    fix: `Leave ${other} out.`,
  });
}

function checkText(op: string, value: unknown, path: string): void {
  if (typeof value === 'string') return;
  if (Array.isArray(value) && value.length > 0 && value.every(item => typeof item === 'string')) return;
  throw new InputError({
    op,
    problem: 'not a prompt',
    expected: 'a string, or a list of strings with at least one',
    received: Array.isArray(value)
      ? `a list of ${value.length ? [...new Set(value.map(v => typeof v))].join(' and ') : 'nothing'}`
      : typeof value,
    path,
  });
}

function checkEmbeds(op: string, embeds: NdArray, path: string): void {
  const { data, shape } = embeds;
  const size = shape?.reduce((a, b) => a * b, 1);
  if (shape?.length === 3 && size === data?.length && size > 0) return;
  throw new ShapeError({
    op,
    problem: 'not embeddings',
    expected: '[B, L, D] and as many values',
    received: shape ?? typeof embeds,
    path,
    fix: 'Pass what encodePrompt returns.',
  });
}

/** Number of prompts. Assumes `checkPrompts`. */
export function batchOf(args: PromptArgs): number {
  if (typeof args.prompt === 'string') return 1;
  return args.prompt?.length ?? dim(args.promptEmbeds?.shape ?? [], 0);
}

/**
 * The negative prompts of a batch: '' where none was given.
 * @throws InputError where type or number differ from the prompts'
 */
export function negativesOf(op: string, args: PromptArgs, names: PromptNames): readonly string[] {
  const { prompt, negativePrompt } = args;
  const batch = batchOf(args);
  if (negativePrompt == null) return new Array<string>(batch).fill('');
  if (prompt != null && typeof prompt !== typeof negativePrompt) {
    throw new InputError({
      op,
      problem: `${names.prompt} and ${names.negativePrompt} are of different kinds`,
      expected: typeof prompt === 'string' ? 'a string' : `a list of ${batch}`,
      received: typeof negativePrompt === 'string' ? 'a string' : `a list of ${negativePrompt.length}`,
      path: names.negativePrompt,
    });
  }
  const list = typeof negativePrompt === 'string' ? [negativePrompt] : negativePrompt;
  if (list.length === batch) return list;
  throw new InputError({
    op,
    problem: `${names.prompt} and ${names.negativePrompt} differ in number`,
    expected: batch,
    received: list.length,
    path: names.negativePrompt,
  });
}

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

/** A prompt as callers give it: text or embeddings, with a negative in either form; checked before any work. */
import { InputError, ShapeError } from '../../core/errors.ts';
import type { NdArray } from '../../core/ndarray.ts';
import { dim, sameShape } from '../../core/shape.ts';

/** One prompt or one for each picture of a batch. */
export type Prompt = string | readonly string[];

/** A prompt in either form, with its negative in either form. */
export interface PromptArgs {
  /** One text, or one for each row of the batch; this or its embeddings. */
  readonly prompt?: Prompt | undefined;
  /** What guidance leads away from; '' where neither form is given, and for any number of prompts. */
  readonly negativePrompt?: Prompt | undefined;
  /** [B, L, D], instead of the prompt. */
  readonly promptEmbeds?: NdArray | undefined;
  /** [B, L, D], instead of the negative prompt. */
  readonly negativePromptEmbeds?: NdArray | undefined;
}

/** What callers call the four arguments. */
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

/** The four arguments that a method has under these names, under their plain names. */
export function promptsWith(args: object, names: PromptNames): PromptArgs {
  const given = args as Readonly<Record<string, never>>;
  return Object.fromEntries(Object.entries(names).map(([plain, own]) => [plain, given[own]]));
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
 * The negative prompts of a batch: '' where none was given, and for all of it where '' alone was, as models recommend it.
 * @throws InputError where type or number differ from the prompts'
 */
export function negativesOf(op: string, args: PromptArgs, names: PromptNames): readonly string[] {
  const { prompt, negativePrompt } = args;
  const batch = batchOf(args);
  if (negativePrompt == null || negativePrompt === '') return new Array<string>(batch).fill('');
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

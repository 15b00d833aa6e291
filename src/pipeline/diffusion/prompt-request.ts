/** What the text encoder shall give for a phase, settled before it works. */
import { InputError } from '../../core/errors.ts';
import type { NdArray } from '../../core/ndarray.ts';
import { type Shape, sameShape } from '../../core/shape.ts';
import { batchOf, negativesOf, type PromptArgs, type PromptNames } from './prompt-arguments.ts';

/** Prompts of a batch: a text for each, or their embeddings [B, L, D]. */
export type Prompts = readonly string[] | NdArray;

/** Prompts that go together. */
export interface PromptRequest {
  /** What guidance leads to. */
  readonly positive: Prompts;
  /** Absent without guidance. */
  readonly negative: Prompts | undefined;
  /** Last layers of the text encoder that the positive prompt skips; the negative never does. */
  readonly clipSkip: number;
}

/** Whether prompts surely have the same embeddings: the same texts, or equal values, all of them numbers. */
export function samePrompts(a: Prompts | undefined, b: Prompts | undefined): boolean {
  if (!a || !b) return a === b;
  if ('shape' in a || 'shape' in b) return 'shape' in a && 'shape' in b && sameEmbeddings(a, b);
  return a.length === b.length && a.every((text, i) => text === b[i]);
}

function sameEmbeddings(a: NdArray, b: NdArray): boolean {
  return sameShape(a.shape, b.shape) && a.data.every((value, i) => value === b.data[i]);
}

/** Sizes of a text encoder. */
export interface TextSizes {
  /** L: ids of a prompt. */
  readonly length: number;
  /** D of the embeddings. */
  readonly width: number;
  /** Most that clipSkip may skip. */
  readonly layers: number;
}

/** [B, L, D] of the embeddings that prompts will have. */
export function shapeOfPrompts(args: PromptArgs, { length, width }: TextSizes): Shape {
  return args.promptEmbeds?.shape ?? [batchOf(args), length, width];
}

/**
 * What the text encoder shall give for prompts that passed `checkPrompts`.
 * @param names under which the caller knows the arguments
 * @param o.guided whether there is a negative at all
 * @throws InputError where positive and negative do not fit together, or embeddings the model
 */
export function settlePrompts(
  op: string,
  args: PromptArgs,
  names: PromptNames,
  o: { readonly guided: boolean; readonly clipSkip?: number | null | undefined; readonly text: TextSizes },
): PromptRequest {
  const { prompt, promptEmbeds, negativePromptEmbeds } = args;
  const negative = o.guided ? (negativePromptEmbeds ?? negativesOf(op, args, names)) : undefined;
  const shape = shapeOfPrompts(args, o.text);
  checkShape(op, shape, names.promptEmbeds, shape, o.text);
  if (negative) {
    const own = 'shape' in negative ? negative.shape : [negative.length, o.text.length, o.text.width];
    checkShape(op, own, names.negativePromptEmbeds, shape, o.text);
  }
  const texts = typeof prompt === 'string' ? [prompt] : prompt;
  return { positive: texts ?? (promptEmbeds as NdArray), negative, clipSkip: o.clipSkip ?? 0 };
}

function checkShape(op: string, shape: Shape, path: string, positive: Shape, { width }: TextSizes): void {
  const expected = [...positive.slice(0, 2), width];
  if (sameShape(shape, expected)) return;
  throw new InputError({
    op,
    problem: 'embeddings do not fit the model or each other',
    expected,
    received: shape,
    path,
    fix: 'Encode prompt and negative prompt with this pipeline, for the same number of prompts.',
  });
}

/**
 * Everything about an edit that is plain data, settled: what a manifest keeps and a queue carries. Edits that ask for the same are the
 * same text, however they were written.
 */
import type { JsonValue } from '../../core/canonical-json.ts';
import { InputError } from '../../core/errors.ts';
import { checkNames } from '../../core/known-names.ts';
import type { FitMode } from '../../io/fit.ts';
import { type PictureSize, sizeText } from '../../io/image.ts';
import { ARGUMENTS, type ArgumentName, argumentsOf, defaultOf } from '../diffedit/arguments.ts';
import { settleRun } from '../diffedit/run-request.ts';
import type { RunArgs } from '../diffedit/types.ts';

/** Arguments of `run` that plain data can give: those that the command line has an option for. */
export type PlainArgument = {
  [N in ArgumentName]: (typeof ARGUMENTS)[N] extends { readonly option: unknown } ? N : never;
}[ArgumentName] &
  keyof RunArgs;

/** How a picture of any size comes to the model, and its result back. */
export interface PictureHandling {
  /** As `fitImage` takes it; by default the picture goes to the model as it is, as in diffusers. */
  readonly fit?: FitMode | undefined;
  /** Pixels to work at, or the picture's 'own'; default the model's. Needs `fit`. */
  readonly size?: PictureSize | 'own' | undefined;
  /** Whether the masked region is put into the picture at its own size; default where `fit` is given and not 'squash'. */
  readonly pasteBack?: boolean | undefined;
}

/** An edit of one picture as plain data: one prompt each, no tensors, a seed in place of a generator. */
export type PlainEdit = { readonly [N in PlainArgument]?: Exclude<RunArgs[N], readonly string[]> } & PictureHandling;

/** The same with nothing left out: null where there is no default. */
export type SettledEdit = Readonly<Record<string, JsonValue>>;

const HANDLING: readonly string[] = ['fit', 'size', 'pasteBack'] satisfies (keyof PictureHandling)[];
const FITS: readonly unknown[] = ['nearest', 'crop', 'pad', 'squash'] satisfies FitMode[];

/** What stands for the picture where an edit is checked without one. */
const STAND_IN = { width: 8, height: 8, data: new Uint8Array(192) };

/** Names of a plain edit, in the order of the table of arguments. */
export function plainNames(): readonly string[] {
  return [...argumentsOf('run').filter(name => 'option' in ARGUMENTS[name]), ...HANDLING];
}

/**
 * Checks an edit and fills in what was left out.
 * @param op the function that was called, for messages
 * @param edit what was asked for; `seed` is needed, for without one every call is another
 * @param withMask whether a mask comes with it, so that none is searched for
 * @throws InputError or ShapeError naming the argument, before anything is loaded
 */
export function settledEdit(op: string, edit: PlainEdit, withMask = false): SettledEdit {
  const names = plainNames();
  checkNames(op, edit, names);
  checkHandling(op, edit);
  const { fit, size, pasteBack = fit !== undefined && fit !== 'squash', ...args } = edit;
  if (args.seed === undefined) {
    throw new InputError({ op, problem: 'an edit without a seed', path: 'seed', fix: 'Give one, such as seed: 0.' });
  }
  checkPlain(op, args);
  settleRun(op, { ...args, image: STAND_IN, ...(withMask ? { maskImage: STAND_IN } : {}) });
  const given: Readonly<Record<string, unknown>> = { ...args, fit, pasteBack, size: plainSize(size) };
  return Object.fromEntries(names.map(name => [name, (given[name] ?? defaultOf('run', name) ?? null) as JsonValue]));
}

/** The edit behind a settled one: what has no value is left out. */
export function editOf(settled: SettledEdit): PlainEdit {
  return Object.fromEntries(Object.entries(settled).filter(([, value]) => value !== null)) as PlainEdit;
}

/** Without other members, so that equal sizes are equal texts. */
function plainSize(size: PictureHandling['size']): PictureHandling['size'] {
  return typeof size === 'object' ? { width: size.width, height: size.height } : size;
}

/** What `run` takes and plain data cannot say. */
function checkPlain(op: string, args: Readonly<Record<string, unknown>>): void {
  for (const [name, value] of Object.entries(args)) {
    const wants = (expected: string): never => {
      throw new InputError({ op, problem: 'a wrong value', expected, value, path: name });
    };
    if (value === undefined) continue;
    if (name === 'seed' && !Number.isSafeInteger(value)) wants('a whole number of at most 53 bits');
    if (typeof value === 'number' && !Number.isFinite(value)) wants('a finite number');
    if (typeof defaultOf('run', name) === 'boolean' && typeof value !== 'boolean') wants('true or false');
    if (Array.isArray(value) && name !== 'guidanceInterval') wants('one text');
  }
}

function checkHandling(op: string, { fit, size, pasteBack }: PictureHandling): void {
  const fail = (path: string, expected: string, received: unknown): never => {
    throw new InputError({ op, problem: 'a wrong value', expected, value: received, path });
  };
  if (fit !== undefined && !FITS.includes(fit)) fail('fit', FITS.join(', '), fit);
  if (pasteBack !== undefined && typeof pasteBack !== 'boolean') fail('pasteBack', 'true or false', pasteBack);
  const { width, height } = Object(size) as Partial<PictureSize>;
  const isSize = [width, height].every(side => Number.isSafeInteger(side) && Number(side) > 0);
  if (size !== undefined && size !== 'own' && !isSize)
    fail('size', "{ width, height } in whole pixels, or 'own'", size);
  if (size === undefined || fit !== undefined) return;
  throw new InputError({
    op,
    problem: 'a size without a fit',
    received: size === 'own' ? size : sizeText(size),
    path: 'size',
    fix: "Give fit too, such as fit: 'nearest'.",
  });
}

/** What a command reads, so that nothing which it writes takes the place of it: refused before any work. */
import { type BigIntStats, statSync } from 'node:fs';
import { extname, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { InputError } from '../core/errors.ts';

/** A name on the command line, and what it is there. */
export interface NamedInput {
  /** A path, a file URL, or what is no file here, such as an address or a Hub id. */
  readonly path: string;
  /** How the command line calls it, such as '--mask'. */
  readonly name: string;
}

/** Options that name a file or folder which is read. */
const FILE_OPTIONS = ['mask', 'latents', 'model', 't5', 'blip', 'config', 'tokenizer', 'lora', 'embedding', 'jobs'];

/**
 * Every file or folder that a command may read.
 * @param picture its first argument
 * @param options its parsed options; `FILE:scale` and `FILE:token` name FILE
 */
export function inputsOf(picture: string, options: object): NamedInput[] {
  const given = options as Readonly<Record<string, unknown>>;
  const named = FILE_OPTIONS.flatMap(key =>
    textsIn(given[key])
      .flatMap(text => [text, text.replace(/:[^:/\\]*$/, '')])
      .map(path => ({ path, name: `--${key}` })),
  );
  return [{ path: picture, name: 'the picture' }, ...named];
}

/** The texts of an option that may come several times, parsed or not. */
function textsIn(value: unknown): string[] {
  if (typeof value === 'string') return [value];
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(textsIn) : [];
}

/**
 * Refuses files to write that are files to read: under any spelling of the path, through links of either kind, and the weights of a
 * model folder.
 * @param outputs every path that the command will write
 * @param inputs every name on its command line that may be a file or folder
 * @throws InputError naming the file and the input that would be lost
 */
export function checkInputsKept(outputs: readonly string[], inputs: readonly NamedInput[]): void {
  const read = inputs.flatMap(({ path, name }) => {
    const stats = statOf(pathOf(path));
    return stats ? [{ name, stats }] : [];
  });
  // By what the system knows a file by: there may be ten thousands.
  const files = new Map(read.map(input => [keyOf(input.stats), input]));
  const folders = read.filter(({ stats }) => stats.isDirectory());
  for (const output of outputs) {
    const stats = statOf(output);
    if (!stats) continue; // nothing is there that could be lost
    const lost = files.get(keyOf(stats)) ?? folders.find(folder => isPartOf(folder.stats, output));
    if (!lost) continue;
    throw new InputError({
      op: 'output',
      problem: `writing this file would destroy an input (${lost.name})`,
      path: output,
      fix: 'Write to another name with -o.',
    });
  }
}

function keyOf({ dev, ino }: BigIntStats): string {
  return `${dev}:${ino}`;
}

function same(a: BigIntStats, b: BigIntStats): boolean {
  return a.ino === b.ino && a.dev === b.dev;
}

/** Whether a path is one of the weights in a model folder: those lie in folders of their own, pictures and latents beside them. */
function isPartOf(folder: BigIntStats, path: string): boolean {
  if (extname(path).toLowerCase() !== '.safetensors') return false;
  const above = resolve(path).split(sep).slice(0, -2);
  return above.some((_, i) => {
    const stats = statOf(above.slice(0, i + 1).join(sep) || sep);
    return stats !== undefined && same(stats, folder);
  });
}

function pathOf(input: string): string {
  if (!/^file:/i.test(input)) return input;
  try {
    return fileURLToPath(input);
  } catch {
    return input; // no file of this machine; whoever reads it says so
  }
}

/** Of what the name leads to; undefined where there is nothing. */
function statOf(path: string): BigIntStats | undefined {
  try {
    return statSync(path, { bigint: true, throwIfNoEntry: false });
  } catch {
    return undefined; // out of reach: reading and writing say why
  }
}

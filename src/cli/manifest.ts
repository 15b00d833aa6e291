/** results.jsonl: what was done in a folder of results, a line a picture. */
import { appendFile, type FileHandle, open, readFile, truncate } from 'node:fs/promises';
import { isAbsolute, sep } from 'node:path';
import type { ErrorJson } from '../core/errors.ts';
import { InputError } from '../core/errors.ts';
import { reason } from '../node/files.ts';
import type { SettledEdit } from '../pipeline/batch/plain-edit.ts';
import type { Size } from './option-values.ts';

/** The file's name. */
export const MANIFEST = 'results.jsonl';

/** A picture that was edited, or why it was not. */
export interface ManifestLine {
  readonly version: 1;
  /** What the result's files are named after; the last line of a name counts. */
  readonly name: string;
  /** The picture: relative to this file's folder, or an address. */
  readonly input: string;
  /** The mask that was given, likewise; absent where it was found. */
  readonly mask?: string | undefined;
  /** Of the picture's file; absent where it could not be read. */
  readonly sha256?: string | undefined;
  /** SHA-256 of all that the result depends on. */
  readonly id?: string | undefined;
  /** Folder or Hub id. */
  readonly model: string;
  /** Of its configs, weights and adapters. */
  readonly fingerprint: string;
  readonly dtype: string;
  /** Adapter. */
  readonly device: string;
  readonly edit?: SettledEdit | undefined;
  readonly seed: number;
  /** Whether a line of a jobs file gave the seed, so that it is not of all pictures. */
  readonly ownSeed?: true | undefined;
  /** Relative to this file's folder; absent where it failed. */
  readonly files?: Readonly<Record<string, string>> | undefined;
  /** Share of the picture that the mask covers. */
  readonly masked?: number | undefined;
  readonly pictureSize?: Size | undefined;
  readonly workingSize?: Size | undefined;
  readonly outputSize?: Size | undefined;
  /** Whole milliseconds by phase. */
  readonly timingsMs?: Readonly<Record<string, number>> | undefined;
  /** When, as ISO 8601. */
  readonly finished: string;
  readonly error?: ErrorJson | undefined;
}

/** How each line begins. */
const BEGIN = '{"version":1,';

/** The manifest of a folder, open for more lines. */
export class Manifest {
  readonly #path: string;
  readonly #lines = new Map<string, ManifestLine>();
  readonly #files = new Set<string>();
  #seed: number | undefined;
  #handle: FileHandle | undefined;

  private constructor(path: string, lines: readonly ManifestLine[]) {
    this.#path = path;
    for (const line of lines) this.#take(line);
  }

  /**
   * Reads what is there; a last line that was cut off, as a kill leaves it, goes.
   * @throws InputError for a file of another version, or that holds something else
   */
  static async read(path: string): Promise<Manifest> {
    const bytes = await readFile(path).catch((cause: NodeJS.ErrnoException) => {
      if (cause.code === 'ENOENT') return undefined;
      throw new InputError({ op: 'manifest', problem: 'it cannot be read', received: reason(cause), path, cause });
    });
    if (!bytes) return new Manifest(path, []);
    const end = bytes.lastIndexOf('\n') + 1;
    const last = bytes.toString('utf8', end);
    const torn = isTorn(last);
    const lines = bytes.toString('utf8', 0, end).split('\n').slice(0, -1);
    const manifest = new Manifest(
      path,
      [...lines, ...(torn ? [] : [last])].map((line, i) => parsed(line, `${path}, line ${i + 1}`)),
    );
    if (!torn) await appendFile(path, '\n');
    else if (end < bytes.length) await truncate(path, end);
    return manifest;
  }

  /** The last line of each name, in the order in which the names came. */
  get lines(): readonly ManifestLine[] {
    return [...this.#lines.values()];
  }

  /** The seed of those that have none of their own; undefined where there are none. */
  get seed(): number | undefined {
    return this.#seed;
  }

  /** The last line of a name. */
  line(name: string): ManifestLine | undefined {
    return this.#lines.get(name);
  }

  /** Whether a file, relative to the folder, is a result that the manifest tells of. */
  tellsOf(file: string): boolean {
    return this.#files.has(file);
  }

  /** Names of results by their pictures. */
  names(): ReadonlyMap<string, readonly string[]> {
    const names = new Map<string, string[]>();
    for (const { input, name } of this.lines) names.set(input, [...(names.get(input) ?? []), name]);
    return names;
  }

  /** Writes a line behind the others. */
  async append(line: ManifestLine): Promise<void> {
    this.#handle ??= await open(this.#path, 'a');
    await this.#handle.appendFile(`${JSON.stringify(line)}\n`);
    this.#take(line);
  }

  async close(): Promise<void> {
    await this.#handle?.close();
    this.#handle = undefined;
  }

  #take(line: ManifestLine): void {
    this.#lines.set(line.name, line);
    for (const file of Object.values(line.files ?? {})) this.#files.add(file);
    if (line.ownSeed === undefined) this.#seed = line.seed;
  }
}

/** Whether the text behind the last line break is nothing, or a line of ours that was cut off; not one that an editor has left without end. */
function isTorn(text: string): boolean {
  try {
    JSON.parse(text);
    return false;
  } catch {
    return text.startsWith(BEGIN) || BEGIN.startsWith(text) || /^\0+$/.test(text);
  }
}

function parsed(text: string, place: string): ManifestLine {
  const fix = 'Name another folder with -o, or move this file away.';
  let line: Partial<ManifestLine> & { readonly version?: unknown };
  try {
    line = Object(JSON.parse(text));
  } catch (cause) {
    throw new InputError({ op: 'manifest', problem: 'a line that is no JSON', path: place, fix, cause });
  }
  if (line.version !== 1) {
    const problem = 'a manifest of another version';
    throw new InputError({ op: 'manifest', problem, expected: 1, value: line.version, path: place, fix });
  }
  const { name, input, seed, files } = line;
  const whole = typeof input === 'string' && Number.isSafeInteger(seed);
  if (whole && [name, ...Object.values(Object(files ?? {}))].every(isBelow)) return line as ManifestLine;
  throw new InputError({ op: 'manifest', problem: 'a line that tells of no picture', path: place, fix });
}

/** Whether it is a name that leads to nothing outside of the folder. */
function isBelow(name: unknown): boolean {
  return typeof name === 'string' && !isAbsolute(name) && !name.split(sep === '/' ? '/' : /[/\\]/).includes('..');
}

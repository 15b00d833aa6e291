/** Reads the files of a tokenizer folder; whatever is missing or damaged becomes an InputError that names the file. */

import { InputError } from '../core/errors.ts';
import { checkFolder } from '../core/kinds.ts';
import { loadPart } from '../core/load-part.ts';
import type { FolderSource } from '../core/tensor-source.ts';
import { parseJsonFile } from '../io/json-file.ts';
import type { StandIn } from '../io/stand-in.ts';

/** A JSON object of which nothing is known yet. */
export type JsonObject = { readonly [key: string]: unknown };

/** How every pointer and every page begins, and few of the files themselves. */
const SUSPECT = /^\s*[<v./]/;

/** One tokenizer's files inside a model folder. */
export class TokenizerFiles {
  /** Folder and subfolder, for messages. */
  readonly label: string;
  private readonly folder: FolderSource;
  private readonly prefix: string;
  private readonly op: string;

  constructor(op: string, folder: FolderSource, path: string) {
    checkFolder(folder, op);
    if (typeof path !== 'string') {
      throw new InputError({ op, problem: 'no subfolder', expected: 'a string', value: path, path: 'path' });
    }
    this.op = op;
    this.folder = folder;
    this.prefix = path === '' ? '' : `${path.replace(/\/+$/, '')}/`;
    this.label = `${folder.label}/${this.prefix}`.replace(/\/+$/, '');
  }

  /** Whether the folder holds this file. */
  has(name: string): Promise<boolean> {
    return this.folder.has(this.prefix + name);
  }

  /** A text file, not a pointer or a page in its place. */
  async text(name: string): Promise<string> {
    await this.demand(name);
    const text = await this.folder.text(this.prefix + name);
    if (SUSPECT.test(text)) {
      const { STAND_IN_BYTES, standInOfText } = await loadPart(
        'what recognises files that stand for others',
        () => import('../io/stand-in.ts'),
      );
      this.refuse(name, standInOfText(text.slice(0, STAND_IN_BYTES)));
    }
    return text;
  }

  /** A JSON file whose root is an object. */
  async json(name: string): Promise<JsonObject> {
    const text = await this.text(name);
    try {
      const value = await parseJsonFile(text, this.op, `${this.label}/${name}`);
      if (isObject(value)) return value;
    } catch (cause) {
      if (cause instanceof InputError) throw cause;
      throw this.damaged(name, 'not valid JSON', { cause });
    }
    throw this.damaged(name, 'not a JSON object');
  }

  /** The same, or an empty object where the folder lacks the file. */
  async jsonIfThere(name: string): Promise<JsonObject> {
    return (await this.has(name)) ? this.json(name) : {};
  }

  /** A whole binary file. */
  async bytes(name: string): Promise<Uint8Array> {
    await this.demand(name);
    const source = await this.folder.bytes(this.prefix + name);
    const bytes = new Uint8Array(source.byteLength);
    await source.read(0, bytes);
    await source.close?.();
    const { STAND_IN_BYTES, standInOf } = await loadPart(
      'what recognises files that stand for others',
      () => import('../io/stand-in.ts'),
    );
    this.refuse(name, standInOf(bytes.subarray(0, STAND_IN_BYTES)));
    return bytes;
  }

  /** The error for a folder that has none of the files that a tokenizer can start from. */
  missing(expected: string): InputError {
    return new InputError({
      op: this.op,
      problem: 'the folder holds no tokenizer of this kind',
      expected,
      path: this.label,
      fix: 'Download the whole model folder, its tokenizer files included.',
    });
  }

  /** The error for a file whose contents cannot be right. */
  damaged(
    name: string,
    problem: string,
    more: { expected?: unknown; received?: unknown; cause?: unknown } = {},
  ): InputError {
    return new InputError({
      op: this.op,
      problem: `${name} is ${problem}`,
      ...more,
      path: `${this.label}/${name}`,
      fix: 'Download the file again.',
    });
  }

  /** The error for a file that is sound but asks for something that this library does not have. */
  unsupported(name: string, problem: string, more: { expected?: unknown; received?: unknown }): InputError {
    return new InputError({ op: this.op, problem: `${name} ${problem}`, ...more, path: `${this.label}/${name}` });
  }

  private refuse(name: string, found: StandIn | undefined): void {
    if (found) throw new InputError({ op: this.op, ...found, path: `${this.label}/${name}` });
  }

  private async demand(name: string): Promise<void> {
    if (await this.has(name)) return;
    throw new InputError({
      op: this.op,
      problem: `${name} is missing`,
      path: `${this.label}/${name}`,
      fix: 'Download the whole model folder, its tokenizer files included.',
    });
  }
}

/** Whether a parsed JSON value is an object and no list. */
export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The longest row that a config allows; the huge number that stands for "no limit" becomes Infinity. */
export function maxLengthOf(config: JsonObject, otherwise: number): number {
  const length = config['model_max_length'];
  if (typeof length !== 'number') return otherwise;
  return length < 1e9 ? length : otherwise;
}

import { readdirSync, readFileSync } from 'node:fs';
import type { FolderSource } from '../../src/core/tensor-source.ts';
import { type WritableTensor, writeSafetensors } from '../../src/io/safetensors.ts';
import { mapFolder } from '../../src/io/sources.ts';
import { goldenPath } from './checkpoint.ts';
import { toHalf } from './half.ts';

/** Tensors of a file by name. */
export type Tensors = Record<string, WritableTensor>;

/** Fields of a JSON file; undefined takes one out. */
export type Fields = Readonly<Record<string, unknown>>;

/** A float32 tensor. */
export function floats(shape: readonly number[], data: ArrayLike<number>): WritableTensor {
  return { dtype: 'F32', shape, data: Float32Array.from(data) };
}

/** The values of a float32 tensor. */
export function valuesOf(tensor: WritableTensor): Float32Array {
  if (tensor.dtype !== 'F32') throw new Error(`a tensor of ${tensor.dtype}`);
  return tensor.data as Float32Array;
}

const CASTS: Readonly<Record<string, (values: Float32Array) => ArrayBufferView>> = {
  F16: values => toHalf(values),
  BF16: values => Uint16Array.from(new Uint32Array(values.buffer, values.byteOffset, values.length), nearestHigh),
  F64: values => Float64Array.from(values),
  F8_E4M3: values => Uint8Array.from(values, toFloat8),
};

/** The tensor with other elements, each the nearest to the old one. */
export function cast(tensor: WritableTensor, dtype: string): WritableTensor {
  return { dtype, shape: tensor.shape, data: CASTS[dtype](valuesOf(tensor)) };
}

/** A model folder under way: a copy of a golden one, whose files are changed one by one. */
export class FolderDraft {
  readonly #files: Map<string, string | Uint8Array>;
  readonly #weights: ReadonlyMap<string, Tensors>;

  private constructor(files: Map<string, string | Uint8Array>, weights: ReadonlyMap<string, Tensors>) {
    this.#files = files;
    this.#weights = weights;
  }

  /** The files of a folder under test/golden, read once: `copy` it for each change. */
  static of(golden: string): FolderDraft {
    const root = goldenPath(golden);
    const names = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter(name => /\.\w+$/.test(name));
    const files = new Map<string, string | Uint8Array>();
    const weights = new Map<string, Tensors>();
    for (const name of names) {
      const bytes = readFileSync(`${root}/${name}`);
      files.set(name, /\.(json|txt)$/.test(name) ? bytes.toString('utf8') : new Uint8Array(bytes));
      if (name.endsWith('.safetensors')) weights.set(name, tensorsOf(bytes));
    }
    return new FolderDraft(files, weights);
  }

  copy(): FolderDraft {
    return new FolderDraft(new Map(this.#files), this.#weights);
  }

  /** The folder as a pipeline reads it. */
  source(label: string): FolderSource {
    return mapFolder(this.#files, label);
  }

  text(path: string): string {
    const text = this.#files.get(path);
    if (typeof text !== 'string') throw new Error(`no text ${path}`);
    return text;
  }

  // biome-ignore lint/suspicious/noExplicitAny: free-form JSON
  json(path: string): any {
    return JSON.parse(this.text(path));
  }

  write(path: string, content: string | Uint8Array | Fields): void {
    const plain = typeof content === 'string' || content instanceof Uint8Array;
    this.#files.set(path, plain ? content : JSON.stringify(content, null, 1));
  }

  /** Sets fields of a JSON file. */
  edit(path: string, fields: Fields): void {
    this.write(path, { ...this.json(path), ...fields });
  }

  remove(...paths: readonly string[]): void {
    for (const path of paths) if (!this.#files.delete(path)) throw new Error(`no file ${path}`);
  }

  removeFolder(name: string): void {
    this.remove(...this.#inside(name));
  }

  copyFolder(from: string, to: string): void {
    for (const path of this.#inside(from)) this.#files.set(path.replace(from, to), this.#files.get(path)!);
  }

  rename(from: string, to: string): void {
    const content = this.#files.get(from);
    if (content === undefined) throw new Error(`no file ${from}`);
    this.remove(from);
    this.#files.set(to, content);
  }

  bytes(path: string): Uint8Array {
    const bytes = this.#files.get(path);
    if (!(bytes instanceof Uint8Array)) throw new Error(`no bytes ${path}`);
    return bytes;
  }

  /** The original tensors of a weights file; the record may be changed, the tensors may not. */
  tensors(path: string): Tensors {
    return { ...this.#weights.get(path)! };
  }

  /** Writes the tensors of a weights file anew; null takes one out. */
  tensor(path: string, changes: Readonly<Record<string, WritableTensor | null>>): void {
    const all: Record<string, WritableTensor | null> = { ...this.tensors(path), ...changes };
    this.save(path, Object.fromEntries(Object.entries(all).filter(([, tensor]) => tensor !== null)) as Tensors);
  }

  /** Writes a weights file with each tensor changed. */
  each(path: string, change: (tensor: WritableTensor, name: string) => WritableTensor): void {
    this.save(
      path,
      Object.fromEntries(Object.entries(this.tensors(path)).map(([name, tensor]) => [name, change(tensor, name)])),
    );
  }

  save(path: string, tensors: Tensors): void {
    this.#files.set(path, writeSafetensors(tensors, { format: 'pt' }));
  }

  #inside(folder: string): string[] {
    return [...this.#files.keys()].filter(path => path.startsWith(`${folder}/`));
  }
}

/** A safetensors file of float32 tensors, read without src/io. */
function tensorsOf(bytes: Buffer): Tensors {
  const headerBytes = Number(bytes.readBigUInt64LE(0));
  const { __metadata__: _, ...header } = JSON.parse(bytes.toString('utf8', 8, 8 + headerBytes));
  const tensors: Tensors = {};
  for (const [name, { dtype, shape, data_offsets: at }] of Object.entries<{
    dtype: string;
    shape: number[];
    data_offsets: [number, number];
  }>(header)) {
    if (dtype !== 'F32') throw new Error(`${name} is ${dtype}`);
    const raw = new Uint8Array(bytes.subarray(8 + headerBytes + at[0], 8 + headerBytes + at[1]));
    tensors[name] = { dtype, shape, data: new Float32Array(raw.buffer) };
  }
  return tensors;
}

/** The upper half of a float32's bits, rounded to nearest even. */
function nearestHigh(bits: number): number {
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}

/** All numbers from 0 to 448 that four bits of exponent and three of mantissa can hold, in the order of their bits. */
const FLOAT8 = Float64Array.from({ length: 127 }, (_, bits) => {
  const [exponent, mantissa] = [bits >> 3, bits & 7];
  return exponent === 0 ? mantissa * 2 ** -9 : (8 + mantissa) * 2 ** (exponent - 10);
});

/** Bits of the nearest float8 of the kind E4M3, to nearest even. */
function toFloat8(value: number): number {
  const size = Math.abs(value);
  let [low, high] = [0, FLOAT8.length - 1];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (FLOAT8[middle] <= size) low = middle;
    else high = middle;
  }
  const [below, above] = [size - FLOAT8[low], FLOAT8[high] - size];
  const bits = below < above || (below === above && low % 2 === 0) ? low : high;
  return Object.is(value, -0) || value < 0 ? bits | 0x80 : bits;
}

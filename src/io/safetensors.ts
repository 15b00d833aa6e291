/** safetensors files: the way to open them, and writing. What reads them is in safetensors-reader.ts. */
import { InputError } from '../core/errors.ts';
import { checkByName, checkKnown, namesOf } from '../core/known-names.ts';
import { loadPart } from '../core/load-part.ts';
import type { ByteSource, StoredDType, StoredTensor } from '../core/tensor-source.ts';
import { isObject } from './json-object.ts';
import {
  bitsOf,
  DTYPE_BITS,
  isCounts,
  isHalved,
  MAX_HEADER_BYTES,
  type SafetensorsSource,
} from './safetensors-format.ts';

export type { SafetensorsSource } from './safetensors-format.ts';

/** A tensor to write: little-endian bytes in row-major order. */
export interface WritableTensor {
  /** Type of the elements; its size times their number is the length of `data`. */
  readonly dtype: StoredDType;
  /** Sizes, outermost first; empty for a scalar. */
  readonly shape: readonly number[];
  /** The bytes of all elements. */
  readonly data: ArrayBufferView;
}

/**
 * Opens a safetensors file: reads and checks the header, nothing else; tensors are read by byte range on demand.
 * @param bytes the file; closed by the result's `close`, and here when the header is refused
 * @throws WeightsError when the header breaks the format in any way; InputError for what is no ByteSource
 * @see safetensors.safe_open
 */
export async function openSafetensors(bytes: ByteSource): Promise<SafetensorsSource> {
  const { readSafetensors } = await loadPart('the reader of safetensors', () => import('./safetensors-reader.ts'));
  return readSafetensors(bytes);
}

/**
 * Writes a safetensors file: widest dtype first, then by name, header padded with spaces to a multiple of 8.
 * @param tensors by name; bytes are taken as they are
 * @param metadata strings for the header, by name; what is no string is written by no one else either
 * @throws InputError for what readers refuse: an unknown dtype, a shape of other things than sizes, data that does not fit
 * it, metadata of other things than strings, half characters, a header above 100 MB
 * @see safetensors.serialize (same bytes)
 */
export function writeSafetensors(
  tensors: ReadonlyMap<string, WritableTensor> | Readonly<Record<string, WritableTensor>>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array<ArrayBuffer> {
  checkByName('writeSafetensors', tensors);
  const entries: [string, WritableTensor][] = tensors instanceof Map ? [...tensors] : Object.entries(tensors);
  checkMetadata(metadata);
  for (const [name, t] of entries) checkWritable(name, t);
  const { header, order } = encodeHeader(entries, t => t.data.byteLength, metadata);
  const out = new Uint8Array(order.reduce((sum, [, t]) => sum + t.data.byteLength, header.length));
  out.set(header);
  let at = header.length;
  for (const [, { data }] of order) {
    out.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), at);
    at += data.byteLength;
  }
  return out;
}

/**
 * Length and header of a file, and the order in which its tensors follow.
 * @param entries by name
 * @param bytesOf bytes of a tensor
 * @param metadata strings beside them
 */
export function encodeHeader<T extends { readonly dtype: StoredDType; readonly shape: readonly number[] }>(
  entries: readonly (readonly [string, T])[],
  bytesOf: (tensor: T) => number,
  metadata: Readonly<Record<string, string>>,
): { header: Uint8Array; order: readonly (readonly [string, T])[] } {
  const ranks = [...DTYPE_BITS.keys()];
  const rank = (t: T): number => ranks.indexOf(t.dtype);
  const order = [...entries].sort(([a, ta], [b, tb]) => rank(tb) - rank(ta) || compareBytes(a, b));
  const strings = JSON.stringify(metadata);
  const fields = strings === '{}' ? [] : [`"__metadata__":${strings}`];
  let end = 0;
  for (const [name, tensor] of order) {
    const begin = end;
    end += bytesOf(tensor);
    const entry = { dtype: tensor.dtype, shape: tensor.shape, data_offsets: [begin, end] };
    fields.push(`${JSON.stringify(name)}:${JSON.stringify(entry)}`);
  }
  const json = new TextEncoder().encode(`{${fields.join(',')}}`);
  const padded = Math.ceil(json.length / 8) * 8;
  if (padded > MAX_HEADER_BYTES) {
    throw refuse('the header is too long', 'metadata', `at most ${MAX_HEADER_BYTES} bytes`, padded);
  }
  const header = new Uint8Array(8 + padded);
  new DataView(header.buffer).setBigUint64(0, BigInt(padded), true);
  header.fill(0x20, 8).set(json, 8);
  return { header, order };
}

/** With those of a tensor that was read, so that it can be written back: `{ ...stored, data }`. */
const FIELDS = namesOf<WritableTensor & StoredTensor>({ dtype: 1, shape: 1, data: 1, name: 1, byteLength: 1 });

function checkWritable(name: string, tensor: WritableTensor): void {
  checkKnown(`writeSafetensors ${name}`, tensor, FIELDS);
  checkText(name, 'a name');
  const { dtype, shape, data } = tensor;
  const bits = DTYPE_BITS.get(dtype);
  if (bits === undefined) throw refuse('unknown dtype', name, undefined, dtype);
  if (name === '__metadata__') throw refuse('a tensor cannot be called __metadata__', name);
  if (!isCounts(shape)) throw refuse('a shape is not a list of sizes', name, 'whole numbers >= 0', shape);
  if (!ArrayBuffer.isView(data)) throw refuse('data is no typed array', name, 'a view of bytes', typeof data);
  const total = bitsOf(shape, bits);
  if (total === undefined) throw refuse('the size of a tensor overflows', name, undefined, shape);
  if (total !== 8 * data.byteLength) {
    const expected = `${total / 8} bytes for ${dtype} [${shape.join(', ')}]`;
    throw refuse('data does not fit the shape', name, expected, `${data.byteLength}`);
  }
}

/** Readers take an object of strings and nothing else. */
function checkMetadata(metadata: unknown): void {
  if (!isObject(metadata) || metadata instanceof Map) {
    const received = metadata instanceof Map ? 'a Map' : Array.isArray(metadata) ? 'a list' : typeof metadata;
    throw refuse('metadata is no object of strings', 'metadata', 'an object', received);
  }
  for (const [key, value] of Object.entries(metadata)) {
    const path = `metadata.${key.slice(0, 80)}`;
    if (typeof value !== 'string') throw refuse('a value of the metadata is no string', path, 'a string', typeof value);
    checkText(`${key} ${value}`, path);
  }
}

function checkText(text: string, path: string): void {
  if (isHalved(text)) throw refuse('a text with half a character', path, 'whole Unicode characters');
}

function refuse(problem: string, path: string, expected?: unknown, received?: unknown): InputError {
  return new InputError({ op: 'writeSafetensors', problem, expected, received, path });
}

/** Order of UTF-8 bytes, of two names; JavaScript's own order differs beyond the basic plane. */
function compareBytes(a: string, b: string): number {
  const bytes = (name: string): string => String.fromCharCode(...new TextEncoder().encode(name));
  return bytes(a) < bytes(b) ? -1 : 1;
}

/** Reading and writing safetensors files. The checks of the header are in safetensors-header.ts. */
import { InputError, WeightsError } from '../core/errors.ts';
import { checkByteSource } from '../core/kinds.ts';
import { checkByName, checkNames, namesOf } from '../core/known-names.ts';
import {
  type ByteSource,
  checkRange,
  readRanges,
  type StoredDType,
  type StoredTensor,
  type TensorSource,
} from '../core/tensor-source.ts';
import { isObject } from './json-keys.ts';
import { refuseStandIn } from './refuse-stand-in.ts';
import {
  bitsOf,
  DTYPE_BITS,
  damaged,
  isCounts,
  isHalved,
  MAX_HEADER_BYTES,
  parseHeader,
} from './safetensors-header.ts';

/** A safetensors file: its tensors and the strings that its writer left beside them. */
export interface SafetensorsSource extends TensorSource {
  /** The strings of `__metadata__`; empty where the file has none. */
  readonly metadata: Readonly<Record<string, string>>;
}

/** A tensor to write: little-endian bytes in row-major order. */
export interface WritableTensor {
  /** Type of the elements; its size times their number is the length of `data`. */
  readonly dtype: StoredDType;
  /** Sizes, outermost first; empty for a scalar. */
  readonly shape: readonly number[];
  /** The bytes of all elements. */
  readonly data: ArrayBufferView;
}

/** The first four bytes of torch.save's zip files and of its files before torch 1.6. */
const TORCH_FILE = [0x04034b50n, 0x0a8a0280n];

/**
 * Opens a safetensors file: reads and checks the header, nothing else; tensors are read by byte range on demand.
 * @param bytes the file; closed by the result's `close`, and here when the header is refused
 * @throws WeightsError when the header breaks the format in any way; InputError for what is no ByteSource
 * @see safetensors.safe_open
 */
export async function openSafetensors(bytes: ByteSource): Promise<SafetensorsSource> {
  checkByteSource('openSafetensors', bytes);
  try {
    return await open(bytes);
  } catch (error) {
    await bytes.close?.();
    throw error;
  }
}

async function open(bytes: ByteSource): Promise<SafetensorsSource> {
  const { label } = bytes;
  if (bytes.byteLength < 8) {
    await refuseStandIn(bytes, 'safetensors');
    throw damaged('too short for a header', label, { expected: 'at least 8 bytes', received: `${bytes.byteLength}` });
  }
  const prefix = new Uint8Array(8);
  await bytes.read(0, prefix);
  const length = new DataView(prefix.buffer).getBigUint64(0, true);
  if (length > BigInt(MAX_HEADER_BYTES)) {
    await refuseStandIn(bytes, 'safetensors'); // eight letters are a length far beyond the limit
    if (TORCH_FILE.includes(length % 2n ** 32n)) {
      const fix = 'Give it a name that ends in .bin, .ckpt or .pt, or open it with openWeightFile.';
      throw new WeightsError({
        op: 'safetensors',
        problem: 'a file of torch.save under another name',
        path: label,
        fix,
      });
    }
    throw damaged('the header is too long', label, { expected: `at most ${MAX_HEADER_BYTES} bytes`, received: length });
  }
  const start = 8 + Number(length);
  if (start > bytes.byteLength) {
    throw damaged('the header is longer than the file', label, {
      expected: `${start} bytes`,
      received: bytes.byteLength,
    });
  }
  const json = new Uint8Array(Number(length));
  await bytes.read(8, json);
  const { tensors, metadata } = parseHeader(json, bytes.byteLength - start, label);
  const shown = [...tensors].map(([name, { begin: _, ...stored }]) => [name, stored] as const);
  return {
    label,
    tensors: new Map(shown),
    metadata,
    async read(name, offset, into): Promise<void> {
      const tensor = tensors.get(name);
      checkRange(label, name, tensor?.byteLength, offset, into.byteLength);
      if (tensor && into.byteLength > 0) await bytes.read(start + tensor.begin + offset, into);
    },
    ...(bytes.readMany && {
      async readMany(ranges, signal): Promise<void> {
        const placed = ranges.flatMap(({ name, start: first, into }) => {
          const tensor = tensors.get(name);
          checkRange(label, name, tensor?.byteLength, first, into.byteLength);
          return tensor && into.byteLength > 0 ? [{ offset: start + tensor.begin + first, into }] : [];
        });
        await readRanges(bytes, placed, signal);
      },
    }),
    close: async () => bytes.close?.(),
  };
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
  const order = [...entries].sort(([a, ta], [b, tb]) => rank(tb) - rank(ta) || compareCodePoints(a, b));
  const fields: string[] = [];
  if (Object.keys(metadata).length > 0) fields.push(`"__metadata__":${JSON.stringify(metadata)}`);
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
  checkNames(`writeSafetensors ${name}`, tensor, FIELDS);
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
    checkText(key, path);
    if (typeof value !== 'string') throw refuse('a value of the metadata is no string', path, 'a string', typeof value);
    checkText(value, path);
  }
}

function checkText(text: string, path: string): void {
  if (isHalved(text)) throw refuse('a text with half a character', path, 'whole Unicode characters');
}

function refuse(problem: string, path: string, expected?: unknown, received?: unknown): InputError {
  return new InputError({ op: 'writeSafetensors', problem, expected, received, path });
}

/** Order of UTF-8 bytes; JavaScript's own order differs beyond the basic plane. */
function compareCodePoints(a: string, b: string): number {
  const [left, right] = [[...a], [...b]];
  for (let i = 0; i < Math.min(left.length, right.length); i++) {
    const d = (left[i]?.codePointAt(0) ?? 0) - (right[i]?.codePointAt(0) ?? 0);
    if (d !== 0) return d;
  }
  return left.length - right.length;
}

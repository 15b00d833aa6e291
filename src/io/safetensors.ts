/** Reading and writing safetensors files. The checks of the header are in safetensors-header.ts. */
import { InputError, WeightsError } from '../core/errors.ts';
import { checkNames, namesOf } from '../core/known-names.ts';
import type { ByteSource, StoredDType, StoredTensor, TensorSource } from '../core/tensor-source.ts';
import { DTYPE_BITS, damaged, MAX_HEADER_BYTES, parseHeader } from './safetensors-header.ts';
import { refuseStandIn } from './stand-in.ts';

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

/**
 * Opens a safetensors file: reads and checks the header, nothing else; tensors are read by byte range on demand.
 * @param bytes the file; closed by the result's `close`, and here when the header is refused
 * @throws WeightsError when the header breaks the format in any way
 * @see safetensors.safe_open
 */
export async function openSafetensors(bytes: ByteSource): Promise<SafetensorsSource> {
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
    close: async () => bytes.close?.(),
  };
}

/**
 * Refuses a read of an unknown tensor or beyond its end; shared by all tensor sources.
 * @param size the tensor's bytes, undefined when there is no such tensor
 * @throws WeightsError
 */
export function checkRange(path: string, name: string, size: number | undefined, offset: number, length: number): void {
  if (size === undefined) throw new WeightsError({ op: 'read', problem: `no tensor "${name}"`, path });
  if (!Number.isInteger(offset) || offset < 0 || offset + length > size) {
    throw new WeightsError({
      op: 'read',
      problem: `bytes beyond the end of tensor "${name}"`,
      expected: `a range within ${size} bytes`,
      received: `${offset} to ${offset + length}`,
      path,
    });
  }
}

/**
 * Writes a safetensors file: widest dtype first, then by name, header padded with spaces to a multiple of 8.
 * @param tensors by name; bytes are taken as they are
 * @param metadata strings for the header
 * @throws InputError for an unknown dtype or data that does not fit the shape
 * @see safetensors.serialize (same bytes)
 */
export function writeSafetensors(
  tensors: ReadonlyMap<string, WritableTensor> | Readonly<Record<string, WritableTensor>>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array<ArrayBuffer> {
  const order = [...DTYPE_BITS.keys()];
  const rank = (t: WritableTensor): number => order.indexOf(t.dtype);
  const entries: [string, WritableTensor][] = tensors instanceof Map ? [...tensors] : Object.entries(tensors);
  for (const [name, t] of entries) checkWritable(name, t);
  entries.sort(([a, ta], [b, tb]) => rank(tb) - rank(ta) || compareCodePoints(a, b));
  const fields: string[] = [];
  if (Object.keys(metadata).length > 0) fields.push(`"__metadata__":${JSON.stringify(metadata)}`);
  let end = 0;
  for (const [name, { dtype, shape, data }] of entries) {
    const entry = { dtype, shape, data_offsets: [end, end + data.byteLength] };
    fields.push(`${JSON.stringify(name)}:${JSON.stringify(entry)}`);
    end += data.byteLength;
  }
  const json = new TextEncoder().encode(`{${fields.join(',')}}`);
  const headerBytes = Math.ceil(json.length / 8) * 8;
  const out = new Uint8Array(8 + headerBytes + end);
  new DataView(out.buffer).setBigUint64(0, BigInt(headerBytes), true);
  out.fill(0x20, 8, 8 + headerBytes).set(json, 8);
  let at = 8 + headerBytes;
  for (const [, { data }] of entries) {
    out.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), at);
    at += data.byteLength;
  }
  return out;
}

/** With those of a tensor that was read, so that it can be written back: `{ ...stored, data }`. */
const FIELDS = namesOf<WritableTensor & StoredTensor>({ dtype: 1, shape: 1, data: 1, name: 1, byteLength: 1 });

function checkWritable(name: string, tensor: WritableTensor): void {
  checkNames(`writeSafetensors ${name}`, tensor, FIELDS);
  const { dtype, shape, data } = tensor;
  const bits = DTYPE_BITS.get(dtype);
  if (bits === undefined) {
    throw new InputError({ op: 'writeSafetensors', problem: 'unknown dtype', received: dtype, path: name });
  }
  if (name === '__metadata__') {
    throw new InputError({ op: 'writeSafetensors', problem: 'a tensor cannot be called __metadata__' });
  }
  const bytes = (shape.reduce((a, b) => a * b, 1) * bits) / 8;
  if (bytes !== data.byteLength) {
    throw new InputError({
      op: 'writeSafetensors',
      problem: 'data does not fit the shape',
      expected: `${bytes} bytes for ${dtype} [${shape.join(', ')}]`,
      received: `${data.byteLength}`,
      path: name,
    });
  }
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

/**
 * The header of a safetensors file: parsing and every check that the format asks for. No bytes of tensors are
 * touched here.
 */
import { WeightsError } from '../core/errors.ts';
import type { StoredTensor } from '../core/tensor-source.ts';
import { findDuplicateKey } from './json-keys.ts';
import { isObject } from './json-object.ts';
import { bitsOf, DTYPE_BITS, isCounts, isHalved } from './safetensors-format.ts';

/**
 * Memory that parsed JSON takes, about: for an object or a list, for a name with its value, for an element. The smallest
 * entry of a tensor (49 bytes) weighs 15 bytes for each of its own.
 */
const PARSED_BYTES = { container: 64, name: 128, element: 8 };
const PARSED_BYTES_PER_BYTE = 16;
const FREE_BYTES = 32 * 2 ** 20;

/** A tensor and where its bytes lie, counted from the end of the header. */
export interface PlacedTensor extends StoredTensor {
  readonly begin: number;
}

export interface SafetensorsHeader {
  readonly tensors: ReadonlyMap<string, PlacedTensor>;
  readonly metadata: Readonly<Record<string, string>>;
}

/**
 * Parses and checks a header.
 * @param json the header's bytes, UTF-8, without the length
 * @param dataBytes how many bytes follow the header in the file
 * @param path file name or URL for messages
 * @throws WeightsError on anything that the format forbids
 * @see safetensors, "Format"
 */
export function parseHeader(json: Uint8Array, dataBytes: number, path: string): SafetensorsHeader {
  const fail = (problem: string, values: { expected?: unknown; received?: unknown } = {}): never => {
    throw damaged(problem, path, values);
  };
  const root = parseJson(json, fail);
  const metadata = parseMetadata(root['__metadata__'], fail);
  for (const text of [...Object.keys(root), ...Object.entries(metadata).flat()]) {
    if (isHalved(text)) fail('a text with half a character', { received: 'the escape of one surrogate' });
  }
  const placed: PlacedTensor[] = [];
  for (const name of Object.keys(root)) {
    if (name !== '__metadata__') placed.push(parseEntry(name, root[name], fail));
  }
  placed.sort((a, b) => a.begin - b.begin || a.byteLength - b.byteLength);
  let end = 0;
  for (const t of placed) {
    if (t.begin !== end) {
      const what = t.begin < end ? 'overlaps the tensor before it' : 'leaves a gap before it';
      fail(`tensor "${t.name}" ${what}`, { expected: `begin ${end}`, received: `${t.begin}` });
    }
    end = t.begin + t.byteLength;
  }
  if (end !== dataBytes) {
    const what = end > dataBytes ? 'the file is cut short' : 'bytes after the last tensor';
    fail(what, { expected: `${end} bytes of tensors`, received: `${dataBytes}` });
  }
  return { tensors: new Map(placed.map(t => [t.name, t])), metadata };
}

/** The error of every damaged checkpoint file. */
export function damaged(
  problem: string,
  path: string,
  values: { expected?: unknown; received?: unknown } = {},
): WeightsError {
  const fix = 'Download or save the file again.';
  const { expected, received } = values;
  return new WeightsError({
    op: 'safetensors',
    problem: brief(problem),
    expected,
    received: short(received),
    path,
    fix,
  });
}

/** What a damaged header holds may be as long and as deep as the header. */
function short(value: unknown): unknown {
  if (typeof value === 'string') return brief(value);
  if (typeof value !== 'object' || value === null) return value;
  if (!Array.isArray(value)) return 'an object';
  return value.length <= 8 && value.every(v => typeof v !== 'object') ? value : `a list of ${value.length}`;
}

function brief(text: string): string {
  return text.length <= 200 ? text : `${text.slice(0, 200)}…`;
}

type Fail = (problem: string, values?: { expected?: unknown; received?: unknown }) => never;

function parseJson(bytes: Uint8Array, fail: Fail): Record<string, unknown> {
  if (bytes[0] !== 0x7b) {
    fail('the header does not start with "{"', { received: bytes.length ? `byte ${bytes[0]}` : 'nothing' });
  }
  if (parsedBytes(bytes) > FREE_BYTES + PARSED_BYTES_PER_BYTE * bytes.length) {
    fail('the header holds far more than tensors in its length');
  }
  let text = '';
  let root: unknown;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    fail('the header is not UTF-8');
  }
  try {
    root = JSON.parse(text);
  } catch (cause) {
    fail('the header is not JSON', { received: cause instanceof Error ? cause.message : cause });
  }
  const twice = findDuplicateKey(text);
  if (twice !== undefined) fail(`the key "${twice}" stands twice in the header`);
  return isObject(root) ? root : fail('the header is not an object');
}

/** What JSON would take in memory, by the signs outside its strings. */
function parsedBytes(json: Uint8Array): number {
  let sum = 0;
  let quoted = false;
  for (let i = 0; i < json.length; i++) {
    const sign = json[i];
    if (sign === 0x22) quoted = !quoted;
    else if (quoted)
      i += sign === 0x5c ? 1 : 0; // what a backslash guards
    else if (sign === 0x5b || sign === 0x7b) sum += PARSED_BYTES.container;
    else if (sign === 0x3a) sum += PARSED_BYTES.name;
    else if (sign === 0x2c) sum += PARSED_BYTES.element;
  }
  return sum;
}

function parseMetadata(meta: unknown, fail: Fail): Record<string, string> {
  if (meta === undefined || meta === null) return {};
  if (!isObject(meta)) return fail('__metadata__ is not an object', { received: meta });
  for (const [key, value] of Object.entries(meta)) {
    if (typeof value !== 'string') fail(`__metadata__ "${key}" is not a string`, { received: value });
  }
  return meta as Record<string, string>;
}

function parseEntry(name: string, entry: unknown, fail: Fail): PlacedTensor {
  if (!isObject(entry)) return fail(`tensor "${name}" is not an object`, { received: entry });
  const { dtype, shape, data_offsets: offsets } = entry;
  const bits = typeof dtype === 'string' ? DTYPE_BITS.get(dtype) : undefined;
  if (typeof dtype !== 'string' || bits === undefined) {
    return fail(`tensor "${name}" has an unknown dtype`, { received: dtype });
  }
  if (!isCounts(shape)) return fail(`tensor "${name}" has no valid shape`, { received: shape });
  const [begin, end] = isCounts(offsets) && offsets.length === 2 ? offsets : [];
  if (begin === undefined || end === undefined || end < begin) {
    return fail(`tensor "${name}" has no valid data_offsets`, { received: offsets });
  }
  const total = bitsOf(shape, bits);
  if (total === undefined) return fail(`the size of tensor "${name}" overflows`, { received: shape });
  if (total % 8 !== 0) fail(`tensor "${name}" does not end on a whole byte`, { received: `${dtype} ${shape}` });
  const bytes = total / 8;
  if (bytes !== end - begin) {
    const expected = `${bytes} bytes for ${dtype} [${shape.join(', ')}]`;
    fail(`tensor "${name}" does not fit its data_offsets`, { expected, received: `${end - begin}` });
  }
  return { name, dtype, shape, byteLength: bytes, begin };
}

import { readFileSync } from 'node:fs';
import { type ByteSource, checkRange, type StoredTensor, type TensorSource } from '../../src/core/tensor-source.ts';
import { encodeHeader } from '../../src/io/safetensors.ts';
import { goldenPath } from './checkpoint.ts';

/**
 * Checkpoints of the published architectures whose weights are a function of tensor name and index, so that a gigabyte of
 * them needs no file. scripts/golden/fullsize.py has the same function and lists names and shapes; fake-models.ts makes whole
 * folders of them.
 */

const TABLES =
  /(token_embedding\.weight|position_embedding(\.weight)?|shared\.weight|embed_tokens\.weight|word_embeddings\.weight|position_embeddings\.weight|relative_attention_bias\.weight|class_embedding)$/;

/** How the weights are held: float32, or float16, rounded from it to nearest even. */
export type FakeDType = 'F32' | 'F16';

/** Networks that scripts/golden/fullsize.py lists. */
export type FullSize =
  | ('clip' | 'vae' | 'unet' | 'blip' | 't5')
  | ('clip-1.5' | 'vae-1.5' | 'unet-1.5' | 't5-small' | 't5-xl');

/** A network as it is published: its config.json, and the tensors in the order of the model's own list. */
export interface Published {
  readonly config: Readonly<Record<string, unknown>>;
  readonly tensors: Readonly<Record<string, number[]>>;
}

/** Config and names of one published network. `file`: shapes.json, from wherever the caller lies. */
export function published(part: FullSize, file: string | URL = goldenPath('fullsize/shapes.json')): Published {
  return JSON.parse(readFileSync(file, 'utf8'))[part];
}

/** Config and weights of one published network. */
export function fullSize(part: FullSize, dtype: FakeDType = 'F16'): { config: unknown; source: TensorSource } {
  const { config, tensors } = published(part);
  return { config, source: fakeSource(`fake ${part}`, tensors, dtype) };
}

/** The same of so many layers of each stack of a T5. */
export function shortT5(part: 't5' | 't5-xl', layers: number, dtype: FakeDType): ReturnType<typeof fullSize> {
  const { config, tensors } = published(part);
  const kept = Object.entries(tensors).filter(([name]) => Number(/\.block\.(\d+)\./.exec(name)?.[1] ?? 0) < layers);
  const short = { ...config, num_layers: layers, num_decoder_layers: layers };
  return { config: short, source: fakeSource(`fake ${part}`, Object.fromEntries(kept), dtype) };
}

function fakeSource(
  label: string,
  tensors: Readonly<Record<string, readonly number[]>>,
  dtype: FakeDType,
): TensorSource {
  const table = new Map(Object.entries(tensors).map(([name, shape]) => [name, stored(name, shape, dtype)]));
  const read = async (name: string, start: number, into: Uint8Array) => {
    const tensor = table.get(name);
    checkRange(label, name, tensor?.byteLength, start, into.byteLength);
    if (tensor) fillBytes(tensor, start, into);
  };
  return { label, tensors: table, read };
}

function stored(name: string, shape: readonly number[], dtype: FakeDType): StoredTensor {
  const byteLength = (dtype === 'F16' ? 2 : 4) * shape.reduce((a, b) => a * b, 1);
  return { name, dtype, shape, byteLength };
}

/** A safetensors file of such tensors, made up as it is read; a hollow one has a header alone. */
export function fakeFile(
  label: string,
  tensors: Readonly<Record<string, readonly number[]>>,
  dtype: FakeDType,
  hollow = false,
): ByteSource {
  const entries = Object.entries(tensors).map(([name, shape]) => [name, stored(name, shape, dtype)] as const);
  const { header, order } = encodeHeader(entries, t => t.byteLength, { format: 'pt' });
  const starts: number[] = [];
  let end = header.length;
  for (const [, tensor] of order) {
    starts.push(end);
    end += tensor.byteLength;
  }
  const read = async (offset: number, into: Uint8Array): Promise<void> => {
    const last = offset + into.byteLength;
    if (offset < 0 || last > end) throw new RangeError(`${label} ends at ${end}, before ${last}`);
    if (offset < header.length) into.set(header.subarray(offset, Math.min(header.length, last)));
    if (hollow) return;
    order.forEach(([, tensor], i) => {
      const start = starts[i];
      const [from, to] = [Math.max(offset, start), Math.min(last, start + tensor.byteLength)];
      if (from < to) fillBytes(tensor, from - start, into.subarray(from - offset, to - offset));
    });
  };
  return { label, byteLength: end, read };
}

/** Bytes of a tensor from `start` on, which may lie inside an element. */
function fillBytes(tensor: StoredTensor, start: number, into: Uint8Array): void {
  const size = tensor.dtype === 'F16' ? 2 : 4;
  const first = Math.floor(start / size);
  const whole = start % size === 0 && into.byteLength % size === 0 && into.byteOffset % size === 0;
  if (whole) {
    fillElements(tensor, first, into);
    return;
  }
  const around = new Uint8Array(size * (Math.ceil((start + into.byteLength) / size) - first));
  fillElements(tensor, first, around);
  into.set(around.subarray(start - size * first, start - size * first + into.byteLength));
}

function fillElements(tensor: StoredTensor, first: number, { buffer, byteOffset, byteLength }: Uint8Array): void {
  const memory = buffer as ArrayBuffer;
  if (tensor.dtype === 'F16') fill(tensor, first, new Uint16Array(memory, byteOffset, byteLength / 2));
  else fillFloats(tensor, first, new Float32Array(memory, byteOffset, byteLength / 4));
}

type Named = Pick<StoredTensor, 'name' | 'shape'>;

/** A hash of name (FNV-1a) and index, uniform in [-1, 1), then scaled by the kind of tensor and rounded to float32. */
export function fillFloats({ name, shape }: Named, first: number, into: Float32Array): void {
  let seed = 2166136261;
  for (const byte of new TextEncoder().encode(name)) seed = Math.imul(seed ^ byte, 16777619);
  const vector = shape.length === 1 && !TABLES.test(name);
  const norm = vector && name.endsWith('weight');
  const fan = shape.slice(1).reduce((a, b) => a * b, 1);
  const scale = TABLES.test(name) ? 0.04 : norm ? 0.1 : vector ? 0.05 : Math.sqrt(3 / fan);
  const shift = norm ? 1 : 0;
  for (let i = 0; i < into.length; i++) {
    let x = (Math.imul(first + i, 0x9e3779b1) + seed) | 0;
    x ^= x >>> 16;
    x = Math.imul(x, 0x85ebca6b);
    x ^= x >>> 13;
    x = Math.imul(x, 0xc2b2ae35);
    x ^= x >>> 16;
    into[i] = shift + scale * ((x >>> 8) * 2 ** -23 - 1);
  }
}

/** A few thousand values stay in the processor's cache between the two steps. */
const floats = new Float32Array(4096);
const bits = new Uint32Array(floats.buffer);

/** The same as the bits of float16. */
export function fill(tensor: Named, first: number, into: Uint16Array): void {
  for (let at = 0; at < into.length; at += floats.length) {
    const part = floats.subarray(0, Math.min(floats.length, into.length - at));
    fillFloats(tensor, first + at, part);
    roundToHalves(part.length, into.subarray(at));
  }
}

/** The first values of `floats`, each below 65504, to nearest even. */
function roundToHalves(count: number, into: Uint16Array): void {
  for (let i = 0; i < count; i++) {
    const sign = (bits[i] >>> 16) & 0x8000;
    const magnitude = bits[i] & 0x7fffffff;
    if (magnitude >= 0x38800000) {
      into[i] = sign | ((magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13);
    } else {
      // Subnormal: adding 0.5 lines the bits up, and the sum rounds them.
      bits[i] = magnitude;
      floats[i] += 0.5;
      into[i] = sign | (bits[i] - 0x3f000000);
    }
  }
}

import { readFileSync } from 'node:fs';
import type { StoredTensor, TensorSource } from '../../src/core/tensor-source.ts';
import { goldenPath } from './checkpoint.ts';

/**
 * Checkpoints of the published architectures whose weights are a function of tensor name and index, so that a gigabyte of
 * them needs no file. scripts/golden/fullsize.py has the same function and lists names and shapes.
 */

const TABLES =
  /(token_embedding\.weight|position_embedding(\.weight)?|shared\.weight|embed_tokens\.weight|word_embeddings\.weight|position_embeddings\.weight|relative_attention_bias\.weight|class_embedding)$/;

export type FullSize = 'clip' | 'vae' | 'unet' | 'blip' | 't5';

/** Config and half-precision weights of one published network. */
export function fullSize(part: FullSize): { config: unknown; source: TensorSource } {
  const all = JSON.parse(readFileSync(goldenPath('fullsize/shapes.json'), 'utf8'));
  const { config, tensors } = all[part] as { config: unknown; tensors: Record<string, number[]> };
  const table = new Map<string, StoredTensor>();
  for (const [name, shape] of Object.entries(tensors)) {
    const byteLength = 2 * shape.reduce((a, b) => a * b, 1);
    table.set(name, { name, dtype: 'F16', shape, byteLength });
  }
  const read = async (name: string, start: number, into: Uint8Array) => {
    const stored = table.get(name);
    if (!stored) throw new Error(`no tensor ${name}`);
    fill(stored, start / 2, new Uint16Array(into.buffer, into.byteOffset, into.byteLength / 2));
  };
  return { config, source: { label: `fake ${part}`, tensors: table, read } };
}

/** Elements from `first` on, as f16 bits: a hash of name (FNV-1a) and index, uniform in [-1, 1), then scaled. */
export function fill({ name, shape }: Pick<StoredTensor, 'name' | 'shape'>, first: number, into: Uint16Array): void {
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
    into[i] = half(shift + scale * ((x >>> 8) * 2 ** -23 - 1));
  }
}

const float = new Float32Array(1);
const bits = new Uint32Array(float.buffer);

/** A number below 65504 as float32, then as float16, each rounded to nearest even. */
function half(value: number): number {
  float[0] = value;
  const sign = (bits[0] >>> 16) & 0x8000;
  const magnitude = bits[0] & 0x7fffffff;
  if (magnitude >= 0x38800000) return sign | ((magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13);
  // Subnormal: adding 0.5 lines the bits up, and the sum rounds them.
  bits[0] = magnitude;
  float[0] += 0.5;
  return sign | (bits[0] - 0x3f000000);
}

/** A part of a tensor as f32 numbers on the host. Whole tensors are read by read-floats.ts. */

import { WeightsError } from '../core/errors.ts';
import { halfValue } from '../core/float8.ts';
import type { StoredDType, TensorSource } from '../core/tensor-source.ts';

const BYTES: Readonly<Record<string, number>> = { F32: 4, F16: 2, BF16: 2 };

/**
 * Reads elements [from, to) of a tensor of a source that `widened` shows.
 * @returns memory of its own, which the caller may change
 * @throws WeightsError for a tensor that is missing or of another type
 */
export async function readFloatRange(
  source: TensorSource,
  name: string,
  from: number,
  to: number,
): Promise<Float32Array<ArrayBuffer>> {
  const dtype = source.tensors.get(name)?.dtype ?? 'no tensor';
  const size = BYTES[dtype];
  if (size === undefined) {
    throw new WeightsError({
      op: 'read',
      problem: 'not floats',
      expected: Object.keys(BYTES).join(', '),
      received: dtype,
      path: `${source.label}: ${name}`,
    });
  }
  const buffer = new ArrayBuffer((to - from) * size);
  await source.read(name, from * size, new Uint8Array(buffer));
  return floatsOf(buffer, dtype);
}

function floatsOf(buffer: ArrayBuffer, dtype: StoredDType): Float32Array<ArrayBuffer> {
  if (dtype === 'F32') return new Float32Array(buffer);
  const halves = new Uint16Array(buffer);
  const floats = new Float32Array(halves.length);
  if (dtype === 'F16') {
    const table = halfTable();
    for (let i = 0; i < halves.length; i++) floats[i] = table[halves[i] as number] as number;
    return floats;
  }
  const words = new Uint32Array(floats.buffer);
  for (let i = 0; i < halves.length; i++) words[i] = (halves[i] as number) << 16;
  return floats;
}

let halfs: Float32Array | undefined;

/** The value of each of the 65536 halves: a table is ten times as fast as the arithmetic. */
function halfTable(): Float32Array {
  halfs ??= Float32Array.from({ length: 0x10000 }, (_, word) => halfValue(word));
  return halfs;
}

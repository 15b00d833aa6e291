/** Small checkpoint tensors as numbers on the host. */
import { floatsOfHalves } from '../core/convert-bits.ts';
import { WeightsError } from '../core/errors.ts';
import { type NdArray, ndarray } from '../core/ndarray.ts';
import type { TensorSource } from '../core/tensor-source.ts';
import { LOADABLE, WIDENABLE, widened } from '../core/widened-source.ts';

/**
 * Reads one tensor whole.
 * @param checkpoint holds it
 * @param name full key of a tensor of floats (F64, F32, F16, BF16, F8_E4M3, F8_E5M2); a scale beside it is multiplied in
 * @returns its values and its shape
 * @throws WeightsError for a tensor that is missing or of another type
 */
export async function readFloats(checkpoint: TensorSource, name: string): Promise<NdArray> {
  const source = widened(checkpoint);
  const stored = source.tensors.get(name);
  if (!stored) throw new WeightsError({ op: 'readFloats', problem: `no tensor "${name}"`, path: source.label });
  const bytes = new Uint8Array(stored.byteLength);
  await source.read(name, 0, bytes);
  const { buffer } = bytes;
  if (stored.dtype === 'F32') return ndarray(new Float32Array(buffer), stored.shape);
  if (stored.dtype === 'F16') return ndarray(floatsOfHalves(new Uint16Array(buffer)), stored.shape);
  if (stored.dtype === 'BF16') {
    const words = Uint32Array.from(new Uint16Array(buffer), half => half << 16);
    return ndarray(new Float32Array(words.buffer), stored.shape);
  }
  const path = `${source.label}: ${name}`;
  throw new WeightsError({
    op: 'readFloats',
    problem: 'not floats',
    expected: `one of ${[...LOADABLE, ...WIDENABLE].join(', ')}`,
    received: stored.dtype,
    path,
  });
}

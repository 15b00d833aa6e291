import type { StoredTensor, TensorSource } from '../../src/core/tensor-source.ts';
import { toHalf } from './half.ts';
import { randoms } from './run-kernel.ts';

/** A checkpoint in memory, for tests. */
export function memoryCheckpoint(
  tensors: Record<string, { shape: number[]; values: ArrayLike<number>; dtype?: string }>,
): TensorSource {
  const bytes = new Map<string, Uint8Array>();
  const table = new Map<string, StoredTensor>();
  for (const [name, { shape, values, dtype = 'F32' }] of Object.entries(tensors)) {
    const data = encode(values, dtype);
    bytes.set(name, data);
    table.set(name, { name, dtype, shape, byteLength: data.byteLength });
  }
  return {
    label: 'memory',
    tensors: table,
    read: async (name, start, into) => {
      const data = bytes.get(name);
      if (!data) throw new Error(`no tensor ${name}`);
      into.set(data.subarray(start, start + into.byteLength));
    },
  };
}

/** Weight and bias of a layer, drawn: what `memoryCheckpoint` takes. @param shape of the weight, whose first side is the bias's */
export function randomLayer(
  name: string,
  shape: number[],
  seed: number,
): Record<string, { shape: number[]; values: Float32Array }> {
  const drawn = (sides: number[], from: number) => ({
    shape: sides,
    values: randoms(
      sides.reduce((a, b) => a * b, 1),
      from,
    ),
  });
  return { [`${name}.weight`]: drawn(shape, seed), [`${name}.bias`]: drawn(shape.slice(0, 1), seed + 1) };
}

function encode(values: ArrayLike<number>, dtype: string): Uint8Array {
  if (dtype === 'U8') return Uint8Array.from(values);
  if (dtype === 'F64') return new Uint8Array(Float64Array.from(values).buffer);
  if (dtype === 'F16') return new Uint8Array(toHalf(values).buffer);
  if (dtype === 'I64') return new Uint8Array(BigInt64Array.from(Array.from(values), v => BigInt(v)).buffer);
  const f32 = Float32Array.from(values);
  if (dtype === 'F32') return new Uint8Array(f32.buffer);
  return new Uint8Array(Uint16Array.from(new Uint32Array(f32.buffer), w => w >>> 16).buffer);
}

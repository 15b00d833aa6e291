import type { StoredTensor, TensorSource } from '../../src/core/tensor-source.ts';
import { toHalf } from './half.ts';

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

function encode(values: ArrayLike<number>, dtype: string): Uint8Array {
  if (dtype === 'U8') return Uint8Array.from(values);
  if (dtype === 'F64') return new Uint8Array(Float64Array.from(values).buffer);
  if (dtype === 'F16') return new Uint8Array(toHalf(values).buffer);
  if (dtype === 'I64') return new Uint8Array(BigInt64Array.from(Array.from(values), v => BigInt(v)).buffer);
  const f32 = Float32Array.from(values);
  if (dtype === 'F32') return new Uint8Array(f32.buffer);
  return new Uint8Array(Uint16Array.from(new Uint32Array(f32.buffer), w => w >>> 16).buffer);
}

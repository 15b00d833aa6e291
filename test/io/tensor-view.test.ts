import { describe, expect, it } from 'vitest';
import type { TensorSource } from '../../src/core/tensor-source.ts';
import { openSafetensors, writeSafetensors } from '../../src/io/safetensors.ts';
import { safetensorsBytes } from '../../src/io/safetensors-bytes.ts';
import { memorySource } from '../../src/io/sources.ts';
import { halfTensors, viewTensors } from '../../src/io/tensor-view.ts';
import { toHalf } from '../support/half.ts';
import { memoryCheckpoint } from '../support/memory-checkpoint.ts';

const source = memoryCheckpoint({
  fused: { shape: [6, 2], values: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11] },
  conv: { shape: [2, 3, 1, 1], values: [1, 2, 3, 4, 5, 6], dtype: 'F16' },
});

async function read(from: TensorSource, name: string, start = 0, length?: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length ?? (from.tensors.get(name)?.byteLength ?? 0) - start);
  await from.read(name, start, bytes);
  return bytes;
}
const floats = async (from: TensorSource, name: string) => [...new Float32Array((await read(from, name)).buffer)];

describe('a view of a checkpoint', () => {
  const view = viewTensors(
    source,
    new Map([
      ['q', { from: 'fused', shape: [2, 2], part: [0, 3] as const }],
      ['k', { from: 'fused', shape: [2, 2], part: [1, 3] as const }],
      ['v', { from: 'fused', shape: [2, 2], part: [2, 3] as const }],
      ['to_out', { from: 'conv', shape: [2, 3] }],
    ]),
  );

  it('renames, cuts and reshapes', async () => {
    expect(await floats(view, 'q')).toEqual([0, 1, 2, 3]);
    expect(await floats(view, 'k')).toEqual([4, 5, 6, 7]);
    expect(await floats(view, 'v')).toEqual([8, 9, 10, 11]);
    expect(view.tensors.get('to_out')).toEqual({ name: 'to_out', dtype: 'F16', shape: [2, 3], byteLength: 12 });
    expect(await read(view, 'to_out', 2, 4)).toEqual(new Uint8Array(toHalf([2, 3]).buffer));
    expect([...view.tensors.keys()]).toEqual(['q', 'k', 'v', 'to_out']);
  });

  it('refuses bytes of a neighbouring part, and names that it does not have', async () => {
    await expect(read(view, 'q', 8, 16)).rejects.toThrow('bytes beyond the end of tensor "q"');
    await expect(read(view, 'fused', 0, 4)).rejects.toThrow('no tensor "fused"');
  });

  it('refuses what the source does not have, or has in another size', () => {
    expect(() => viewTensors(source, new Map([['a', { from: 'b', shape: [1] }]]))).toThrow('no tensor "b"');
    expect(() => viewTensors(source, new Map([['a', { from: 'conv', shape: [7] }]]))).toThrow('expected 1 x [7]');
  });
});

describe('halves', () => {
  const values = [0, 1, -2.5, 1e-7, 65504, 1e6, 3.1417];
  const wide = memoryCheckpoint({
    f32: { shape: [7], values },
    bf16: { shape: [2], values: [1, 1.5], dtype: 'BF16' },
    f16: { shape: [1], values: [3], dtype: 'F16' },
    ids: { shape: [1], values: [7], dtype: 'I64' },
  });
  const halved = halfTensors(wide);

  it('are rounded while they are read', async () => {
    expect(await read(halved, 'f32')).toEqual(new Uint8Array(toHalf(values).buffer));
    expect(await read(halved, 'bf16')).toEqual(new Uint8Array(toHalf([1, 1.5]).buffer));
    expect(halved.tensors.get('f32')).toMatchObject({ dtype: 'F16', byteLength: 14 });
  });

  it('may begin and end anywhere', async () => {
    const whole = new Uint8Array(toHalf(values).buffer);
    for (const [start, length] of [
      [0, 1],
      [1, 1],
      [1, 6],
      [3, 11],
    ])
      expect(await read(halved, 'f32', start, length)).toEqual(whole.subarray(start, start + length));
  });

  it('leave halves and other kinds as they are', async () => {
    expect(await read(halved, 'f16')).toEqual(await read(wide, 'f16'));
    expect(halved.tensors.get('ids')).toMatchObject({ dtype: 'I64', byteLength: 8 });
    expect(await read(halved, 'ids')).toEqual(await read(wide, 'ids'));
  });

  it('beyond one step of reading are the same', async () => {
    const many = Float32Array.from({ length: 600_001 }, (_, i) => i / 7);
    const large = halfTensors(memoryCheckpoint({ x: { shape: [many.length], values: many } }));
    expect(Buffer.compare(await read(large, 'x'), new Uint8Array(toHalf(many).buffer))).toBe(0);
  });
});

describe('a checkpoint as a file', () => {
  const tensors = {
    'b.weight': { dtype: 'F32', shape: [2, 2], data: Float32Array.of(1, 2, 3, 4) },
    'a.weight': { dtype: 'F16', shape: [3], data: Uint16Array.of(5, 6, 7) },
    empty: { dtype: 'F32', shape: [0], data: new Float32Array() },
  };
  const written = writeSafetensors(tensors, { format: 'pt' });

  it('has the bytes that writeSafetensors writes, from any place to any other', async () => {
    const bytes = safetensorsBytes(await openSafetensors(memorySource(written)), { format: 'pt' }, 'x.safetensors');
    expect(bytes).toMatchObject({ label: 'x.safetensors', byteLength: written.length });
    for (let start = 0; start <= written.length; start += 3) {
      for (const length of [0, 1, 7, written.length - start].filter(n => start + n <= written.length)) {
        const part = new Uint8Array(length);
        await bytes.read(start, part);
        expect(part, `${start} + ${length}`).toEqual(written.subarray(start, start + length));
      }
    }
    await expect(bytes.read(written.length - 1, new Uint8Array(2))).rejects.toThrow('bytes beyond the end');
  });
});

import { describe, expect, it } from 'vitest';
import type { TensorSource } from '../../src/core/tensor-source.ts';
import { readFloats } from '../../src/io/read-floats.ts';
import { openSafetensors, type WritableTensor, writeSafetensors } from '../../src/io/safetensors.ts';
import { memorySource } from '../../src/io/sources.ts';
import { withTableRows } from '../../src/io/table-rows.ts';
import { fromHalf, toHalf } from '../support/half.ts';

const [COUNT, WIDTH] = [5, 3];
const values = Float32Array.from({ length: COUNT * WIDTH }, (_, i) => (i - 7) / 4);
const bits = new Uint32Array(values.slice().buffer);
const STORED: Readonly<Record<string, WritableTensor['data']>> = {
  F32: values,
  F64: Float64Array.from(values),
  F16: toHalf(values),
  BF16: Uint16Array.from(bits, word => word >>> 16),
};
const row = (seed: number) => Float32Array.from({ length: WIDTH }, (_, i) => Math.fround(seed + i / 7));

function checkpoint(data: WritableTensor['data'], dtype: string): Promise<TensorSource> {
  const other = { dtype: 'F32', shape: [2], data: Float32Array.of(8, 9) };
  return openSafetensors(memorySource(writeSafetensors({ table: { dtype, shape: [COUNT, WIDTH], data }, other })));
}

describe.each(Object.keys(STORED))('a table of %s', dtype => {
  it('shows its own rows, those in their place and those behind its end, from any byte to any byte', async () => {
    const rows = new Map([1, 5, 6].map(at => [at, row(at)]));
    const view = withTableRows(await checkpoint(STORED[dtype], dtype), 'table', rows);
    const expected = new Float32Array(7 * WIDTH);
    expected.set(values);
    for (const [at, own] of rows) expected.set(own, at * WIDTH);
    expect(view.tensors.get('table')).toEqual({ name: 'table', dtype: 'F32', shape: [7, 3], byteLength: 84 });
    expect((await readFloats(view, 'table')).data).toEqual(expected);
    const bytes = new Uint8Array(expected.buffer);
    for (let start = 0; start < bytes.length; start += 5) {
      for (const length of [0, 1, 7, 20, bytes.length - start]) {
        if (start + length > bytes.length) continue;
        const into = new Uint8Array(length).fill(0xaa);
        await view.read('table', start, into);
        expect(into, `${start}, ${length}`).toEqual(bytes.slice(start, start + length));
      }
    }
  });
});

it('leaves every other tensor as it was', async () => {
  const source = await checkpoint(values, 'F32');
  const view = withTableRows(source, 'table', new Map([[5, row(5)]]));
  expect([...view.tensors.keys()]).toEqual([...source.tensors.keys()]);
  expect((await readFloats(view, 'other')).data).toEqual(Float32Array.of(8, 9));
  await expect(view.read('table', 70, new Uint8Array(4))).rejects.toThrow('bytes beyond the end');
});

it('rounds nothing: halves are widened', async () => {
  const fine = row(1 / 3);
  const view = withTableRows(await checkpoint(toHalf(values), 'F16'), 'table', new Map([[5, fine]]));
  expect((await readFloats(view, 'table')).data.slice(-WIDTH)).toEqual(fine);
  expect(fromHalf(toHalf(fine))).not.toEqual(fine);
});

it('refuses what is no table, rows of another width, and a gap', async () => {
  const source = await checkpoint(values, 'F32');
  const one = (at: number, own = row(at)) => new Map([[at, own]]);
  expect(() => withTableRows(source, 'other', one(0))).toThrowErrorMatchingInlineSnapshot(
    `[WeightsError: withTableRows: no table to put rows in: expected [count, width], got [2] (memory: other)]`,
  );
  expect(() => withTableRows(source, 'none', one(0))).toThrowErrorMatchingInlineSnapshot(
    `[WeightsError: withTableRows: no table to put rows in: expected [count, width], got no such tensor (memory: none)]`,
  );
  expect(() => withTableRows(source, 'table', one(5, Float32Array.of(1)))).toThrowErrorMatchingInlineSnapshot(
    `[WeightsError: withTableRows: row 5 is of another width: expected 3, got 1 (memory: table)]`,
  );
  expect(() => withTableRows(source, 'table', one(6))).toThrowErrorMatchingInlineSnapshot(
    `[WeightsError: withTableRows: a row before the new ones has no values: expected row 5, got row 6 (memory: table)]`,
  );
  const whole = await checkpoint(Int32Array.from(values), 'I32');
  expect(() => withTableRows(whole, 'table', one(5))).toThrowErrorMatchingInlineSnapshot(
    `[DTypeError: withTableRows: the table does not hold floats: expected F32, F16, BF16, got I32 (memory: table)]`,
  );
});

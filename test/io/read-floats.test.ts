import { expect, test } from 'vitest';
import { readFloats } from '../../src/io/read-floats.ts';
import { memoryCheckpoint } from '../support/memory-checkpoint.ts';

const values = [1, -0.5, 3.140625, 2 ** -10];
const source = memoryCheckpoint({
  f32: { shape: [2, 2], values: [...values.slice(0, 3), 1 / 3] },
  f16: { shape: [4], values, dtype: 'F16' },
  bf16: { shape: [1, 4], values, dtype: 'BF16' },
  i64: { shape: [2], values: [1, 2], dtype: 'I64' },
});

test('reads every float type with its shape', async () => {
  expect(await readFloats(source, 'f32')).toEqual({
    data: Float32Array.of(...values.slice(0, 3), 1 / 3),
    shape: [2, 2],
  });
  expect(await readFloats(source, 'f16')).toEqual({ data: Float32Array.from(values), shape: [4] });
  expect(await readFloats(source, 'bf16')).toEqual({ data: Float32Array.from(values), shape: [1, 4] });
});

test('refuses missing tensors and other types by name', async () => {
  await expect(readFloats(source, 'q')).rejects.toThrowErrorMatchingInlineSnapshot(
    `[WeightsError: readFloats: no tensor "q" (memory)]`,
  );
  await expect(readFloats(source, 'i64')).rejects.toThrowErrorMatchingInlineSnapshot(
    `[WeightsError: readFloats: not floats: expected one of F32, F16, BF16, F64, F8_E4M3, F8_E5M2, got I64 (memory: i64)]`,
  );
});

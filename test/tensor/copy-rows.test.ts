import { expect, test } from 'vitest';
import { DeviceTensor } from '../../src/tensor/device-tensor.ts';
import { testGpu } from '../support/gpu.ts';

const count = (n: number, from = 0) => Float32Array.from({ length: n }, (_, i) => from + i);

test.each(['float32', 'float16'] as const)('copies entries of the first dimension in %s', async dtype => {
  const gpu = await testGpu();
  // Three channels, so that rows are padded; the entries themselves lie one after the other.
  const from = DeviceTensor.from(gpu, count(2 * 12), [2, 3, 2, 2], dtype);
  const to = DeviceTensor.from(gpu, count(3 * 12, 100), [3, 3, 2, 2], dtype);
  to.copyRows(from, { from: 1, to: 2, count: 1 });
  expect(await to.read()).toEqual(Float32Array.from([...count(24, 100), ...count(12, 12)]));
  to.copyRows(from);
  expect(await to.read()).toEqual(Float32Array.from([...count(24), ...count(12, 12)]));
  from.dispose();
  to.dispose();
});

test('refuses entries of another size and ranges outside', async () => {
  const gpu = await testGpu();
  const [a, b, c] = [
    [2, 3],
    [2, 4],
    [3, 3],
  ].map(shape => DeviceTensor.create(gpu, shape));
  expect(() => a.copyRows(b)).toThrowErrorMatchingInlineSnapshot(
    `[ShapeError: DeviceTensor.copyRows: the entries do not fit: expected float32 [2,3], 2 from 0 on, got float32 [2,4], from 0 on]`,
  );
  expect(() => a.copyRows(c)).toThrowErrorMatchingInlineSnapshot(
    `[ShapeError: DeviceTensor.copyRows: the entries do not fit: expected float32 [2,3], 3 from 0 on, got float32 [3,3], from 0 on]`,
  );
  for (const tensor of [a, b, c]) tensor.dispose();
});

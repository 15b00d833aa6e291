import { describe, expect, it } from 'vitest';
import { type Broadcast, elementwiseBinary } from '../../src/kernels/elementwise-binary.ts';
import { binary } from '../reference/elementwise.ts';
import { testGpu } from '../support/gpu.ts';
import { expectRows, padRows, pitchOf, runBothWays, SETTINGS, settingOf, stored } from '../support/rows.ts';
import { randoms } from '../support/run-kernel.ts';
import { elementwiseCases } from './elementwise.cases.ts';

describe('elementwise binary', () => {
  for (const name of SETTINGS) {
    for (const { rows, width } of elementwiseCases) {
      it(`${name}: 2a - 3b of ${rows} rows of ${width}`, async () => {
        const { gpu, storage, tolerance } = await settingOf(name);
        const a = stored(randoms(rows * width, width), storage);
        const b = stored(randoms(rows * width, width + 1), storage);
        const side = { pitch: pitchOf(width), storage };
        const call = elementwiseBinary({
          operation: 'subtract',
          rows,
          width,
          a: side,
          b: side,
          y: side,
          alpha: 2,
          beta: 3,
        });
        const operands = {
          a: { storage, values: padRows(a, width) },
          b: { storage, values: padRows(b, width) },
          y: { storage, size: rows * side.pitch },
        };
        const { y } = await runBothWays(gpu, call, operands);
        expectRows(
          y,
          binary(
            a,
            b,
            i => i,
            (u, v) => 2 * u - 3 * v,
          ),
          width,
          tolerance,
        );
      });
    }
  }

  // a is [N = 3, P = 4, C = 5].
  const forms: { form: string; broadcast: Broadcast; at: (i: number) => number; width: number }[] = [
    {
      form: 'a channel vector an image',
      broadcast: { rows: 3, divide: 4 },
      at: i => Math.floor(i / 20) * 5 + (i % 5),
      width: 5,
    },
    { form: 'one channel vector', broadcast: { rows: 1 }, at: i => i % 5, width: 5 },
    {
      form: 'a scalar an image',
      broadcast: { rows: 3, divide: 4, scalar: true },
      at: i => Math.floor(i / 20),
      width: 1,
    },
    { form: 'a scalar a row', broadcast: { rows: 12, scalar: true }, at: i => Math.floor(i / 5), width: 1 },
    { form: 'one picture for all images', broadcast: { rows: 4 }, at: i => i % 20, width: 5 },
  ];
  for (const { form, broadcast, at, width } of forms) {
    it(`multiplies, adds and divides by ${form}`, async () => {
      const gpu = await testGpu();
      const a = randoms(60, 1);
      const b = randoms(broadcast.rows * width, 2).map(v => v + 1.5);
      const side = { pitch: 8, storage: 'f32' as const };
      const operands = {
        a: { storage: 'f32' as const, values: padRows(a, 5) },
        b: { storage: 'f32' as const, values: padRows(b, width) },
        y: { storage: 'f32' as const, size: 96 },
      };
      const run = (operation: 'add' | 'multiply' | 'divide') =>
        runBothWays(
          gpu,
          elementwiseBinary({ operation, rows: 12, width: 5, a: side, b: { ...side, broadcast }, y: side }),
          operands,
        );
      expectRows(
        (await run('add')).y,
        binary(a, b, at, (u, v) => u + v),
        5,
        1e-6,
      );
      expectRows(
        (await run('multiply')).y,
        binary(a, b, at, (u, v) => u * v),
        5,
        1e-6,
      );
      expectRows(
        (await run('divide')).y,
        binary(a, b, at, (u, v) => u / v),
        5,
        1e-6,
      );
    });
  }

  it('takes each operand in its own storage form', async () => {
    const gpu = await testGpu();
    const a = stored(randoms(30, 1), 'f16');
    const b = stored(randoms(30, 2), 'bf16-packed');
    const call = elementwiseBinary({
      operation: 'add',
      rows: 3,
      width: 10,
      a: { pitch: 16, storage: gpu.caps.half },
      b: { pitch: 24, storage: 'bf16-packed' },
      y: { pitch: 16, storage: 'f32' },
    });
    const { y } = await runBothWays(gpu, call, {
      a: { storage: gpu.caps.half, values: padRows(a, 10) },
      b: { storage: 'bf16-packed', values: padRows(b, 10, 24) },
      y: { storage: 'f32', size: 48 },
    });
    expectRows(
      y,
      binary(
        a,
        b,
        i => i,
        (u, v) => u + v,
      ),
      10,
      1e-6,
    );
  });

  it('windows rows that exceed a binding', async () => {
    const gpu = await testGpu({ maxBindingBytes: 32768 });
    const a = randoms(3001 * 5, 5);
    const b = randoms(3001 * 5, 6);
    const side = { pitch: 8, storage: 'f32' as const };
    const call = elementwiseBinary({ operation: 'add', rows: 3001, width: 5, a: side, b: side, y: side });
    const { y } = await runBothWays(gpu, call, {
      a: { storage: 'f32', values: padRows(a, 5) },
      b: { storage: 'f32', values: padRows(b, 5) },
      y: { storage: 'f32', size: 3001 * 8 },
    });
    expectRows(
      y,
      binary(
        a,
        b,
        i => i,
        (u, v) => u + v,
      ),
      5,
      1e-6,
    );
  });

  it('refuses a broadcast that does not come out even', () => {
    const side = { pitch: 8, storage: 'f32' as const };
    expect(() =>
      elementwiseBinary({
        operation: 'add',
        rows: 10,
        width: 4,
        a: side,
        b: { ...side, broadcast: { rows: 3, divide: 3 } },
        y: side,
      }),
    ).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: elementwise-binary: the rows of b must repeat a whole number of times: expected a divisor of 10 rows, got 3 rows for 3 each]`,
    );
  });
});

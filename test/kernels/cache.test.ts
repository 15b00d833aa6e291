import { describe, expect, it } from 'vitest';
import { cacheAppend } from '../../src/kernels/cache-append.ts';
import { cacheGather } from '../../src/kernels/cache-gather.ts';
import { gatherColumns } from '../../src/kernels/gather-columns.ts';
import { testGpu } from '../support/gpu.ts';
import { pitchOf, runBothWays, SETTINGS, settingOf, stored } from '../support/rows.ts';
import { randoms, runKernel } from '../support/run-kernel.ts';

const lengths = (count: number, start: number) => ({ words: new Uint32Array([count, start, 9, 9]) });

describe.each(SETTINGS)('cache-append, %s', name => {
  it.each([
    { batch: 1, length: 1, capacity: 1, width: 8, first: 0, start: 0 },
    { batch: 3, length: 1, capacity: 5, width: 16, first: 8, start: 4 },
    { batch: 2, length: 4, capacity: 7, width: 24, first: 12, start: 2 },
    { batch: 2, length: 3, capacity: 4, width: 8, first: 0, start: 2 }, // the last row finds no room
    { batch: 5, length: 2, capacity: 30, width: 136, first: 68, start: 11 },
  ])('$batch x $length rows of $width from $first at $start of $capacity', async c => {
    const { gpu, storage } = await settingOf(name);
    const pitch = pitchOf(c.first + c.width + 4);
    const x = stored(randoms(c.batch * c.length * pitch, 1), storage);
    const before = stored(randoms(c.batch * c.capacity * c.width, 2), storage);
    const call = cacheAppend({ ...c, x: { pitch, first: c.first, storage }, cache: storage });
    const expected = before.slice();
    for (let n = 0; n < c.batch; n++)
      for (let l = 0; l < c.length; l++)
        for (let i = 0; i < c.width && c.start + l < c.capacity; i++) {
          expected[(n * c.capacity + c.start + l) * c.width + i] = x[(n * c.length + l) * pitch + c.first + i];
        }
    const operands = {
      x: { storage, values: x },
      lengths: lengths(c.start + c.length, c.start),
      cache: { storage, values: before },
    };
    const { cache } = await runBothWays(gpu, call, operands, 1);
    expect(cache).toEqual(expected);
  });
});

it('cache-append changes the storage form', async () => {
  const gpu = await testGpu();
  const x = randoms(2 * 8, 1);
  const to = gpu.caps.half;
  const call = cacheAppend({
    batch: 2,
    length: 1,
    capacity: 1,
    width: 8,
    x: { pitch: 8, first: 0, storage: 'f32' },
    cache: to,
  });
  const operands = {
    x: { storage: 'f32', values: x },
    lengths: lengths(1, 0),
    cache: { storage: to, values: new Float32Array(16) },
  };
  expect((await runKernel(gpu, call, operands as never)).cache).toEqual(stored(x, to));
});

describe.each(SETTINGS)('cache-gather, %s', name => {
  it.each([
    { index: [0], group: 1, capacity: 1, width: 8, filled: 1 },
    { index: [1, 0], group: 2, capacity: 3, width: 8, filled: 2 },
    { index: [2, 2, 0, 5, 3, 4], group: 3, capacity: 4, width: 24, filled: 4 },
    { index: [0, 0, 1, 2, 7, 6, 5, 7], group: 4, capacity: 5, width: 16, filled: 3 },
    { index: [4, 3, 2, 1, 0], group: 5, capacity: 9, width: 40, filled: 0 },
    { index: [1, 0, 2, 2, 5, 4], group: 2, capacity: 12, width: 64, filled: 11 },
  ])('$index in groups of $group, $filled of $capacity rows of $width', async c => {
    const { gpu, storage } = await settingOf(name);
    const size = c.capacity * c.width;
    const before = stored(randoms(c.index.length * size, 1), storage);
    const expected = before.slice();
    c.index.forEach((from, r) => {
      expected.set(before.subarray(from * size, from * size + c.filled * c.width), r * size);
    });
    const call = cacheGather({ ...c, batch: c.index.length, storage });
    const operands = {
      index: { words: new Uint32Array([...c.index, 99, 99, 99]) },
      lengths: lengths(c.filled, 0),
      cache: { storage, values: before },
    };
    expect((await runBothWays(gpu, call, operands, 1)).cache).toEqual(expected);
  });
});

describe('gather-columns', () => {
  it.each(['f32', 'f16', 'bf16-packed', 'f16-packed'] as const)('lays rows side by side from %s', async form => {
    const gpu = await testGpu(form === 'f16-packed' ? { bare: true } : {});
    const storage = form === 'f16' ? gpu.caps.half : form;
    const [rows, width, n] = [5, 6, 11];
    const table = stored(randoms(rows * 8, 1), storage);
    const ids = Uint32Array.from({ length: 16 }, (_, j) => (j * 3) % rows);
    const call = gatherColumns({ n, width, table: { rows, pitch: 8, storage } });
    const operands = {
      ids: { words: ids },
      table: { storage, values: table },
      y: { storage: 'f32', size: width * 16 },
    } as const;
    const { y } = await runBothWays(gpu, call, operands, 1);
    const expected = Float32Array.from({ length: width * 16 }, (_, i) => {
      const [h, j] = [Math.floor(i / 16), i % 16];
      return j < n ? table[ids[j] * 8 + h] : 0;
    });
    expect(y).toEqual(expected);
  });

  it('reads the last row for ids past the table', async () => {
    const call = gatherColumns({ n: 1, width: 2, table: { rows: 2, pitch: 8, storage: 'f32' } });
    const table = { storage: 'f32', values: [...new Array(8).fill(1), ...new Array(8).fill(2)] } as const;
    const operands = { ids: { words: new Uint32Array([7, 0, 0, 0]) }, table, y: { storage: 'f32', size: 16 } } as const;
    expect((await runKernel(await testGpu(), call, operands)).y.slice(0, 2)).toEqual(new Float32Array([2, 0]));
  });
});

it('caches refuse sizes that do not fit', () => {
  const append = {
    batch: 1,
    length: 1,
    capacity: 4,
    width: 8,
    x: { pitch: 16, first: 0, storage: 'f32' },
    cache: 'f32',
  } as const;
  expect(() => cacheAppend({ ...append, length: 5 })).toThrowErrorMatchingInlineSnapshot(
    `[ShapeError: cache-append: the cache is too small: expected at least 5 rows, got 4. Start the decoder with a larger length.]`,
  );
  expect(() => cacheAppend({ ...append, x: { ...append.x, first: 2 } })).toThrowErrorMatchingInlineSnapshot(
    `[ShapeError: cache-append: must be a multiple of 4: got 2 (x.first)]`,
  );
  expect(() => cacheAppend({ ...append, x: { ...append.x, first: 12 } })).toThrowErrorMatchingInlineSnapshot(
    `[ShapeError: cache-append: a row of 20 needs a pitch that holds it: expected a multiple of 8, at least 20, got 16 (x.pitch). Pad the rows to multiples of 8 elements.]`,
  );
  expect(() => cacheAppend({ ...append, width: 12 })).toThrowErrorMatchingInlineSnapshot(
    `[ShapeError: cache-append: a row of 12 needs a pitch that holds it: expected a multiple of 8, at least 12, got 12 (cache.pitch). Pad the rows to multiples of 8 elements.]`,
  );
  const gather = { batch: 6, group: 3, capacity: 4, width: 8, storage: 'f32' } as const;
  expect(() => cacheGather({ ...gather, group: 4 })).toThrowErrorMatchingInlineSnapshot(
    `[ShapeError: cache-gather: the groups do not fit: expected at most 64 sequences, a divisor of 6, got 4. Use fewer beams.]`,
  );
  expect(() => cacheGather({ ...gather, batch: 65, group: 65 })).toThrowErrorMatchingInlineSnapshot(
    `[ShapeError: cache-gather: the groups do not fit: expected at most 64 sequences, a divisor of 65, got 65. Use fewer beams.]`,
  );
});

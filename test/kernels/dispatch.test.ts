import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createStorage, readSlice } from '../../src/gpu/buffer.ts';
import type { Caps } from '../../src/gpu/caps.ts';
import type { Gpu } from '../../src/gpu/device.ts';
import { DispatchList, gridOf, splitTiles } from '../../src/kernels/dispatch.ts';
import { elementwiseUnary } from '../../src/kernels/elementwise-unary.ts';
import type { KernelCall } from '../../src/kernels/kernel.ts';
import { testGpu } from '../support/gpu.ts';

const gpu = await testGpu();
const side = { pitch: 8, storage: 'f32' as const };
const call = elementwiseUnary({ rows: 40960, width: 8, x: side, y: side, alpha: 0, beta: 3 });

/** The same device, of which less may be used. */
function limited(caps: Partial<Caps>): Gpu {
  return Object.create(gpu, {
    caps: { value: { ...gpu.caps, ...caps } },
    guarded: { value: gpu.guarded.bind(gpu) },
    check: { value: gpu.check.bind(gpu) },
  });
}

describe('grids', () => {
  it('hold every tile, and no more workgroups a dimension than there may be', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 70_000 }), fc.integer({ min: 1, max: 65_535 }), (count, most) => {
        fc.pre(count <= most * most);
        const [columns, rows] = gridOf(count, most);
        expect(Math.max(columns, rows)).toBeLessThanOrEqual(most);
        expect(columns * rows).toBeGreaterThanOrEqual(count);
        expect(columns * (rows - 1)).toBeLessThan(count);
      }),
    );
    expect(gridOf(65_535, 65_535)).toEqual([65_535, 1]);
    expect(gridOf(65_536, 65_535)).toEqual([32_768, 2]);
  });
});

describe('ranges of tiles', () => {
  const ranges = (caps: Partial<Caps>, flops = 0) =>
    splitTiles({ ...call, cost: { flops, bytes: 0 } }, {}, { ...gpu.caps, ...caps }, Number.POSITIVE_INFINITY);
  const lengths = (all: readonly { first: number; end: number }[]) => all.map(r => r.end - r.first);

  it('end where two dimensions of workgroups end', () => {
    const all = ranges({ maxWorkgroups: 3 });
    expect(Math.max(...lengths(all))).toBe(9);
    expect(all[0].first).toBe(0);
    for (const [i, r] of all.entries()) expect(r.first).toBe(i === 0 ? 0 : all[i - 1].end);
    expect(all.at(-1)?.end).toBe(call.tiles);
  });

  it('are short enough for a watchdog on a GPU, and whole on software, which has none', () => {
    const heavy = 1e11 * call.tiles; // two dispatches a tile would still be too long: a tile is never cut
    expect(lengths(ranges({ software: false }, heavy))).toEqual(new Array(call.tiles).fill(1));
    expect(Math.max(...lengths(ranges({ software: false }, 1e10 * call.tiles)))).toBe(5);
    expect(ranges({ software: true }, heavy)).toHaveLength(1);
  });
});

describe('a list of dispatches', () => {
  it('gives the same in grids of two dimensions and many submissions as in one', async () => {
    const small = limited({ maxWorkgroups: 3, software: false });
    const run = async (on: Gpu) => {
      const [x, y] = [createStorage(gpu, 40960 * 32, 'x'), createStorage(gpu, 40960 * 32, 'y')];
      const list = new DispatchList(on);
      list.add(call, { x: y, y: x });
      list.add(elementwiseUnary({ rows: 40960, width: 8, x: side, y: side, alpha: 2 }), { x, y });
      await list.build();
      list.submit();
      const values = new Float32Array(await readSlice(gpu, y));
      const { length } = list;
      for (const thing of [x.buffer, y.buffer]) thing.destroy();
      list.dispose();
      return { values, length };
    };
    const [one, many] = [await run(gpu), await run(small)];
    expect(many.values).toEqual(one.values);
    expect(one.values.every(v => v === 6)).toBe(true);
    expect(one.length).toBe(2);
    expect(many.length).toBeGreaterThan(2);
  });

  it('says so where it is used before it is built', () => {
    const list = new DispatchList(gpu);
    expect(() => list.encode({} as GPUComputePassEncoder)).toThrowErrorMatchingInlineSnapshot(
      `[DeviceError: DispatchList.encode: build() has not run]`,
    );
    expect(() => list.add(call, {})).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: elementwise-unary: no buffer for a binding: expected x]`,
    );
  });
});

describe('a call that cannot be cut to fit a binding', () => {
  const caps = { ...gpu.caps, maxBindingBytes: 1024 };
  const cut = (kernel: KernelCall, bytes: number) => () =>
    splitTiles(kernel, { y: { size: bytes } }, caps, Number.POSITIVE_INFINITY);

  it('is refused where one tile alone is too large', () => {
    expect(cut(call, 512)()).toEqual([{ first: 0, end: call.tiles }]);
    const [x, y] = call.bindings;
    const range = (first: number, end: number) => [500 * first, 500 * end] as const;
    const wide = { ...call, bindings: [x, { ...y, window: { field: 'y_base', elementBytes: 4, range } }] };
    expect(cut(wide, 1 << 20)).toThrowErrorMatchingInlineSnapshot(
      `[DeviceError: elementwise-unary: a tile needs more of 'y' than a binding may hold: expected at most 1024 bytes, got 2000 (y). Use maxBindingBytes above 1024.]`,
    );
  });

  it('is refused where its kernel has no windows', () => {
    const [x, { window: _, ...y }] = call.bindings;
    expect(cut({ ...call, bindings: [x, y] }, 1025)).toThrowErrorMatchingInlineSnapshot(
      `[DeviceError: elementwise-unary: the kernel needs all of 'y', which exceeds a binding: expected at most 1024 bytes, got 1025 (y). Use maxBindingBytes above 1024.]`,
    );
  });

  it('is refused where a window holds nothing', async () => {
    const message = async (on: Gpu, kernel: KernelCall) => {
      const list = new DispatchList(on);
      const y = createStorage(gpu, 4096, 'y');
      list.add(kernel, { x: { ...y, size: 256 }, y });
      const error = await list.build().then(
        () => undefined,
        (e: unknown) => `${e}`,
      );
      list.dispose();
      y.buffer.destroy();
      return error;
    };
    const [x, y] = call.bindings;
    const empty = { ...y, window: { field: 'y_base', elementBytes: 4, range: () => [64, 64] as const } };
    expect(await message(limited({ maxBindingBytes: 1024 }), { ...call, bindings: [x, empty] })).toMatchInlineSnapshot(
      `"ShapeError: elementwise-unary: window of 'y' is empty: got [64, 64]"`,
    );
  });
});

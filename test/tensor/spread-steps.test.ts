import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Gpu } from '../../src/gpu/device.ts';
import { DEFAULT_CAPS } from '../../src/gpu/dry-device.ts';
import { conv2d } from '../../src/kernels/conv2d.ts';
import { elementwiseBinary } from '../../src/kernels/elementwise-binary.ts';
import { groupNormStats } from '../../src/kernels/group-norm-stats.ts';
import type { KernelCall } from '../../src/kernels/kernel.ts';
import { Graph } from '../../src/tensor/graph.ts';
import { layoutOf } from '../../src/tensor/layout.ts';
import type { Operand, Piece, Step } from '../../src/tensor/lower.ts';
import { spreadSteps } from '../../src/tensor/spread.ts';

const caps = { ...DEFAULT_CAPS, maxBufferBytes: 64 * 1024 };
const graph = new Graph(Gpu.dry());
const padding = { top: 1, right: 1, bottom: 1, left: 1 };
const F32 = { input: 'f32', weight: 'f32', output: 'f32' } as const;

/** Calls on maps [images, channels, height, width]; operands by binding, of sizes that fit. */
const CALLS: Record<string, (n: number, c: number, h: number, w: number) => Step> = {
  'a convolution of twice the size': (n, c, h, w) => {
    const problem = { images: n, height: h, width: w, channels: c, outChannels: c, kernel: [3, 3] as const, stride: 1 };
    const call = conv2d(caps, { ...problem, padding, upsample: true, ...F32, epilogue: { residual: true } });
    const large = () => graph.allocate([n, c, 2 * h, 2 * w], 'float32');
    return step(call, { a: graph.allocate([n, c, h, w], 'float32'), y: large(), residual: large() });
  },
  'a sum': (n, c, h, w) => {
    const side = { pitch: c, storage: 'f32' } as const;
    const call = elementwiseBinary({ operation: 'add', rows: n * h * w, width: c, a: side, b: side, y: side });
    const map = () => graph.allocate([n, c, h, w], 'float32');
    return step(call, { a: map(), b: map(), y: map() });
  },
  'the statistics of a group norm': (n, c, h, w) => {
    const problem = { images: n, pixels: h * w, sources: [{ channels: c, pitch: c }], storage: 'f32' } as const;
    const x = graph.allocate([n, c, h, w], 'float32');
    return step(groupNormStats(caps, problem), { x1: x, x2: x });
  },
};

const step = (call: KernelCall, buffers: Readonly<Record<string, Operand>>): Step => ({ call, buffers });

function isPiece(operand: Operand | undefined): operand is Piece {
  return operand !== undefined && 'firstRow' in operand;
}

/** The rows of an operand that a range of tiles touches. */
function rowsOf(call: KernelCall, name: string, pitch: number, first: number, end: number): [number, number] {
  const window = call.bindings.find(b => b.name === name)?.window;
  if (!window) throw new Error(`${name} has no window`);
  const [from, to] = window.range(first, end);
  const perRow = (pitch * 4) / window.elementBytes;
  return [Math.floor(from / perRow), Math.ceil(to / perRow)];
}

test.each(Object.entries(CALLS))('%s: every tile once, its rows in one piece, seams filled before', (_, make) => {
  const sizes = fc.tuple(
    fc.integer({ min: 1, max: 3 }),
    fc.constantFrom(8, 16, 24, 32),
    fc.integer({ min: 16, max: 64 }),
    fc.integer({ min: 16, max: 64 }),
  );
  fc.assert(
    fc.property(sizes, fc.constantFrom(40, 48, 64), ([n, c, h, w], kib) => {
      const whole = make(n, c, h, w);
      const limits = { ...caps, maxBufferBytes: kib * 1024 };
      const steps = spreadSteps([whole], () => true, limits, kib * 1024);
      const cut = steps.filter(s => s.call === whole.call);
      let next = 0;
      for (const { tiles = { first: 0, end: whole.call.tiles }, buffers } of cut) {
        expect(tiles.first).toBe(next);
        next = tiles.end;
        for (const [name, operand] of Object.entries(buffers)) {
          if (!isPiece(operand)) continue;
          const [from, to] = rowsOf(whole.call, name, operand.value.layout.pitch, tiles.first, tiles.end);
          expect(operand.firstRow).toBeLessThanOrEqual(from);
          expect(operand.firstRow + operand.rows).toBeGreaterThanOrEqual(Math.min(to, from + operand.rows));
          expect((operand.firstRow * operand.value.layout.pitch * 4) % 256).toBe(0);
        }
      }
      expect(next).toBe(whole.call.tiles);
      for (const { buffers } of steps) {
        for (const operand of Object.values(buffers)) {
          if (!isPiece(operand)) continue;
          const { rows, pitch } = operand.value.layout;
          expect(rows * pitch * 4).toBeLessThanOrEqual(limits.maxBufferBytes);
        }
      }
    }),
    { seed: 11, numRuns: 60 },
  );
});

test('small values, and those that a kernel reads in large pieces, stay as they are', () => {
  const [a, y] = [graph.allocate([1, 8, 64, 64], 'float32'), graph.allocate([1, 8, 64, 64], 'float32')];
  const side = { pitch: 8, storage: 'f32' } as const;
  const sum = elementwiseBinary({ operation: 'add', rows: 4096, width: 8, a: side, b: side, y: side });
  const steps = [step(sum, { a, b: a, y })];
  expect(spreadSteps(steps, () => true, caps, 128 * 1024)).toEqual(steps);
  expect(spreadSteps(steps, () => false, caps, 64 * 1024)).toEqual(steps);
  expect(spreadSteps(steps, () => true, caps, 64 * 1024)).toHaveLength(2);
  // A tile of 16 KiB is more than a quarter of a part, and the device would take the whole.
  expect(spreadSteps(steps, () => true, { ...caps, maxBufferBytes: 2 ** 20 }, 32 * 1024)).toEqual(steps);
  expect(layoutOf([1, 8, 64, 64]).rows).toBe(4096);
});

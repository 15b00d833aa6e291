/** The layout of a weight is chosen with its variants, before it is packed, for every number of rows that it will meet. */
import { describe, expect, it } from 'vitest';
import { DeviceError, InputError } from '../../src/core/errors.ts';
import type { Caps } from '../../src/gpu/caps.ts';
import { LINEAR, linear } from '../../src/kernels/linear.ts';
import { choose, type Op, type PackedLayout, type Variant } from '../../src/kernels/op.ts';
import { layoutOfWeight, weightLayout } from '../../src/kernels/weight-layout.ts';

const caps = { software: true, subgroupSize: 8, half: 'f16-packed', device: 'planted' } as Caps;
const gpu = { ...caps, software: false, subgroupSize: 0 } as Caps;

interface Problem {
  readonly rows: number;
  readonly packed: PackedLayout;
}

const side = { pitch: 64, storage: 'f32' } as const;
const something = linear(caps, {
  ...{ batch: 1, rows: 1, columns: 64, k: 64, a: side, y: side, b: { layout: 'panels', storage: 'f32' } },
});

/** A variant for `least` to `most` rows. */
function plant(stem: string, weights: PackedLayout, least: number, most: number, rank: number): Variant<Problem> {
  return {
    ...{ stem, weights, tiles: () => ({}), rank: () => rank, call: () => ({ ...something, kernel: stem }) },
    fits: (_, p) => p.packed === weights && p.rows >= least && p.rows <= most,
  };
}

function plantOp(...variants: Variant<Problem>[]): Op<Problem> {
  return { name: 'planted', check: () => {}, packed: p => p.packed, tunedBy: [], variants };
}

const many = plant('many', 'panels', 1, 1000, 1);
const few = plant('few', 'rows', 1, 4, 0);
const fewInPanels = plant('few-panels', 'panels', 1, 4, 2);
const manyInRows = plant('many-rows', 'rows', 5, 1000, 2);
const layout = (op: Op<Problem>, rows: readonly number[], tuning = {}) =>
  weightLayout(op, caps, rows, (count, packed) => ({ rows: count, packed }), tuning);

describe('the layout of a weight', () => {
  it('is that of the variant chosen for the rows that matter most', () => {
    const op = plantOp(many, few);
    expect(layout(op, [1])).toBe('rows');
    expect(layout(op, [4])).toBe('rows');
    expect(layout(op, [64])).toBe('panels');
  });

  it('is one that serves every other number of rows too, though another were better for some', () => {
    expect(layout(plantOp(many, few), [1, 64])).toBe('panels'); // `few` cannot do 64
    expect(layout(plantOp(many, few, manyInRows), [1, 64])).toBe('rows');
    expect(layout(plantOp(many, few, manyInRows), [64, 1])).toBe('panels');
  });

  it('leaves as candidates the variants that read it, whatever their rank', () => {
    const op = plantOp(many, few, fewInPanels, manyInRows);
    const chosen = (rows: readonly number[], count: number) =>
      choose(op, caps, { rows: count, packed: layout(op, rows) }).stem;
    expect([chosen([1, 64], 1), chosen([1, 64], 64)]).toEqual(['few', 'many-rows']);
    expect([chosen([64, 1], 1), chosen([64, 1], 64)]).toEqual(['many', 'many']);
  });

  it('follows what is forced or measured', () => {
    const op = plantOp(many, few, fewInPanels, manyInRows);
    expect(layout(op, [1, 64], { force: { planted: 'many' } })).toBe('panels');
    expect(layout(op, [1, 64], { table: [{ op: 'planted', where: { rows: [1, 1] }, variant: 'few-panels' }] })).toBe(
      'panels',
    );
    expect(layout(op, [1, 64], { table: [{ op: 'planted', where: { rows: [2, 9] }, variant: 'few-panels' }] })).toBe(
      'rows',
    );
    expect(() => layout(plantOp(many, few), [1, 64], { force: { planted: 'few' } })).toThrow(InputError);
  });

  it('is refused where no layout serves all', () => {
    expect(() => layout(plantOp(few), [1, 64])).toThrowErrorMatchingInlineSnapshot(
      `[DeviceError: planted: no layout of the weights serves every number of rows on this device: expected [few: rows], got [1, 64]. Use another adapter, or other tuning.]`,
    );
    expect(() => layout(plantOp(), [1])).toThrow(DeviceError);
  });

  it('is panels for the layers that there are, on every device and for all rows', () => {
    const weight = { columns: 96, k: 64, storage: 'f16-packed', geglu: false } as const;
    for (const device of [caps, gpu]) {
      for (const rows of [undefined, [1], [1, 4, 64], [64, 1]]) {
        for (const taps of [1, 9]) expect(layoutOfWeight(device, { ...weight, taps }, rows)).toBe('panels');
        expect(layoutOfWeight(device, { ...weight, taps: 1, geglu: true }, rows)).toBe('panels');
      }
    }
    const lie = LINEAR.variants.filter(v => v.stem !== 'gemm-matrix').map(v => v.weights);
    expect(lie).toEqual(['panels', 'panels', 'panels', 'panels']);
  });

  it('is rows where matrix units multiply halves, but for layers that see one row before all', () => {
    const matrix = { m: 16, n: 16, k: 16, component: 'f16', lanes: 32, pinned: true, preferred: true } as const;
    const units = { ...gpu, half: 'f16', maxInvocations: 1024, maxWorkgroupBytes: 32768, matrix } as const;
    const weight = { columns: 96, k: 64, storage: 'f16', input: 'f16', geglu: false } as const;
    for (const taps of [1, 9]) expect(layoutOfWeight(units, { ...weight, taps })).toBe('rows');
    expect(layoutOfWeight(units, { ...weight, taps: 1, geglu: true })).toBe('rows');
    expect(layoutOfWeight(units, { ...weight, taps: 1 }, [1, 64])).toBe('panels');
    expect(layoutOfWeight(units, { ...weight, taps: 1, input: 'f32' })).toBe('panels');
    const emulated = { ...units, software: true, matrix: { ...matrix, preferred: false } };
    expect(layoutOfWeight(emulated, { ...weight, taps: 9 })).toBe('panels');
    expect(layoutOfWeight({ ...units, matrix: undefined }, { ...weight, taps: 9 })).toBe('panels');
  });
});

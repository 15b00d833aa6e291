/** Which variant a problem gets on a device: the table of what is chosen, what tuning may change, and what it may not. */
import { describe, expect, it } from 'vitest';
import { InputError, ShapeError } from '../../src/core/errors.ts';
import type { Caps } from '../../src/gpu/caps.ts';
import type { Gpu } from '../../src/gpu/device.ts';
import { specialize } from '../../src/gpu/specialize.ts';
import { ATTENTION, type AttentionProblem } from '../../src/kernels/attention.ts';
import { CONV2D, type Conv2dProblem } from '../../src/kernels/conv2d.ts';
import { GEMM_BROADCAST, GEMM_TILE, type GemmProblem } from '../../src/kernels/gemm.ts';
import { GROUP_NORM_FINALIZE, type GroupNormFinalizeProblem } from '../../src/kernels/group-norm-finalize.ts';
import { LAYER_NORM, type LayerNormProblem, RMS_NORM } from '../../src/kernels/layer-norm.ts';
import { LINEAR, linear } from '../../src/kernels/linear.ts';
import { MATMUL, type MatmulProblem } from '../../src/kernels/matmul.ts';
import { callOf, choose, nameOf, type Op, type Tiles, type Tuning, type Variant } from '../../src/kernels/op.ts';
import { checkTuning } from '../../src/kernels/registry.ts';
import { SOFTMAX, type SoftmaxProblem } from '../../src/kernels/softmax.ts';
import { testGpu } from '../support/gpu.ts';
import { type Operand, randoms, runKernel } from '../support/run-kernel.ts';

const base = { half: 'f16', maxBindingBytes: 2 ** 27, maxBufferBytes: 2 ** 30, maxWorkgroups: 65535 } as Caps;
/** A device of each class. */
const DEVICES = {
  lavapipe: { ...base, software: true, subgroupSize: 8, half: 'f16-packed' },
  swiftshader: { ...base, software: true, subgroupSize: 4, half: 'f16-packed' },
  'software without subgroups': { ...base, software: true, subgroupSize: 0, half: 'f16-packed' },
  'software with wide subgroups': { ...base, software: true, subgroupSize: 32 },
  'a GPU with f16': { ...base, software: false, subgroupSize: 32 },
  'a GPU with subgroups of 16': { ...base, software: false, subgroupSize: 16 },
  'a GPU with matrix units': {
    ...{ ...base, software: false, subgroupSize: 32, maxInvocations: 1024, maxWorkgroupBytes: 32768 },
    matrix: { m: 16, n: 16, k: 16, component: 'f16', lanes: 32, pinned: true, preferred: true },
  },
  'a bare GPU': { ...base, software: false, subgroupSize: 0, half: 'f16-packed' },
} as const satisfies Record<string, Caps>;

const side = { pitch: 64, storage: 'f32' } as const;
function rows(count: number, change: Partial<GemmProblem> = {}): GemmProblem {
  const b = { layout: 'panels', storage: 'f32' } as const;
  return { ...{ batch: 1, rows: count, columns: 64, k: 64, a: side, y: side }, b, ...change };
}
const padding = { top: 1, right: 1, bottom: 1, left: 1 };
const CONV: Conv2dProblem = {
  ...{ images: 1, height: 8, width: 8, channels: 64, outChannels: 64, kernel: [3, 3], stride: 1, padding },
  ...({ input: 'f32', weight: 'f32', output: 'f32' } as const),
};
/** One pixel, each for itself: as few rows as a linear layer may have, and still a convolution. */
const POINT: Conv2dProblem = {
  ...CONV,
  ...{ height: 1, width: 1, kernel: [1, 1], padding: { top: 0, right: 0, bottom: 0, left: 0 } },
};
const PRODUCT: MatmulProblem = { batch: 1, rows: 1, columns: 64, k: 64, a: 'f32', b: 'f32', y: 'f32' };
const HEADS: AttentionProblem = {
  ...{ batch: 1, heads: 1, queries: 8, keys: 8, headWidth: 64, scale: 1 },
  ...{ q: side, k: side, v: side, out: side },
};
const NORM: LayerNormProblem = { rows: 8, width: 64, eps: 1e-5, x: side, y: side };
const GROUPS: GroupNormFinalizeProblem = {
  ...{ images: 1, pixels: 64, sources: [{ channels: 64, pitch: 64 }], groups: 8, eps: 1e-5 },
};
const SCORES: SoftmaxProblem = { rows: 8, width: 64, x: side, y: side };

/** What every class of device gets, op by op. */
function choices(caps: Caps): Record<string, string> {
  const stem = <P>(op: Op<P>, problem: P) => choose(op, caps, problem).stem;
  return {
    'linear, rows 1, 4, 5, 16, 17': [1, 4, 5, 16, 17].map(n => stem(LINEAR, rows(n))).join(' '),
    'linear, 1 row with a gate': stem(LINEAR, rows(1, { epilogue: { geglu: true } })),
    'linear, 1 row of plain b': stem(LINEAR, rows(1, { b: { layout: 'plain', storage: 'f32', pitch: 64 } })),
    'linear, 2 batches of 1 row': stem(LINEAR, rows(1, { batch: 2 })),
    'conv2d, 3 x 3 and a single pixel': `${stem(CONV2D, CONV)} ${stem(CONV2D, POINT)}`,
    'matmul, 1 row': stem(MATMUL, PRODUCT),
    'attention, 8 queries and 1': `${stem(ATTENTION, HEADS)} ${stem(ATTENTION, { ...HEADS, queries: 1 })}`,
    'norms of rows': `${stem(LAYER_NORM, NORM)} ${stem(RMS_NORM, NORM)}`,
    'norms of groups': stem(GROUP_NORM_FINALIZE, GROUPS),
    softmax: stem(SOFTMAX, SCORES),
  };
}

const BROADCAST = {
  'linear, rows 1, 4, 5, 16, 17': 'gemv-broadcast gemv-broadcast gemv-broadcast gemv-broadcast gemm-broadcast',
  'linear, 1 row with a gate': 'gemm-broadcast',
  'linear, 1 row of plain b': 'gemm-broadcast',
  'linear, 2 batches of 1 row': 'gemm-broadcast',
  'conv2d, 3 x 3 and a single pixel': 'gemm-broadcast gemm-broadcast',
  'matmul, 1 row': 'gemm-broadcast',
  'attention, 8 queries and 1': 'attention-broadcast attention-broadcast',
  'norms of rows': 'layer-norm-broadcast layer-norm-broadcast',
  'norms of groups': 'group-norm-finalize-broadcast',
  softmax: 'softmax-broadcast',
};
const FOUR_LANES = {
  ...BROADCAST,
  'linear, rows 1, 4, 5, 16, 17': 'gemv-broadcast gemv-broadcast gemm-broadcast gemm-broadcast gemm-broadcast',
};
const TILE = {
  'linear, rows 1, 4, 5, 16, 17': 'gemv-tile gemv-tile gemv-tile gemv-tile gemm-tile',
  'linear, 1 row with a gate': 'gemm-tile',
  'linear, 1 row of plain b': 'gemm-tile',
  'linear, 2 batches of 1 row': 'gemm-tile',
  'conv2d, 3 x 3 and a single pixel': 'gemm-tile gemm-tile',
  'matmul, 1 row': 'gemm-tile',
  'attention, 8 queries and 1': 'attention-tile attention-tile',
  'norms of rows': 'layer-norm-tile layer-norm-tile',
  'norms of groups': 'group-norm-finalize-tile',
  softmax: 'softmax-tile',
};

describe('a device gets', () => {
  it.each([
    ['lavapipe', BROADCAST],
    ['swiftshader', FOUR_LANES],
    ['software without subgroups', TILE],
    ['software with wide subgroups', TILE],
    ['a GPU with f16', TILE],
    ['a GPU with subgroups of 16', TILE],
    ['a GPU with matrix units', TILE],
    ['a bare GPU', TILE],
  ] as const)('%s: the variants of the table', (name, table) => {
    expect(choices(DEVICES[name])).toEqual(table);
  });

  it('matrix units for products of halves, but for a few rows that stand alone', () => {
    const caps: Caps = DEVICES['a GPU with matrix units'];
    const half = { pitch: 64, storage: 'f16' } as const;
    const halves = (count: number, layout: 'panels' | 'rows' | 'plain', change: Partial<GemmProblem> = {}) => {
      const b = { layout, storage: 'f16', ...(layout === 'plain' ? { pitch: 64 } : {}) } as const;
      return nameOf(choose(LINEAR, caps, rows(count, { a: half, y: half, b, ...change })));
    };
    expect([halves(64, 'rows'), halves(1, 'rows'), halves(64, 'plain')]).toEqual(new Array(3).fill('gemm-matrix'));
    expect([halves(64, 'panels'), halves(16, 'panels')]).toEqual(['gemm-matrix-panels', 'gemv-tile']);
    expect(halves(16, 'panels', { itemRows: 16 })).toBe('gemm-matrix-panels');
    expect(halves(64, 'panels', { a: { ...half, offset: 4 } })).toBe('gemm-tile');
    expect(halves(64, 'panels', { a: side })).toBe('gemm-tile');
  });

  it('the same whether tuning is left out or empty', () => {
    for (const caps of Object.values(DEVICES)) {
      for (const tuning of [undefined, {}, { force: {} }, { table: [] }]) {
        expect(choose(LINEAR, caps, rows(3), tuning)).toBe(choose(LINEAR, caps, rows(3)));
      }
    }
  });

  it('calls that carry the stem of their variant, with its tiles as constants', () => {
    for (const caps of Object.values(DEVICES)) {
      for (const variant of LINEAR.variants.filter(v => v.fits(caps, rows(4)))) {
        const tiles = variant.tiles(caps, rows(4));
        const call = callOf(LINEAR, caps, rows(4), { force: { linear: nameOf(variant) } });
        expect(call.kernel).toBe(variant.stem);
        expect(call.values).toMatchObject(tiles);
      }
    }
  });
});

describe('tuning', () => {
  const lavapipe: Caps = DEVICES.lavapipe;
  const nvidia: Caps = DEVICES['a GPU with f16'];
  const stem = (count: number, tuning: Tuning, caps = lavapipe) => choose(LINEAR, caps, rows(count), tuning).stem;

  it('forces a variant before all else', () => {
    const table = [{ op: 'linear', variant: 'gemm-broadcast' }];
    expect(stem(1, { force: { linear: 'gemv-tile' }, table })).toBe('gemv-tile');
    expect(stem(1, { force: { softmax: 'softmax-tile' } })).toBe('gemv-broadcast');
    expect(stem(1, { force: { linear: 'gemv-broadcast' } }, DEVICES['a GPU with subgroups of 16'])).toBe(
      'gemv-broadcast',
    );
  });

  it('refuses a forced variant that cannot run the problem, or that there is not', () => {
    expect(() => stem(17, { force: { linear: 'gemv-tile' } })).toThrowErrorMatchingInlineSnapshot(
      `[InputError: linear: the forced variant cannot run this problem on this device: expected [gemm-broadcast, gemm-tile], got "gemv-tile" (tuning.force.linear). Force one of these, or leave it out.]`,
    );
    expect(() => stem(1, { force: { linear: 'gemm-broadcast' } }, nvidia)).toThrow(InputError);
    expect(() => stem(1, { force: { linear: 'gemm-tiles' } })).toThrowErrorMatchingInlineSnapshot(
      `[InputError: linear: there is no such variant: expected [gemv-broadcast, gemv-tile, gemm-broadcast, gemm-tile, gemm-matrix, gemm-matrix-panels], got "gemm-tiles" (tuning.force.linear). Force one of these, or leave it out.]`,
    );
  });

  it('takes the first measured choice that matches and fits, and else the rank', () => {
    const table = [
      { op: 'conv2d', variant: 'gemm-tile' },
      { op: 'linear', where: { rows: [1, 2], columns: [64, 64] }, variant: 'gemm-tile' },
      { op: 'linear', where: { rows: [17, 99] }, variant: 'gemv-tile' }, // cannot: passed over
      { op: 'linear', where: { rows: [2, 99] }, variant: 'gemv-tile' },
      { op: 'linear', where: { depth: [0, 99] }, variant: 'gemm-tile' }, // no such number: never
    ] as const;
    expect([1, 2, 3, 16, 17].map(count => stem(count, { table }))).toEqual([
      ...['gemm-tile', 'gemm-tile', 'gemv-tile', 'gemv-tile', 'gemm-broadcast'],
    ]);
    expect(choose(CONV2D, lavapipe, CONV, { table }).stem).toBe('gemm-tile');
  });

  it('is refused by name before a plan is made, where it speaks of what there is not', () => {
    expect(() =>
      checkTuning({ force: { linear: 'gemm-tile' }, table: [{ op: 'softmax', variant: 'softmax-tile' }] }),
    ).not.toThrow();
    expect(() => checkTuning({ force: { lineal: 'gemm-tile' } })).toThrowErrorMatchingInlineSnapshot(
      `[InputError: checkTuning: there is no such op with variants: expected [linear, conv2d, matmul, attention, layerNorm, rmsNorm, groupNormFinalize, softmax], got "lineal" (tuning.force.lineal). Correct the name.]`,
    );
    expect(() =>
      checkTuning({ table: [{ op: 'linear', variant: 'softmax-tile' }] }),
    ).toThrowErrorMatchingInlineSnapshot(
      `[InputError: checkTuning: 'linear' has no such variant: expected [gemv-broadcast, gemv-tile, gemm-broadcast, gemm-tile, gemm-matrix, gemm-matrix-panels], got "softmax-tile" (tuning.table[0]). Correct the name.]`,
    );
    const bounds = { rows: 5 } as unknown as Record<string, [number, number]>;
    expect(() =>
      checkTuning({ table: [{ op: 'linear', variant: 'gemm-tile', where: bounds }] }),
    ).toThrowErrorMatchingInlineSnapshot(
      `[InputError: checkTuning: no bounds: expected [least, most], a text, true or false, got 5 (tuning.table[0].where.rows)]`,
    );
    // How many rows stand beside each other is nothing that a choice may go by.
    const rows: [number, number] = [1, 8];
    expect(() => checkTuning({ table: [{ op: 'linear', variant: 'gemm-tile', where: { k: [8, 8], rows } }] })).toThrow(
      "no choice of 'linear' goes by this field",
    );
    for (const wrong of [{ table: 5 }, { table: {} }, { table: [null] }, { force: 5 }, { force: null }, { force: [] }])
      expect(() => checkTuning(wrong as unknown as Tuning)).toThrow(InputError);
  });
});

describe('an op of any kind', () => {
  interface Problem {
    readonly rows: number;
    readonly packed?: 'panels' | 'rows';
  }
  function plant(stem: string, weights: 'panels' | 'rows', most: number, rank: number): Variant<Problem> {
    return {
      ...{ stem, weights, tiles: () => ({ ROWS: most }), rank: () => rank },
      fits: (_, p) => p.rows <= most,
      call: () => ({ ...linear(DEVICES.lavapipe, rows(1)), kernel: stem }),
    };
  }
  const op: Op<Problem> = {
    name: 'planted',
    check: ({ rows: count }) => {
      if (count < 1) throw new ShapeError({ op: 'planted', problem: 'no rows', received: count });
    },
    packed: p => p.packed,
    tunedBy: [],
    variants: [plant('many', 'panels', 1000, 1), plant('few', 'rows', 4, 0), plant('twin', 'rows', 4, 0)],
  };
  const caps: Caps = DEVICES.lavapipe;

  it('gives the lowest rank that fits, of equals the first', () => {
    expect([1, 4, 5].map(count => choose(op, caps, { rows: count }).stem)).toEqual(['few', 'few', 'many']);
  });

  it('keeps to the layout in which the weights lie already, forced or not', () => {
    expect(choose(op, caps, { rows: 1, packed: 'panels' }).stem).toBe('many');
    expect(choose(op, caps, { rows: 1, packed: 'rows' }, { table: [{ op: 'planted', variant: 'many' }] }).stem).toBe(
      'few',
    );
    const force = { planted: 'many' };
    expect(() => choose(op, caps, { rows: 1, packed: 'rows' }, { force })).toThrowErrorMatchingInlineSnapshot(
      `[InputError: planted: the forced variant cannot run this problem on this device: expected [few, twin], got "many" (tuning.force.planted). Force one of these, or leave it out.]`,
    );
  });

  it('says so where nothing can run, and checks the problem before it chooses', () => {
    expect(() => choose(op, caps, { rows: 5, packed: 'rows' })).toThrowErrorMatchingInlineSnapshot(
      `[DeviceError: planted: no variant can run this problem on this device: expected [many, few, twin]. Use another adapter, or weights packed in another layout.]`,
    );
    expect(() => callOf(op, caps, { rows: 0 }, { force: { planted: 'none' } })).toThrow('planted: no rows');
  });
});

describe('a tile of another size', () => {
  const f32 = 'f32' as const;
  const b = { layout: 'panels', storage: f32 } as const;
  const EPILOGUES = { plain: { residual: true }, geglu: { geglu: true } } as const;
  const CONV_SHAPE = {
    ...{ images: 2, inHeight: 11, inWidth: 6, outHeight: 11, outWidth: 6, kernelHeight: 3, kernelWidth: 3 },
    ...{ stride: 1, padTop: 1, padLeft: 1, upsample: false },
  } as const;
  /** Rows, columns and K that are no multiples of any tile; K of 16 and of 8 values. */
  const problemOf = (kind: 'plain' | 'geglu' | 'conv', k: number): GemmProblem => {
    const size = { batch: 1, rows: kind === 'conv' ? 132 : 131, columns: 104, k };
    const [a, y] = [
      { pitch: k, storage: f32 },
      { pitch: 104, storage: f32 },
    ];
    const conv = kind === 'conv' ? CONV_SHAPE : undefined;
    return { ...size, a, b, y, conv, epilogue: EPILOGUES[kind === 'geglu' ? 'geglu' : 'plain'] };
  };
  const operandsOf = ({ rows: count, columns, k, conv }: GemmProblem): Record<string, Operand> => ({
    a: { storage: f32, values: randoms(count * k, 1) },
    b: { storage: f32, values: randoms(256 * k * (conv ? 9 : 1), 2) },
    bias: { storage: f32, values: randoms(256, 3) },
    channel_add: { storage: f32, values: [0] },
    residual: { storage: f32, values: randoms(count * columns, 4) },
    y: { storage: f32, size: count * columns },
  });
  /** What a problem gives in this cut. */
  async function cutBy<T extends Tiles>(gpu: Gpu, variant: Variant<GemmProblem, T>, problem: GemmProblem, tiles: T) {
    const op: Op<GemmProblem> = { ...LINEAR, variants: [{ ...variant, tiles: () => tiles }] };
    return (await runKernel(gpu, callOf(op, gpu.caps, problem), operandsOf(problem))).y;
  }

  it.each([
    { kind: 'plain', k: 48, DEPTH: 16 },
    { kind: 'plain', k: 40, DEPTH: 8 },
    { kind: 'conv', k: 16, DEPTH: 16 },
    { kind: 'geglu', k: 40, DEPTH: 8 },
  ] as const)('of gemm-tile gives the same bits: $kind, k $k', async ({ kind, k, DEPTH }) => {
    const gpu = await testGpu({ bare: true });
    const problem = problemOf(kind, k);
    const cut = (ROWS: number, COLUMNS: number, SPAN: number, UNROLL = 1) =>
      cutBy(gpu, GEMM_TILE, problem, { ROWS, COLUMNS, SPAN, DEPTH, UNROLL });
    const one = await cut(64, 64, 8);
    expect(one.some(v => v !== 0)).toBe(true);
    expect(await cut(128, 64, 8)).toEqual(one);
    if (k === 48) expect(await cut(64, 64, 8, 8)).toEqual(one);
    expect(await cut(128, 128, 8)).toEqual(one);
    if (kind !== 'geglu') expect(await cut(32, 32, 4)).toEqual(one);
    const own = GEMM_TILE.tiles(gpu.caps, problem);
    expect(await cutBy(gpu, GEMM_TILE, problem, own)).toEqual(one);
    expect(own.DEPTH).toBe(DEPTH);
  });

  it('of gemm-broadcast gives the same bits', async () => {
    const gpu = await testGpu();
    const LANES = gpu.caps.subgroupSize;
    for (const kind of ['plain', 'geglu', 'conv'] as const) {
      const problem = problemOf(kind, 40);
      const one = await cutBy(gpu, GEMM_BROADCAST, problem, GEMM_BROADCAST.tiles(gpu.caps, problem));
      expect(one.some(v => v !== 0)).toBe(true);
      for (const ROWS of LANES < 8 ? [8] : [LANES, 32]) {
        expect(await cutBy(gpu, GEMM_BROADCAST, problem, { LANES, ROWS })).toEqual(one);
      }
    }
  });

  it('is chosen by the size of the product: gemm-broadcast', () => {
    const { lavapipe, swiftshader } = DEVICES;
    const cut = (caps: Caps, count: number, change: Partial<GemmProblem> = {}) =>
      GEMM_BROADCAST.tiles(caps, rows(count, change)).ROWS;
    const wide = { columns: 1280, k: 1280 };
    expect([cut(lavapipe, 8), cut(lavapipe, 9), cut(lavapipe, 256)]).toEqual([8, 16, 16]);
    expect([cut(lavapipe, 4096, wide), cut(lavapipe, 128, wide)]).toEqual([32, 16]);
    // Rows are rounded up to a tile: a seventh more of them would eat what the larger one saves.
    expect([cut(lavapipe, 192, wide), cut(lavapipe, 208, wide), cut(lavapipe, 300, wide)]).toEqual([32, 16, 32]);
    expect(cut(lavapipe, 4096, { ...wide, epilogue: { geglu: true } })).toBe(16);
    expect([cut(swiftshader, 1), cut(swiftshader, 4096, wide)]).toEqual([8, 8]);
  });

  it('is chosen by the grid that it makes: gemm-tile', () => {
    const half = { pitch: 1280, storage: 'f16' } as const;
    const wide = { columns: 1280, k: 1280, a: half };
    const cut = (caps: Caps, count: number, change: Partial<GemmProblem> = {}) => {
      const { ROWS, COLUMNS, SPAN, DEPTH } = GEMM_TILE.tiles(caps, rows(count, change));
      return `${ROWS} x ${COLUMNS}, ${SPAN} x ${DEPTH}`;
    };
    const card = DEVICES['a GPU with f16'];
    expect([77, 600, 2048, 9216].map(count => cut(card, count, wide))).toEqual([
      ...['32 x 32, 4 x 16', '64 x 64, 8 x 16', '128 x 64, 8 x 16', '128 x 128, 8 x 16'],
    ]);
    expect(cut(card, 9216, { ...wide, k: 1288 })).toBe('128 x 128, 8 x 8');
    expect(cut(card, 77, { ...wide, epilogue: { geglu: true } })).toBe('64 x 64, 8 x 16');
    // Sums of single precision in blocks need room for totals; software has no room at all.
    expect([77, 9216].map(count => cut(card, count, { columns: 1280 }))).toEqual([
      '32 x 32, 4 x 16',
      '64 x 64, 4 x 16',
    ]);
    expect(cut(DEVICES['software without subgroups'], 9216, wide)).toBe('64 x 64, 4 x 16');
  });

  it('and of pinned subgroups where a card has larger ones too', () => {
    const card: Caps = DEVICES['a GPU with f16'];
    const text = (pins32: boolean) =>
      GEMM_TILE.call({ ...card, pins32 }, rows(64), GEMM_TILE.tiles(card, rows(64))).source;
    expect(text(true)).toBe(text(false).replace('@compute', '@compute @subgroup_size(32)'));
    expect(text(true)).not.toBe(text(false));
    expect(specialize('gemm-tile', '@compute @subgroup_size(32) fn main() {}', [], {})).toMatch(
      /^enable subgroup_size_control; /,
    );
  });
});

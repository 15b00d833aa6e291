/** Products: linear layers, convolutions, matrices of activations; measured for a norm, and with K in parts. */
import { CONV_TILE } from '../../../src/kernels/conv-tile.ts';
import { asGemm, CONV2D, type Conv2dProblem, conv2dSize } from '../../../src/kernels/conv2d.ts';
import {
  type Epilogue,
  GEMM_TILE,
  type GemmProblem,
  MOMENT_ROWS,
  momentsPitch,
  PANEL,
} from '../../../src/kernels/gemm.ts';
import { GEMM_MATRIX } from '../../../src/kernels/gemm-matrix.ts';
import type { Storage } from '../../../src/kernels/kernel.ts';
import { LINEAR } from '../../../src/kernels/linear.ts';
import { MATMUL } from '../../../src/kernels/matmul.ts';
import { nameOf, type PackedLayout, type Tiles, type Variant } from '../../../src/kernels/op.ts';
import { splitCalls } from '../../../src/kernels/split-k.ts';
import type { Draw } from './draw.ts';
import { cutsOf, nothing, pitchFor, type Row, row, rowsOf, type Where } from './problem.ts';

/** What is compiled in. */
interface Forms {
  readonly a: Storage;
  readonly b: Storage;
  readonly y: Storage;
  readonly layout: PackedLayout;
  readonly geglu: boolean;
  readonly activation: Epilogue['activation'];
  /** Of a few rows, measured, or cut along K; default nothing of it. */
  readonly kind?: 'few' | 'measured' | 'split' | undefined;
}

const PLAIN: readonly Storage[] = ['f32', 'f16'];

function forms(draw: Draw, { storages }: Where, variant: Variant<never>, kind?: Forms['kind']): Forms {
  const { stem, weights = 'panels' } = variant;
  const matrix = stem.endsWith('matrix');
  const own = matrix ? storages.filter(s => PLAIN.includes(s)) : storages;
  const kept: Storage[] = matrix ? [...own] : [...storages, 'bf16-packed'];
  return {
    ...{ a: draw.turn(own), b: draw.turn(kept), y: draw.pick(storages), layout: weights },
    geglu: kind === undefined && draw.turn([false, true]),
    activation: draw.pick(['none', 'gelu'] as const),
    kind,
  };
}

/** Columns of packed weights: values and gates take panels in turn. */
function packedColumns(columns: number, layout: PackedLayout, geglu: boolean): number {
  const panels = Math.ceil(columns / PANEL) * PANEL;
  if (geglu) return 2 * panels;
  return layout === 'panels' ? panels : columns;
}

/** The rest of an epilogue. `images` rows of channelAdd, each for `rowsPerImage` rows. */
function epilogueOf(draw: Draw, f: Forms, columns: number, rowsPerImage: number, few = f.kind === 'few'): Epilogue {
  const offset = 4 * draw.int(0, 2);
  const pitch = pitchFor(draw, offset + columns);
  return {
    bias: !draw.chance(4),
    activation: f.geglu ? 'none' : f.activation,
    channelAdd: few || !draw.chance(3) ? undefined : { rowsPerImage, pitch, offset },
    residual: draw.pick([false, true, 'multiply'] as const),
    geglu: f.geglu,
  };
}

/** The buffers behind a sum; `rows` of y in one product. */
function behind(
  draw: Draw,
  f: Forms,
  e: Epilogue,
  sizes: { columns: number; rows: number; yElements: number; pitch: number },
) {
  const { channelAdd } = e;
  const images = channelAdd ? Math.ceil(sizes.rows / channelAdd.rowsPerImage) : 0;
  const biases = f.geglu ? packedColumns(sizes.columns, f.layout, true) : sizes.columns;
  return {
    bias: e.bias === false ? nothing(draw) : draw.values('f32', biases),
    channel_add: channelAdd ? draw.values(f.y, images * channelAdd.pitch) : nothing(draw),
    residual: e.residual ? draw.values(f.y, sizes.yElements) : nothing(draw),
    y: draw.values(f.y, sizes.yElements),
    ...(f.kind === 'measured'
      ? { moments: draw.values('f32', (sizes.yElements / sizes.pitch / MOMENT_ROWS) * momentsPitch(sizes.pitch)) }
      : {}),
  };
}

/** Rows of a linear layer, and length of its K. */
function linearSizes(draw: Draw, { kind }: Forms, parts: number): { rows: number; k: number } {
  const own = draw.chance(12) ? 8 * draw.int(64, 70) : draw.multiple(8, 16, 96);
  const k = parts > 1 ? parts * 16 * draw.int(1, 3) : own;
  if (kind === 'few') return { rows: draw.int(1, 16), k };
  if (kind === 'measured') return { rows: MOMENT_ROWS * draw.int(1, 9), k };
  const rows = draw.size(draw.pick([8, 16, 64]), 140);
  return { rows, k };
}

function linearProblem(draw: Draw, f: Forms, parts = 1) {
  const { rows, k } = linearSizes(draw, f, parts);
  const columns = draw.multiple(8, draw.pick([32, 64]), 144);
  const kTotal = k + (draw.chance(3) ? 8 * draw.int(1, 4) : 0);
  const kOffset = 8 * draw.int(0, (kTotal - k) / 8);
  const aOffset = f.kind === 'few' ? 0 : 8 * draw.pick([0, 0, 1]);
  const a = { pitch: pitchFor(draw, aOffset + k), offset: aOffset, storage: f.a };
  const yOffset = 4 * draw.pick([0, 0, 1, 2]);
  const y = { pitch: pitchFor(draw, yOffset + columns), offset: yOffset, storage: f.y };
  const epilogue = epilogueOf(draw, f, columns, draw.int(1, rows));
  const problem: GemmProblem = {
    ...{ batch: 1, rows, columns, k, a, y, epilogue },
    b: { layout: f.layout, storage: f.b, kTotal, kOffset },
    scale: draw.pick([1, 0.5]),
    moments: f.kind === 'measured',
  };
  return {
    problem,
    buffers: {
      a: draw.values(f.a, rows * a.pitch),
      b: draw.values(f.b, packedColumns(columns, f.layout, f.geglu) * kTotal),
      ...behind(draw, f, epilogue, { columns, rows, yElements: rows * y.pitch, pitch: y.pitch }),
    },
  };
}

const ONE_AROUND = { top: 1, right: 1, bottom: 1, left: 1 };

/** What of a convolution says how large y is. */
function mapOf(draw: Draw, { kind }: Forms, lines: Conv2dProblem['phases'], centred: boolean) {
  const images = draw.int(1, 3);
  if (centred) {
    const [height, width] = kind === 'measured' ? [2 * draw.int(1, 10), 8 * draw.int(1, 3)] : [0, 0];
    const sides = { height: height || draw.size(16, 20), width: width || draw.size(8, 18) };
    return { images, ...sides, kernel: [3, 3] as const, padding: ONE_AROUND, stride: 1, upsample: false };
  }
  if (kind === 'measured' && !lines) {
    const side = draw.pick([1, 3]);
    const pad = (side - 1) / 2;
    return {
      ...{ images, height: 4 * draw.int(1, 3), width: 4 * draw.int(1, 3), kernel: [side, side] as const, stride: 1 },
      ...{ padding: { top: pad, right: pad, bottom: pad, left: pad }, upsample: draw.chance(3) },
    };
  }
  const high = kind === 'split' ? draw.int(2, 3) : draw.int(1, 3);
  const kernel = lines ? ([2, 2] as const) : ([high, draw.int(1, 3)] as const);
  const pad = (most: number) => draw.int(0, most);
  const [down, across] = [kernel[0] - 1, kernel[1] - 1];
  return {
    ...(kind === 'measured'
      ? { images, height: 4 * draw.int(1, 2), width: 4 * draw.int(1, 2), kernel }
      : { images, height: draw.int(kernel[0], 9), width: draw.int(kernel[1], 9), kernel }),
    padding: lines ? ONE_AROUND : { top: pad(down), right: pad(across), bottom: pad(down), left: pad(across) },
    ...{ stride: lines ? 1 : draw.int(1, 2), upsample: !lines && draw.chance(3) },
  };
}

function convProblem(
  draw: Draw,
  f: Forms,
  { lines, centred = false }: { lines?: Conv2dProblem['phases']; centred?: boolean },
) {
  const outChannels = draw.multiple(8, draw.pick([32, 64]), 80);
  const first = draw.chance(4) ? 8 * draw.int(0, outChannels / 8 - 1) : 0;
  const columns = first > 0 ? 8 * draw.int(1, (outChannels - first) / 8) : outChannels;
  const base = {
    ...mapOf(draw, f, lines, centred),
    ...{ channels: draw.multiple(8, 16, 40), outChannels, phases: lines },
  };
  const [outHeight, outWidth] = conv2dSize(base);
  const rowsPerImage = lines ? base.height * base.width : outHeight * outWidth;
  const epilogue = { ...epilogueOf(draw, { ...f, geglu: false }, columns, rowsPerImage), geglu: undefined };
  const problem: Conv2dProblem = {
    ...base,
    window: first > 0 || draw.chance(8) ? { first, columns } : undefined,
    ...{ input: f.a, weight: f.b, output: f.y, layout: f.layout, epilogue, moments: f.kind === 'measured' },
  };
  const taps = lines === 'all' ? 16 : lines ? 8 : base.kernel[0] * base.kernel[1];
  const rows = base.images * rowsPerImage;
  const yElements = base.images * outHeight * outWidth * outChannels;
  return {
    problem,
    buffers: {
      a: draw.values(f.a, base.images * base.height * base.width * base.channels),
      b: draw.values(f.b, packedColumns(columns, f.layout, false) * taps * base.channels),
      ...behind(draw, { ...f, geglu: false }, epilogue, { columns, rows, yElements, pitch: outChannels }),
    },
  };
}

function matmulProblem(draw: Draw, f: Forms) {
  const sizes = { batch: draw.int(1, 3), rows: draw.size(draw.pick([8, 64]), 80), columns: draw.multiple(8, 64, 80) };
  const { batch, rows, columns } = sizes;
  const k = draw.multiple(8, 16, 72);
  const sharedB = draw.chance(3);
  const plain: Forms = { ...f, geglu: false, layout: 'rows' };
  const epilogue = { ...epilogueOf(draw, plain, columns, rows, batch > 1), geglu: undefined };
  const problem = { ...sizes, k, sharedB, a: f.a, b: f.b, y: f.y, epilogue, scale: 0.5 };
  return {
    problem,
    buffers: {
      a: draw.values(f.a, batch * rows * k),
      b: draw.values(f.b, (sharedB ? 1 : batch) * k * columns),
      ...behind(draw, plain, epilogue, { columns, rows, yElements: batch * rows * columns, pitch: columns }),
    },
  };
}

/** Variants that can measure what they store. */
const MEASURING = [...LINEAR.variants, CONV_TILE].filter(({ measures }) => measures).map(({ stem }) => stem);

const measured = [
  ...rowsOf(LINEAR, (draw, where, variant) => {
    const f = forms(draw, where, variant, 'measured');
    return own => linearProblem(own, f);
  }),
  ...rowsOf(CONV2D, (draw, where, variant) => {
    const f = forms(draw, where, variant, 'measured');
    const centred = variant.stem === 'conv-tile';
    const doubled = !centred && variant.stem !== 'gemm-matrix' && draw.turn([false, true]);
    const lines = (own: Draw) => (doubled ? own.pick(['all', 'even', 'odd'] as const) : undefined);
    return own => convProblem(own, f, { lines: lines(own), centred });
  }),
].flatMap(row => (MEASURING.includes(row.kernel) ? [{ ...row, name: `${row.name} measured` }] : []));

/** What writes the parts of a product whose K is cut; as small ones are not. */
function partsRow<T extends Tiles>(op: 'linear' | 'conv2d', variant: Variant<GemmProblem, T>): Row {
  return {
    name: `${op}/${nameOf(variant)} split`,
    kernel: variant.stem,
    forms: (draw, where) => {
      const f = forms(draw, where, variant, 'split');
      const cut = cutsOf(draw, variant);
      return own => {
        const parts = own.int(2, 3);
        const made = op === 'linear' ? linearProblem(own, f, parts) : convProblem(own, f, {});
        const whole = 'images' in made.problem ? asGemm(made.problem) : made.problem;
        const { partials, scratch } = splitCalls(whole, whole.conv?.kernelHeight ?? parts, part =>
          variant.call(where.caps, part, cut(where.caps, part)),
        );
        const unread = { bias: nothing(own), channel_add: nothing(own), residual: nothing(own) };
        const y = own.values('f32', scratch.rows * scratch.width);
        return { call: partials, buffers: { ...made.buffers, ...unread, y }, about: made.problem };
      };
    },
  };
}

const split = [GEMM_TILE, ...GEMM_MATRIX].flatMap((variant: Variant<GemmProblem>) => [
  partsRow('linear', variant),
  partsRow('conv2d', variant),
]);

/** What adds them up. */
const sum = row('sum-parts', (draw, where) => {
  const f = forms(draw, where, GEMM_TILE, draw.turn(['split', 'measured']));
  const parts = draw.turn([2, 3, 4]);
  return own => {
    const { problem, buffers } = linearProblem(own, f, parts);
    const { caps } = where;
    const calls = splitCalls(problem, parts, part => GEMM_TILE.call(caps, part, GEMM_TILE.tiles(caps, part)));
    const partials = own.values('f32', calls.scratch.rows * calls.scratch.width);
    return { call: calls.sum, buffers: { ...buffers, partials }, about: { ...problem, parts } };
  };
});

/** A convolution that normalises its input while it loads. */
const normalized = rowsOf(CONV2D, (draw, where, variant) => {
  const f = { ...forms(draw, where, variant, draw.turn([undefined, 'measured'])), geglu: false };
  const activation = draw.pick(['none', 'silu'] as const);
  return own => {
    const { problem, buffers } = convProblem(own, f, { centred: true });
    const factors = own.values('f32', 2 * problem.images * problem.channels);
    return { problem: { ...problem, normalize: { activation } }, buffers: { ...buffers, scale_shift: factors } };
  };
}).flatMap(row => (row.kernel === 'conv-tile' ? [{ ...row, name: `${row.name} normalized` }] : []));

/** Every variant of every product. */
export const PRODUCTS: readonly Row[] = [
  ...rowsOf(LINEAR, (draw, where, variant) => {
    const f = forms(draw, where, variant, variant.stem.startsWith('gemv') ? 'few' : undefined);
    return own => linearProblem(own, f);
  }),
  ...rowsOf(CONV2D, (draw, where, variant) => {
    const f = forms(draw, where, variant);
    const centred = variant.stem === 'conv-tile';
    const doubled = !centred && variant.stem !== 'gemm-matrix' && draw.turn([false, true, false]);
    const lines = (own: Draw) => (doubled ? own.pick(['all', 'even', 'odd'] as const) : undefined);
    return own => convProblem(own, f, { lines: lines(own), centred });
  }),
  ...rowsOf(MATMUL, (draw, where, variant) => {
    const f = forms(draw, where, variant);
    return own => matmulProblem(own, f);
  }).filter(({ name }) => name !== 'matmul/gemm-matrix-panels'), // takes packed weights, which matmul has none of
  ...[...measured, ...normalized, ...split, sum],
];

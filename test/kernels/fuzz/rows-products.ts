/** Products: linear layers, convolutions, matrices of activations. */
import { CONV2D, type Conv2dProblem, conv2dSize } from '../../../src/kernels/conv2d.ts';
import { type Epilogue, type GemmProblem, PANEL } from '../../../src/kernels/gemm.ts';
import type { Storage } from '../../../src/kernels/kernel.ts';
import { LINEAR } from '../../../src/kernels/linear.ts';
import { MATMUL } from '../../../src/kernels/matmul.ts';
import type { PackedLayout, Variant } from '../../../src/kernels/op.ts';
import type { Draw } from './draw.ts';
import { nothing, pitchFor, type Row, rowsOf, type Where } from './problem.ts';

/** What is compiled in. */
interface Forms {
  readonly a: Storage;
  readonly b: Storage;
  readonly y: Storage;
  readonly layout: PackedLayout;
  readonly geglu: boolean;
  readonly activation: Epilogue['activation'];
}

const PLAIN: readonly Storage[] = ['f32', 'f16'];

function forms(draw: Draw, { storages }: Where, { stem, weights = 'panels' }: Variant<never>): Forms | undefined {
  const matrix = stem.endsWith('matrix');
  const own = matrix ? storages.filter(s => PLAIN.includes(s)) : storages;
  const kept: Storage[] = matrix ? [...own] : [...storages, 'bf16-packed'];
  return {
    ...{ a: draw.turn(own), b: draw.turn(kept), y: draw.pick(storages), layout: weights },
    geglu: !stem.startsWith('gemv') && draw.turn([false, true]),
    activation: draw.pick(['none', 'gelu'] as const),
  };
}

/** Columns of packed weights: values and gates take panels in turn. */
function packedColumns(columns: number, layout: PackedLayout, geglu: boolean): number {
  const panels = Math.ceil(columns / PANEL) * PANEL;
  if (geglu) return 2 * panels;
  return layout === 'panels' ? panels : columns;
}

/** The rest of an epilogue. `images` rows of channelAdd, each for `rowsPerImage` rows. */
function epilogueOf(draw: Draw, f: Forms, columns: number, rowsPerImage: number, few: boolean): Epilogue {
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
function behind(draw: Draw, f: Forms, e: Epilogue, sizes: { columns: number; rows: number; yElements: number }) {
  const { channelAdd } = e;
  const images = channelAdd ? Math.ceil(sizes.rows / channelAdd.rowsPerImage) : 0;
  const biases = f.geglu ? packedColumns(sizes.columns, f.layout, true) : sizes.columns;
  return {
    bias: e.bias === false ? nothing(draw) : draw.values('f32', biases),
    channel_add: channelAdd ? draw.values(f.y, images * channelAdd.pitch) : nothing(draw),
    residual: e.residual ? draw.values(f.y, sizes.yElements) : nothing(draw),
    y: draw.values(f.y, sizes.yElements),
  };
}

function linearProblem(draw: Draw, f: Forms, few: boolean) {
  const rows = few ? draw.int(1, 16) : draw.size(draw.pick([8, 16, 64]), 140);
  const columns = draw.multiple(8, draw.pick([32, 64]), 144);
  const k = draw.chance(12) ? 8 * draw.int(64, 70) : draw.multiple(8, 16, 96);
  const kTotal = k + (draw.chance(3) ? 8 * draw.int(1, 4) : 0);
  const kOffset = 8 * draw.int(0, (kTotal - k) / 8);
  const aOffset = few ? 0 : 8 * draw.pick([0, 0, 1]);
  const a = { pitch: pitchFor(draw, aOffset + k), offset: aOffset, storage: f.a };
  const yOffset = 4 * draw.pick([0, 0, 1, 2]);
  const y = { pitch: pitchFor(draw, yOffset + columns), offset: yOffset, storage: f.y };
  const epilogue = epilogueOf(draw, f, columns, draw.int(1, rows), few);
  const problem: GemmProblem = {
    ...{ batch: 1, rows, columns, k, a, y, epilogue },
    b: { layout: f.layout, storage: f.b, kTotal, kOffset },
    scale: draw.pick([1, 0.5]),
  };
  return {
    problem,
    buffers: {
      a: draw.values(f.a, rows * a.pitch),
      b: draw.values(f.b, packedColumns(columns, f.layout, f.geglu) * kTotal),
      ...behind(draw, f, epilogue, { columns, rows, yElements: rows * y.pitch }),
    },
  };
}

function convProblem(draw: Draw, f: Forms, lines: Conv2dProblem['phases']) {
  const kernel = lines ? ([2, 2] as const) : ([draw.int(1, 3), draw.int(1, 3)] as const);
  const pad = (most: number) => draw.int(0, most);
  const padding = lines
    ? { top: 1, right: 1, bottom: 1, left: 1 }
    : { top: pad(kernel[0] - 1), right: pad(kernel[1] - 1), bottom: pad(kernel[0] - 1), left: pad(kernel[1] - 1) };
  const outChannels = draw.multiple(8, draw.pick([32, 64]), 80);
  const first = draw.chance(4) ? 8 * draw.int(0, outChannels / 8 - 1) : 0;
  const columns = first > 0 ? 8 * draw.int(1, (outChannels - first) / 8) : outChannels;
  const base = {
    ...{ images: draw.int(1, 3), height: draw.int(kernel[0], 9), width: draw.int(kernel[1], 9) },
    ...{ channels: draw.multiple(8, 16, 40), outChannels, kernel, padding },
    ...{ stride: lines ? 1 : draw.int(1, 2), upsample: !lines && draw.chance(3), phases: lines },
  };
  const [outHeight, outWidth] = conv2dSize(base);
  const rowsPerImage = lines ? base.height * base.width : outHeight * outWidth;
  const epilogue = { ...epilogueOf(draw, { ...f, geglu: false }, columns, rowsPerImage, false), geglu: undefined };
  const problem: Conv2dProblem = {
    ...base,
    window: first > 0 || draw.chance(8) ? { first, columns } : undefined,
    ...{ input: f.a, weight: f.b, output: f.y, layout: f.layout, epilogue },
  };
  const taps = lines === 'all' ? 16 : lines ? 8 : kernel[0] * kernel[1];
  const rows = base.images * rowsPerImage;
  const yElements = base.images * outHeight * outWidth * outChannels;
  return {
    problem,
    buffers: {
      a: draw.values(f.a, base.images * base.height * base.width * base.channels),
      b: draw.values(f.b, packedColumns(columns, f.layout, false) * taps * base.channels),
      ...behind(draw, { ...f, geglu: false }, epilogue, { columns, rows, yElements }),
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
      ...behind(draw, plain, epilogue, { columns, rows, yElements: batch * rows * columns }),
    },
  };
}

/** Every variant of every product. */
export const PRODUCTS: readonly Row[] = [
  ...rowsOf(LINEAR, (draw, where, variant) => {
    const f = forms(draw, where, variant);
    return f && (own => linearProblem(own, f, variant.stem.startsWith('gemv')));
  }),
  ...rowsOf(CONV2D, (draw, where, variant) => {
    const f = forms(draw, where, variant);
    const doubled = variant.stem !== 'gemm-matrix' && draw.turn([false, true, false]);
    return f && (own => convProblem(own, f, doubled ? own.pick(['all', 'even', 'odd'] as const) : undefined));
  }),
  ...rowsOf(MATMUL, (draw, where, variant) => {
    const f = forms(draw, where, variant);
    return f && (own => matmulProblem(own, f));
  }).filter(({ name }) => name !== 'matmul/gemm-matrix-panels'), // takes packed weights, which matmul has none of
];

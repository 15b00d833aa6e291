/**
 * Products of few rows whose K axis is long: too few tiles to fill a GPU, each with far to go. K is cut into parts that workgroups of their own
 * sum, and `sum-parts` adds the parts up and does what follows a sum.
 */
import source from '../../wgsl/sum-parts.wgsl';
import { ceilDiv } from '../core/shape.ts';
import { blockOf, type GemmProblem, tapsOf } from './gemm-problem.ts';
import { type KernelBinding, type KernelCall, storageBytes, unread } from './kernel.ts';
import { ACTIVATION, activationLib, epilogueLib, momentsLib, outputLib } from './libs.ts';
import { MOMENT_ROWS, momentsBindings, momentsWords } from './moments.ts';
import type { Split } from './op.ts';
import { type RowRange, rowBinding } from './rows.ts';

/** Least columns of a product whose K is cut. In Stable Diffusion maps so deep have 24 x 24 pixels at most (of a picture of 768 x 768). */
const LEAST_COLUMNS = 1024;
/** Least length of a K axis that is cut, taps included: an output and part cost 8 bytes of memory, as much as some 200 multiply-adds. */
const LEAST_K = 4096;

/**
 * Parts of K, 1 where it stays whole. The columns of all of y and K alone decide, never the rows, nor how many of the columns one call
 * makes: whatever is cut gives the bits of the whole. Of products by packed weights alone, and in whole blocks where K is summed in blocks; a
 * convolution is cut into its lines of taps.
 */
export function partsOf(p: GemmProblem): number {
  const taps = tapsOf(p.conv);
  const small = p.y.pitch < LEAST_COLUMNS || p.k * taps < LEAST_K;
  if (small || p.b.layout === 'plain' || p.batch > 1 || p.conv?.phases || p.epilogue?.geglu) return 1;
  if (p.conv) return p.conv.kernelHeight === 2 || p.conv.kernelHeight === 3 ? p.conv.kernelHeight : 1;
  const step = Math.max(16, blockOf(p) === p.k ? 16 : blockOf(p));
  return p.k % (2 * step) === 0 ? 2 : 1;
}

/** The products of the parts, as `split` of a problem says. */
function partialProducts(p: GemmProblem, parts: number): GemmProblem {
  const y = { pitch: parts * p.columns, batch: p.columns, storage: 'f32' } as const;
  const nothing = { scale: undefined, epilogue: { bias: false }, moments: false };
  const shared = { ...p, batch: parts, split: true, y, ...nothing };
  if (p.conv) return shared;
  const k = p.k / parts;
  return { ...shared, k, a: { ...p.a, batch: k }, b: { ...p.b, kTotal: p.b.kTotal ?? p.k } };
}

/**
 * The two calls of a product whose K is cut.
 *
 * @param call what a problem with `split` becomes
 */
export function splitCalls(p: GemmProblem, parts: number, call: (partial: GemmProblem) => KernelCall): Split {
  return {
    partials: call(partialProducts(p, parts)),
    sum: sumParts(p, parts),
    scratch: { rows: p.rows, width: parts * p.columns },
  };
}

/** vec4 columns of a tile of sum-parts, which has MOMENT_ROWS rows. */
const WIDE = 64;

/** y = act(scale * the sum of partials [rows, parts, columns] + bias) and what follows it. Bindings: partials, and gemm's but a and b. */
function sumParts(p: GemmProblem, parts: number): KernelCall {
  const { rows, columns, y, epilogue = {} } = p;
  const { channelAdd: add, residual, bias } = epilogue;
  const columnTiles = ceilDiv(columns / 4, WIDE);
  const range: RowRange = (first, end) => {
    const slab = (tile: number) => Math.floor(tile / columnTiles) * MOMENT_ROWS;
    return [slab(first), Math.min(slab(end - 1) + MOMENT_ROWS, rows)];
  };
  const images: RowRange = (first, end) => {
    const [from, to] = range(first, end);
    const per = add?.rowsPerImage ?? 1;
    return [Math.floor(from / per), Math.floor((to - 1) / per) + 1];
  };
  const own = (name: string, access: KernelBinding['access']) => rowBinding(name, access, y, 'y_base', range);
  return {
    kernel: 'sum-parts',
    source,
    libs: [outputLib(y.storage), activationLib, epilogueLib, momentsLib(p.moments)],
    values: { PARTS: parts, ACTIVATION: ACTIVATION[epilogue.activation ?? 'none'] },
    bindings: [
      rowBinding('partials', 'read', { pitch: parts * columns, storage: 'f32' }, 'partials_base', range),
      bias === false ? unread('bias') : { name: 'bias', access: 'read' },
      add
        ? rowBinding('channel_add', 'read', { pitch: add.pitch, storage: y.storage }, 'channel_base', images)
        : unread('channel_add'),
      residual ? own('residual', 'read') : unread('residual'),
      own('y', 'write'),
      ...momentsBindings(p, range),
    ],
    params: {
      ...{ rows, columns4: columns / 4, column_tiles: columnTiles },
      ...{ y_pitch: y.pitch / 4, y_offset: (y.offset ?? 0) / 4 },
      ...{ rows_per_image: add?.rowsPerImage ?? 1, channel_pitch: (add?.pitch ?? 0) / 4 },
      ...{ channel_offset: (add?.offset ?? 0) / 4, ...(add ? {} : { channel_base: 0 }) },
      scale: p.scale ?? 1,
      ...{ has_bias: bias === false ? 0 : 1, has_channel_add: add ? 1 : 0 },
      has_residual: residual === 'multiply' ? 2 : residual ? 1 : 0,
      ...momentsWords(p),
    },
    tiles: ceilDiv(rows, MOMENT_ROWS) * columnTiles,
    cost: {
      flops: rows * columns * (parts - 1),
      bytes: rows * columns * (4 * parts + storageBytes(y.storage) * (residual ? 2 : 1)),
    },
  };
}

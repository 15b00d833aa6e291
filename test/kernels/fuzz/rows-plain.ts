/** Element-wise kernels, norms, copies, tables: all that goes over rows. */
import { blendEdge } from '../../../src/kernels/blend-edge.ts';
import { copy } from '../../../src/kernels/copy.ts';
import { elementwiseBinary } from '../../../src/kernels/elementwise-binary.ts';
import { elementwiseUnary } from '../../../src/kernels/elementwise-unary.ts';
import { embedding } from '../../../src/kernels/embedding.ts';
import { foldDoubling, foldedRows } from '../../../src/kernels/fold-doubling.ts';
import { gatherColumns } from '../../../src/kernels/gather-columns.ts';
import type { Storage } from '../../../src/kernels/kernel.ts';
import { LAYER_NORM, type LayerNormProblem, RMS_NORM } from '../../../src/kernels/layer-norm.ts';
import type { Op } from '../../../src/kernels/op.ts';
import { packWeight } from '../../../src/kernels/pack-weight.ts';
import { SOFTMAX } from '../../../src/kernels/softmax.ts';
import { topK } from '../../../src/kernels/top-k.ts';
import { upsampleNearest } from '../../../src/kernels/upsample-nearest.ts';
import type { Draw } from './draw.ts';
import { pitchFor, type Row, row, rowsOf, type Where } from './problem.ts';

function kept({ storages }: Where): Storage[] {
  return [...storages, 'bf16-packed'];
}

/** Rows and a width at the borders of a tile of 1024 vec4s, or small. */
function plane(draw: Draw) {
  const width = draw.size(draw.pick([8, 64, 256]), 300);
  return { rows: draw.chance(4) ? draw.int(1, Math.ceil(9000 / width)) : draw.int(1, 20), width };
}

const unary = row('elementwise-unary', (draw, { storages }) => {
  const [x, y] = [draw.turn(storages), draw.pick(storages)];
  const f = draw.pick(['none', 'gelu', 'exp', 'tanh'] as const);
  const clamps = draw.chance();
  return own => {
    const { rows, width } = plane(own);
    const sides = { x: { pitch: pitchFor(own, width), storage: x }, y: { pitch: pitchFor(own, width), storage: y } };
    const problem = { rows, width, ...sides, function: f, clamp: clamps ? ([-1, 1] as const) : undefined };
    const buffers = { x: own.values(x, rows * sides.x.pitch), y: own.values(y, rows * sides.y.pitch) };
    return { call: elementwiseUnary(problem), buffers, about: problem };
  };
});

const binary = row('elementwise-binary', (draw, where) => {
  const [a, b, y] = [draw.turn(where.storages), draw.turn(kept(where)), draw.pick(where.storages)];
  const operation = draw.pick(['add', 'subtract', 'multiply', 'divide'] as const);
  const repeats = draw.chance();
  const scalar = repeats && draw.chance();
  return own => {
    const { rows: some, width } = plane(own);
    const [divide, bRows] = repeats ? [own.int(1, 4), own.int(1, 4)] : [1, some];
    const rows = repeats ? divide * bRows * own.int(1, 3) : some;
    const pitches = [width, scalar ? 1 : width, width].map(w => pitchFor(own, w)) as [number, number, number];
    const broadcast = repeats ? { rows: bRows, divide, scalar } : undefined;
    const problem = {
      ...{ operation, rows, width, a: { pitch: pitches[0], storage: a } },
      ...{ b: { pitch: pitches[1], storage: b, broadcast }, y: { pitch: pitches[2], storage: y } },
    };
    const buffers = {
      a: own.values(a, rows * pitches[0]),
      b: own.values(b, bRows * pitches[1]),
      y: own.values(y, rows * pitches[2]),
    };
    return { call: elementwiseBinary(problem), buffers, about: problem };
  };
});

const copies = row('copy', (draw, { storages }) => {
  const [from, to] = [draw.turn(storages), draw.pick(storages)];
  return own => {
    const sources = Array.from({ length: own.int(1, 2) }, () => {
      const channels = own.int(1, 40);
      const first = own.int(0, 9);
      return { channels, first, pitch: pitchFor(own, first + channels) };
    }) as [{ channels: number; first: number; pitch: number }];
    const itemRows = own.int(1, 12);
    const sourceItems = own.int(1, 4);
    const times = own.int(1, 3);
    const rows = itemRows * sourceItems * times;
    const place = () => (own.chance() ? { first: own.int(0, 5), stride: itemRows + own.int(0, 3) } : undefined);
    const [source, target] = [place(), place()];
    const width = sources.reduce((sum, { channels }) => sum + channels, 0);
    const start = 4 * own.int(0, 2);
    const end = start + 4 * Math.ceil(width / 4) + 4 * own.int(0, 2);
    const y = { pitch: pitchFor(own, end), storage: to, first: start, end };
    const repeat = { items: sourceItems, order: own.pick(['consecutive', 'interleaved'] as const) };
    const problem = { rows, sources, storage: from, y, itemRows, source, target, repeat };
    const reach = (items: number, at = { first: 0, stride: itemRows }) => at.first + (items - 1) * at.stride + itemRows;
    const buffers = {
      x1: own.values(from, reach(sourceItems, source) * sources[0].pitch),
      x2: own.values(from, reach(sourceItems, source) * (sources.at(1) ?? sources[0]).pitch),
      y: own.values(to, reach(sourceItems * times, target) * y.pitch),
    };
    return { call: copy(problem), buffers, about: problem };
  };
});

const upsample = row('upsample-nearest', (draw, { storages }) => {
  const storage = draw.turn(storages);
  return own => {
    const sides = {
      inHeight: own.int(1, 9),
      inWidth: own.int(1, 9),
      outHeight: own.int(1, 17),
      outWidth: own.int(1, 17),
    };
    const channels = own.int(1, 40);
    const problem = { images: own.int(1, 3), ...sides, channels, pitch: pitchFor(own, channels), storage };
    const { images, pitch } = problem;
    const buffers = {
      x: own.values(storage, images * sides.inHeight * sides.inWidth * pitch),
      y: own.values(storage, images * sides.outHeight * sides.outWidth * pitch),
    };
    return { call: upsampleNearest(problem), buffers, about: problem };
  };
});

const edge = row('blend-edge', () => {
  return own => {
    const tile = { height: own.size(8, 20), width: own.size(8, 20) };
    const from = own.pick(['above', 'left'] as const);
    const extent = own.int(1, from === 'above' ? tile.height : tile.width);
    const beyond = extent + own.int(0, 3);
    const near = from === 'above' ? { ...tile, height: beyond } : { ...tile, width: beyond };
    const problem = { images: own.int(1, 3), pitch: pitchFor(own, own.int(1, 16)), tile, near, from, extent };
    const side = ({ height, width }: typeof tile) => own.values('f32', problem.images * height * width * problem.pitch);
    return { call: blendEdge(problem), buffers: { tile: side(tile), near: side(near) }, about: problem };
  };
});

const embeddings = row('embedding', (draw, where) => {
  const [storage, output] = [draw.turn(kept(where)), draw.pick(where.storages)];
  const layout = draw.turn(['rows', 'panels'] as const);
  return own => {
    const width = own.size(32, 100);
    const length = own.size(8, 20);
    const table = { rows: own.size(32, 100), pitch: pitchFor(own, width), storage, layout };
    const whole = layout === 'panels' ? 32 : 1;
    const first = own.chance() ? 0 : whole * own.int(0, Math.ceil(table.rows / whole) - 1);
    const window = own.chance() ? undefined : { first, rows: own.int(1, table.rows - first) };
    const problem = { items: own.int(1, 4), length, idsPitch: pitchFor(own, length), width, table, window, output };
    const bound = window?.rows ?? table.rows;
    const buffers = {
      // Ids of the table, behind it, and anything at all.
      ids: own.words(problem.items * problem.idsPitch, w => (w % 5 === 0 ? w : (w >>> 3) % (table.rows + 2))),
      table: own.values(storage, Math.ceil(bound / whole) * whole * table.pitch),
      y: own.values(output, problem.items * length * table.pitch),
    };
    return { call: embedding(problem), buffers, about: problem };
  };
});

const gather = row('gather-columns', (draw, where) => {
  const storage = draw.turn(kept(where));
  return own => {
    const width = own.size(8, 40);
    const table = { rows: own.size(32, 70), pitch: pitchFor(own, width), storage };
    const problem = { n: own.size(32, 70), width, table };
    const buffers = {
      ids: own.words(problem.n, w => (w % 5 === 0 ? w : (w >>> 3) % (table.rows + 2))),
      table: own.values(storage, table.rows * table.pitch),
      y: own.values('f32', width * Math.ceil(problem.n / 8) * 8),
    };
    return { call: gatherColumns(problem), buffers, about: problem };
  };
});

const fold = row('fold-doubling', (draw, where) => {
  const [weight, output] = [draw.turn(kept(where)), draw.pick(where.storages)];
  return own => {
    const lines = own.pick(['all', 'even', 'odd'] as const);
    const problem = { columns: own.multiple(8, 32, 72), k: own.multiple(8, 16, 40), weight, output, lines };
    const { columns, k } = problem;
    const buffers = {
      b: own.values(weight, Math.ceil(columns / 32) * 32 * 9 * k),
      y: own.values(output, 32 * foldedRows(columns, k, lines)),
    };
    return { call: foldDoubling(problem), buffers, about: problem };
  };
});

const pack = row('pack-weight', (draw, where) => {
  const from = draw.turn(['F32', 'F16', 'BF16'] as const);
  const to = draw.pick(from === 'BF16' ? kept(where) : where.storages);
  const layout = draw.turn(['panels', 'rows'] as const);
  return own => {
    const taps = own.pick([1, 1, 4, 9]);
    const k = layout === 'rows' ? 2 * own.size(64 / 2, 70) : own.size(64 / 8, 40);
    const sizes = { k, taps, rows: own.size(32, 70), base: own.int(0, 9) };
    const panels = Math.ceil(sizes.rows / 32) + own.int(0, 1);
    const [panel, step] = [own.int(0, 2), own.int(1, 2)];
    const reach = 32 * (panel + (panels - 1) * step + 1);
    // Rows end where the weight does: within the last panel, or behind it where gates follow.
    const columns = layout === 'rows' ? own.pick([reach, own.int(1, reach), reach + 32]) : undefined;
    const problem = { from, to, ...sizes, panel, step, panels, layout, columns };
    const elements = sizes.base + sizes.rows * k * taps;
    const buffers = {
      source: own.values(from === 'F32' ? 'f32' : from === 'F16' ? 'f16' : 'bf16-packed', elements),
      packed: own.values(to, (columns ?? reach) * k * taps),
    };
    return { call: packWeight(problem), buffers, about: problem };
  };
});

const largest = row('top-k', (draw, { storages }) => {
  const storage = draw.turn(storages);
  return own => {
    const width = own.size(own.pick([8, 1024]), 1100);
    const group = own.int(1, 4);
    const sizes = {
      rows: group * own.int(1, 4),
      width,
      pitch: pitchFor(own, width),
      k: own.int(1, Math.min(12, width)),
    };
    const results = (sizes.rows / group) * Math.ceil((group * sizes.k) / 8) * 8;
    const x = own.values(storage, sizes.rows * sizes.pitch);
    if (own.chance(6)) x.fill(0x7fc07fc0, 0, Math.ceil(x.length / sizes.rows)); // a row of NaN
    const problem = { ...sizes, storage, group };
    const buffers = { x, ids: own.words(results), values: own.values('f32', results) };
    return { call: topK(problem), buffers, about: problem };
  };
});

/** Rows in, rows out. */
function rowProblem(draw: Draw, x: Storage, y: Storage) {
  const width = draw.size(draw.pick([32, 256]), 300);
  const rows = draw.size(4, 13);
  const sides = { x: { pitch: pitchFor(draw, width), storage: x }, y: { pitch: pitchFor(draw, width), storage: y } };
  return {
    problem: { rows, width, ...sides },
    buffers: { x: draw.values(x, rows * sides.x.pitch), y: draw.values(y, rows * sides.y.pitch) },
  };
}

const norms = [LAYER_NORM, RMS_NORM].flatMap((op: Op<LayerNormProblem>) =>
  rowsOf(op, (draw, { storages }) => {
    const [x, y] = [draw.turn(storages), draw.pick(storages)];
    return own => {
      const { problem, buffers } = rowProblem(own, x, y);
      const factors = () => own.values('f32', Math.ceil(problem.width / 8) * 8);
      return { problem: { ...problem, eps: 1e-5 }, buffers: { ...buffers, weight: factors(), bias: factors() } };
    };
  }),
);

const softmaxes = rowsOf(SOFTMAX, (draw, { storages }) => {
  const [x, y] = [draw.turn(storages), draw.pick(storages)];
  return own => rowProblem(own, x, y);
});

/** All kernels that go over rows. */
export const PLAIN: readonly Row[] = [
  ...[unary, binary, copies, upsample, edge, embeddings, gather, fold, pack, largest],
  ...[...norms, ...softmaxes],
];

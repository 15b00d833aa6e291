/** Normalisations and softmax by their formulas, row by row. */
import { ceilDiv } from '../core/shape.ts';
import type { Caps } from '../gpu/caps.ts';
import { groupNormChannels, groupNormSizes } from '../kernels/group-norm.ts';
import type { GroupNormFinalizeProblem } from '../kernels/group-norm-finalize.ts';
import type { LayerNormProblem } from '../kernels/layer-norm.ts';
import { momentsPitch } from '../kernels/moments.ts';
import type { SoftmaxProblem } from '../kernels/softmax.ts';
import type { ProblemCase, Values } from './case-types.ts';

/** Mean and what a row is multiplied by, kept for the row that is asked for again. */
function ofLatest<T>(make: (values: Values, row: number) => T): (values: Values, row: number) => T {
  let latest: { readonly values: Values; readonly row: number; readonly made: T } | undefined;
  return (values, row) => {
    if (latest?.row !== row || latest.values !== values) latest = { values, row, made: make(values, row) };
    return latest.made;
  };
}

function sum(count: number, of: (i: number) => number): number {
  let all = 0;
  for (let i = 0; i < count; i++) all += of(i);
  return all;
}

/** Layer norm, or without a mean root-mean-square norm. Padding is zero. */
export function rowNormCase({ rows, width, eps, x, y }: LayerNormProblem, centred: boolean): ProblemCase {
  const moments = ofLatest((values, row) => {
    const all = values('x');
    const at = (i: number): number => all[row * x.pitch + i] ?? Number.NaN;
    const mean = centred ? sum(width, at) / width : 0;
    return { mean, rstd: 1 / Math.sqrt(sum(width, i => (at(i) - mean) ** 2) / width + eps) };
  });
  return {
    buffers: {
      x: [rows * x.pitch, x.storage],
      weight: [Math.max(x.pitch, y.pitch), 'f32'],
      bias: [Math.max(x.pitch, y.pitch), 'f32'],
      y: [rows * y.pitch, y.storage],
    },
    output: 'y',
    fill: paddedRows(width, x.pitch),
    expected: (values, at) => {
      const [row, column] = [Math.floor(at / y.pitch), at % y.pitch];
      if (column >= width) return 0;
      const { mean, rstd } = moments(values, row);
      const normal = ((values('x')[row * x.pitch + column] ?? Number.NaN) - mean) * rstd;
      const scaled = normal * (values('weight')[column] ?? Number.NaN);
      return centred ? scaled + (values('bias')[column] ?? Number.NaN) : scaled;
    },
  };
}

/** Rows to weights. Padding is zero. */
export function softmaxCase({ rows, width, scale = 1, x, y }: SoftmaxProblem): ProblemCase {
  const total = ofLatest((values, row) => {
    const all = values('x');
    const at = (i: number): number => scale * (all[row * x.pitch + i] ?? Number.NaN);
    let top = Number.NEGATIVE_INFINITY;
    for (let i = 0; i < width; i++) top = Math.max(top, at(i));
    return { top, sum: sum(width, i => Math.exp(at(i) - top)) };
  });
  return {
    buffers: { x: [rows * x.pitch, x.storage], y: [rows * y.pitch, y.storage] },
    output: 'y',
    fill: paddedRows(width, x.pitch),
    expected: (values, at) => {
      const [row, column] = [Math.floor(at / y.pitch), at % y.pitch];
      if (column >= width) return 0;
      const { top, sum: all } = total(values, row);
      return Math.exp(scale * (values('x')[row * x.pitch + column] ?? Number.NaN) - top) / all;
    },
  };
}

/** Zeros behind the true width of a row of x, as all kernels leave it. */
function paddedRows(width: number, pitch: number): NonNullable<ProblemCase['fill']> {
  return (buffer, at, random) => (buffer === 'x' && at % pitch >= width ? 0 : random);
}

/** A part of a group's statistics: so many values, their mean, and the sum of squared differences from it. */
interface Part {
  readonly count: number;
  readonly mean: number;
  readonly squares: number;
}

/** The middle call of a group norm: parts of statistics to a factor and a shift a channel. Padding is zero. */
export function finalizeCase(p: GroupNormFinalizeProblem, caps: Pick<Caps, 'software'>): ProblemCase {
  const { images, groups, eps, measuredPixels } = p;
  const { pitch, partials, scaleShift } = groupNormSizes(caps, p);
  const channels = groupNormChannels(p.sources);
  const width = channels / groups;
  const cutParts = measuredPixels ? measuredParts(p, measuredPixels) : countedParts(p, caps);
  const statistics = ofLatest((values, index) => {
    const parts = cutParts.of(values, Math.floor(index / groups), (index % groups) * width, width);
    const count = sum(parts.length, i => parts[i]?.count ?? 0);
    const mean = parts.reduce((all, part) => all + part.count * part.mean, 0) / count;
    const squares = parts.reduce((all, part) => all + part.squares + part.count * (part.mean - mean) ** 2, 0);
    return { mean, rstd: 1 / Math.sqrt(squares / count + eps) };
  });
  return {
    buffers: {
      ...(measuredPixels ? cutParts.buffers : { partials: [partials, 'f32'], partials2: [4, 'f32'] }),
      weight: [pitch, 'f32'],
      bias: [pitch, 'f32'],
      scale_shift: [scaleShift, 'f32'],
    },
    output: 'scale_shift',
    fill: cutParts.fill,
    expected: (values, at) => {
      const [image, row, channel] = [Math.floor(at / (2 * pitch)), Math.floor(at / pitch) % 2, at % pitch];
      if (channel >= channels || image >= images) return 0;
      const { mean, rstd } = statistics(values, image * groups + Math.floor(channel / width));
      const scale = (values('weight')[channel] ?? Number.NaN) * rstd;
      return row === 0 ? scale : (values('bias')[channel] ?? Number.NaN) - mean * scale;
    },
  };
}

interface CutParts {
  readonly buffers: ProblemCase['buffers'];
  readonly fill: NonNullable<ProblemCase['fill']>;
  of(values: Values, image: number, first: number, width: number): Part[];
}

/** [images, slabs, 3, pitch]: shift, mean - shift, squares of each channel. */
function countedParts(p: GroupNormFinalizeProblem, caps: Pick<Caps, 'software'>): CutParts {
  const { slabs, slabPixels, pitch } = groupNormSizes(caps, p);
  return {
    buffers: {},
    fill: (buffer, at, random) =>
      buffer === 'partials' && Math.floor(at / pitch) % 3 === 2 ? slabPixels * Math.abs(random) : random,
    of: (values, image, first, width) =>
      Array.from({ length: slabs * width }, (_, i): Part => {
        const slab = Math.floor(i / width);
        const at = (image * slabs + slab) * 3 * pitch + first + (i % width);
        const [shift = Number.NaN, mean = Number.NaN, squares = Number.NaN] = [0, 1, 2].map(
          row => values('partials')[at + row * pitch],
        );
        return { count: Math.min(slabPixels, p.pixels - slab * slabPixels), mean: shift + mean, squares };
      }),
  };
}

/** What products measured: pairs of channels, four channels to six numbers. */
function measuredParts({ images, pixels, sources }: GroupNormFinalizeProblem, slabPixels: number): CutParts {
  const [one, two = one] = sources;
  const slabs = ceilDiv(pixels, slabPixels);
  const pitches = [momentsPitch(one.pitch), momentsPitch(two.pitch)] as const;
  return {
    buffers: {
      partials: [images * slabs * pitches[0], 'f32'],
      partials2: sources.length > 1 ? [images * slabs * pitches[1], 'f32'] : [images * slabs * pitches[0], 'f32'],
    },
    fill: (buffer, at, random) => {
      const pitch = buffer === 'partials2' ? pitches[1] : pitches[0];
      const squares = buffer.startsWith('partials') && (at % pitch) % 6 >= 4;
      return squares ? 2 * slabPixels * Math.abs(random) : random;
    },
    of: (values, image, first, width) =>
      Array.from({ length: (slabs * width) / 2 }, (_, i): Part => {
        const slab = Math.floor(i / (width / 2));
        const channel = first + (i % (width / 2)) * 2;
        const second = sources.length > 1 && channel >= one.channels;
        const local = channel - (second ? one.channels : 0);
        const at =
          (image * slabs + slab) * pitches[second ? 1 : 0] + Math.floor(local / 4) * 6 + (Math.floor(local / 2) % 2);
        const all = values(second ? 'partials2' : 'partials');
        const [shift = Number.NaN, mean = Number.NaN, squares = Number.NaN] = [all[at], all[at + 2], all[at + 4]];
        const count = 2 * Math.min(slabPixels, pixels - slab * slabPixels);
        return { count, mean: shift + mean, squares };
      }),
  };
}

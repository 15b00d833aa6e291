/** Products: linear layers, convolutions and matrices of activations, with what follows a sum. */
import { ceilDiv } from '../core/shape.ts';
import type { ConvGeometry } from '../kernels/conv-pixels.ts';
import { type GemmProblem, MOMENT_ROWS, momentsPitch, PANEL } from '../kernels/gemm.ts';
import { tapsOf } from '../kernels/gemm-problem.ts';
import { activate } from './activations-f64.ts';
import type { ProblemCase, Values } from './case-types.ts';

const NOTHING = [4, 'f32'] as const;

/** Where an element of y comes from. */
interface Place {
  /** Which of the products. */
  readonly product: number;
  /** Row of A in it. */
  readonly row: number;
  /** Column of y that this call makes. */
  readonly column: number;
}

/** Columns of packed weights: values and gates take panels in turn. */
function packedColumns({ columns, b, epilogue }: GemmProblem): number {
  if (epilogue?.geglu) return 2 * PANEL * ceilDiv(columns, PANEL);
  return b.layout === 'panels' ? PANEL * ceilDiv(columns, PANEL) : columns;
}

/** Columns of packed weights that make column c of y: the value's, and the gate's where there is one. */
function columnsOf({ epilogue }: GemmProblem, column: number): readonly [value: number, gate: number | undefined] {
  if (!epilogue?.geglu) return [column, undefined];
  const value = 2 * PANEL * Math.floor(column / PANEL) + (column % PANEL);
  return [value, value + PANEL];
}

/** Elements of A: of the maps, or of the rows. */
function elementsOfA({ batch, rows, a, conv }: GemmProblem): number {
  if (conv) return conv.images * conv.inHeight * conv.inWidth * a.pitch;
  return (batch - 1) * (a.batch ?? rows * a.pitch) + rows * a.pitch;
}

function elementsOfB(p: GemmProblem): number {
  const { batch, b, k, conv } = p;
  if (b.layout === 'plain') {
    const { pitch = 0, batch: apart = k * pitch } = b;
    return (batch - 1) * apart + k * pitch;
  }
  return packedColumns(p) * tapsOf(conv) * (conv?.phases ? batch : 1) * (b.kTotal ?? k);
}

function elementsOfY({ batch, rows, y, conv }: GemmProblem): number {
  if (conv?.phases) return 4 * rows * y.pitch;
  return (batch - 1) * (y.batch ?? rows * y.pitch) + rows * y.pitch;
}

/** The case of a product. */
export function productCase(p: GemmProblem): ProblemCase {
  const { rows, k, columns, a, b, y, conv, normalize, epilogue = {} } = p;
  const { channelAdd, residual } = epilogue;
  const size = elementsOfY(p);
  const images = channelAdd ? ceilDiv(rows, channelAdd.rowsPerImage) : 0;
  const first = (y.offset ?? 0) % y.pitch;
  return {
    buffers: {
      a: [elementsOfA(p), a.storage],
      b: [elementsOfB(p), b.storage],
      bias: epilogue.bias === false ? NOTHING : [epilogue.geglu ? packedColumns(p) : columns, 'f32'],
      channel_add: channelAdd ? [images * channelAdd.pitch, y.storage] : NOTHING,
      residual: residual ? [size, y.storage] : NOTHING,
      y: [size, y.storage],
      ...(p.moments ? { moments: [(size / y.pitch / MOMENT_ROWS) * momentsPitch(y.pitch), 'f32'] } : {}),
      ...(normalize && conv ? { scale_shift: [conv.images * 2 * k, 'f32'] } : {}),
    },
    output: 'y',
    expected: (values, at) => {
      const place = placeOf(p, at);
      return place ? finished(p, values, place, at) : Number.NaN;
    },
    // Of even or odd lines alone, parts of other calls lie between those of this one.
    moments:
      p.moments && (!conv?.phases || conv.phases === 'all')
        ? { pitch: y.pitch, channels: [first, columns], imageRows: imageRowsOf(p) }
        : undefined,
  };
}

/** Rows of y of an image, of which slabs are cut. */
function imageRowsOf({ rows, itemRows, conv }: GemmProblem): number {
  if (conv) return conv.outHeight * conv.outWidth * (conv.phases ? 4 : 1);
  return itemRows && itemRows > 1 ? itemRows : rows;
}

/** Which sum becomes element `at` of y; undefined where none does. */
function placeOf({ batch, rows, columns, y, conv }: GemmProblem, at: number): Place | undefined {
  const { pitch } = y;
  if (conv?.phases) return phasePlace(conv, columns, pitch, (y.offset ?? 0) % pitch, at);
  const own = at - (y.offset ?? 0);
  if (own < 0) return undefined;
  const each = y.batch ?? rows * pitch;
  const product = batch > 1 ? Math.min(batch - 1, Math.floor(own / each)) : 0;
  const within = own - product * each;
  const place = { product, row: Math.floor(within / pitch), column: within % pitch };
  return place.column < columns && place.row < rows ? place : undefined;
}

/** Of a map twice as large: the parities of a pixel say which product makes it, its half which row. */
function phasePlace(conv: ConvGeometry, columns: number, pitch: number, first: number, at: number): Place | undefined {
  const column = (at % pitch) - first;
  const pixel = Math.floor(at / pitch);
  const { outWidth, outHeight, phases } = conv;
  const x = pixel % (2 * outWidth);
  const line = Math.floor(pixel / (2 * outWidth)) % (2 * outHeight);
  const image = Math.floor(pixel / (4 * outWidth * outHeight));
  const [py, px] = [line % 2, x % 2];
  const made = phases === 'all' || (phases === 'odd') === (py === 1);
  if (!made || column < 0 || column >= columns) return undefined;
  const row = (image * outHeight + (line - py) / 2) * outWidth + (x - px) / 2;
  return { product: phases === 'all' ? 2 * py + px : px, row, column };
}

/** A sum and what follows it. */
function finished(p: GemmProblem, values: Values, place: Place, at: number): number {
  const { scale = 1, epilogue = {} } = p;
  const [column, gate] = columnsOf(p, place.column);
  const withBias = (of: number): number =>
    scale * sumOf(p, values, place, of) + (epilogue.bias === false ? 0 : (values('bias')[of] ?? Number.NaN));
  let v = activate(epilogue.activation ?? 'none', withBias(column));
  if (gate !== undefined) v = withBias(column) * activate('gelu', withBias(gate));
  const { channelAdd, residual } = epilogue;
  if (channelAdd) {
    const from = Math.floor(place.row / channelAdd.rowsPerImage) * channelAdd.pitch + (channelAdd.offset ?? 0);
    v += values('channel_add')[from + place.column] ?? Number.NaN;
  }
  if (!residual) return v;
  const other = values('residual')[at] ?? Number.NaN;
  return residual === 'multiply' ? v * other : v + other;
}

function sumOf(p: GemmProblem, values: Values, place: Place, column: number): number {
  const { k, conv } = p;
  const [a, b] = [values('a'), values('b')];
  let sum = 0;
  for (let tap = 0; tap < tapsOf(conv); tap++) {
    const from = conv ? pixelOf(p, conv, place, tap) : rowOf(p, place);
    if (from === undefined) continue;
    const at = weightPlace(p, place.product, tap, column);
    for (let i = 0; i < k; i++) {
      const x = a[from + i] ?? Number.NaN;
      sum +=
        (conv && p.normalize ? normalized(p, values, conv, from, i, x) : x) * (b[at.first + i * at.step] ?? Number.NaN);
    }
  }
  return sum;
}

function rowOf({ rows, a }: GemmProblem, { product, row }: Place): number {
  return product * (a.batch ?? rows * a.pitch) + row * a.pitch + (a.offset ?? 0);
}

/** Where the pixel of a tap begins; undefined beyond the edge. */
function pixelOf({ a }: GemmProblem, conv: ConvGeometry, { product, row }: Place, tap: number): number | undefined {
  const { inHeight, inWidth, outHeight, outWidth, kernelWidth, stride, upsample, phases } = conv;
  const grow = upsample ? 2 : 1;
  const py = phases === 'all' ? Math.floor(product / 2) : 0; // of odd lines alone, padTop is less by one already
  const px = phases ? product % 2 : 0;
  const line = Math.floor(row / outWidth) % outHeight;
  const y = line * stride + Math.floor(tap / kernelWidth) - (conv.padTop - py);
  const x = (row % outWidth) * stride + (tap % kernelWidth) - (conv.padLeft - px);
  if (y < 0 || x < 0 || y >= inHeight * grow || x >= inWidth * grow) return undefined;
  const image = Math.floor(row / outWidth / outHeight);
  return ((image * inHeight + Math.floor(y / grow)) * inWidth + Math.floor(x / grow)) * a.pitch + (a.offset ?? 0);
}

function normalized(
  { a, k, normalize }: GemmProblem,
  values: Values,
  { inHeight, inWidth }: ConvGeometry,
  from: number,
  channel: number,
  x: number,
): number {
  const factors = values('scale_shift');
  const image = Math.floor(from / a.pitch / (inHeight * inWidth));
  const [scale = Number.NaN, shift = Number.NaN] = [2 * image, 2 * image + 1].map(row => factors[row * k + channel]);
  return activate(normalize?.activation ?? 'none', x * scale + shift);
}

/** Where the weights of a tap and column begin, and from one value of K to the next. */
function weightPlace(p: GemmProblem, product: number, tap: number, column: number): { first: number; step: number } {
  const { b, k, conv } = p;
  if (b.layout === 'plain') {
    const { pitch = 0, batch: apart = k * pitch } = b;
    return { first: product * apart + column, step: pitch };
  }
  const { kTotal = k, kOffset = 0 } = b;
  const taps = tapsOf(conv);
  const line = (conv?.phases ? product * taps : 0) + tap;
  const depth = taps * (conv?.phases ? p.batch : 1) * kTotal;
  const along = line * kTotal + kOffset;
  if (b.layout === 'rows') return { first: column * depth + along, step: 1 };
  return { first: (Math.floor(column / PANEL) * depth + along) * PANEL + (column % PANEL), step: PANEL };
}

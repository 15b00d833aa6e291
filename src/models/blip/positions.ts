/** Position embeddings for pictures of another size than the trained one, on the host: a table of some kilobytes, once a size. */
import { ShapeError } from '../../core/errors.ts';
import { checkArray } from '../../core/kinds.ts';
import { type NdArray, ndarray } from '../../core/ndarray.ts';

/** Rows and columns of patches. */
export type Grid = readonly [rows: number, columns: number];

const { fround } = Math;

/**
 * Stretches a table of position embeddings over another grid of patches; the first row, the class token's, stays.
 * Bicubic, Keys' kernel with a = -3/4, no antialiasing, edges repeated: source = (i + 1/2) in / out - 1/2.
 * @param table [1 + g * g, D], a square grid row by row behind the class token
 * @param grid of the new picture
 * @returns [1 + rows * columns, D]
 * @throws ShapeError where the table holds no square grid
 * @see torch interpolate(mode="bicubic", align_corners=False); transformers BlipVisionEmbeddings.interpolate_pos_encoding
 */
export function interpolatePositions(table: NdArray, grid: Grid): NdArray {
  checkArray('interpolatePositions', table);
  const [count = 0, width = 0] = table.shape;
  const side = Math.round(Math.sqrt(count - 1));
  if (table.shape.length !== 2 || side < 1 || side * side !== count - 1) {
    throw new ShapeError({
      op: 'interpolatePositions',
      problem: 'not a table of a class token and a square grid',
      expected: '[1 + g * g, D]',
      received: table.shape,
    });
  }
  if (grid[0] === side && grid[1] === side) return table;
  const [rows, columns] = [taps(side, grid[0]), taps(side, grid[1])];
  const data = new Float32Array((1 + rows.length * columns.length) * width);
  data.set(table.data.subarray(0, width));
  let at = width;
  for (const y of rows) {
    for (const x of columns) {
      for (let d = 0; d < width; d++) data[at++] = mix(table.data, { y, x, side, width, d });
    }
  }
  return ndarray(data, [data.length / width, width]);
}

/** Four sources along one axis, and their weights. */
interface Taps {
  readonly from: readonly number[];
  readonly weights: readonly number[];
}

function taps(size: number, out: number): Taps[] {
  // torch works in f32 here: at a fraction next to 0 or 1 another rounding would choose other sources.
  const scale = fround(size / out);
  return Array.from({ length: out }, (_, i): Taps => {
    const center = fround(fround(scale * (i + 0.5)) - 0.5);
    const first = Math.floor(center);
    const t = fround(center - first);
    return {
      from: [-1, 0, 1, 2].map(k => Math.min(size - 1, Math.max(0, first + k))),
      weights: [far(t + 1), near(t), near(1 - t), far(2 - t)],
    };
  });
}

const A = -0.75;

/** Keys' kernel at 0 <= x <= 1. */
function near(x: number): number {
  return ((A + 2) * x - (A + 3)) * x * x + 1;
}

/** Keys' kernel at 1 <= x <= 2. */
function far(x: number): number {
  return ((A * x - 5 * A) * x + 8 * A) * x - 4 * A;
}

interface Sample {
  readonly y: Taps;
  readonly x: Taps;
  readonly side: number;
  readonly width: number;
  readonly d: number;
}

function mix(data: Float32Array, { y, x, side, width, d }: Sample): number {
  let sum = 0;
  for (const [j, row] of y.from.entries()) {
    let line = 0;
    for (const [i, column] of x.from.entries()) {
      line += (x.weights[i] ?? 0) * (data[(1 + row * side + column) * width + d] ?? 0);
    }
    sum += (y.weights[j] ?? 0) * line;
  }
  return sum;
}

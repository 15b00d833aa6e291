/** A row's operands in plain layouts, seeded as ours are, and its result by plain loops in f64. */
import { floatsOfHalves, halvesOfFloats } from '../../src/core/convert-bits.ts';
import type { AskedRow } from '../peer-protocol.ts';
import { randoms } from '../random.ts';
import type { PeerOp, PeerProblem } from './engine.ts';

type Floats = Float32Array<ArrayBuffer>;
type Sizes = Readonly<Record<string, number>>;

/** What is needed to make a problem of a row. */
interface PeerOperation {
  /** Elements of each operand, in the order of their seeds. */
  operands(sizes: Sizes): Readonly<Record<string, number>>;
  elements(sizes: Sizes): number;
  /** Products in the longest sum. */
  terms(sizes: Sizes): number;
  /** Element `at` of the result. */
  reference(operands: Readonly<Record<string, Floats>>, sizes: Sizes): (at: number) => number;
}

const EPS = 1e-5;

/** The problem of a row; why no peer has it where none does. */
export function problemOf({ op, shape, storage }: AskedRow): PeerProblem | { readonly missing: string } {
  const operation = OPERATIONS[op as PeerOp];
  if (!operation) return { missing: `no peer was taught ${op}` };
  const half = storage['activations'] !== 'f32';
  if (!half && (storage['weights'] ?? 'f32') !== 'f32')
    return { missing: 'f16 weights beside f32 activations are ours alone' };
  const operands = Object.fromEntries(
    Object.entries(operation.operands(shape)).map(([name, count], i) => {
      const values = randoms(count, i + 1);
      return [name, half ? floatsOfHalves(halvesOfFloats(values)) : values];
    }),
  );
  return {
    ...{ op: op as PeerOp, sizes: shape, half, operands, eps: EPS },
    elements: operation.elements(shape),
    terms: operation.terms(shape),
    expected: operation.reference(operands, shape),
  };
}

const mapOf = ({ images, height, width }: Sizes): number => images * height * width;

const OPERATIONS: Readonly<Record<PeerOp, PeerOperation>> = {
  matmul: {
    operands: ({ rows, k, columns }) => ({ a: rows * k, b: k * columns }),
    elements: ({ rows, columns }) => rows * columns,
    terms: ({ k }) => k,
    reference:
      ({ a, b }, { k, columns }) =>
      at => {
        const [row, column] = [Math.floor(at / columns), at % columns];
        let sum = 0;
        for (let i = 0; i < k; i++) sum += a[row * k + i] * b[i * columns + column];
        return sum;
      },
  },
  conv3x3: {
    operands: sizes => ({ x: mapOf(sizes) * sizes.cin, w: 9 * sizes.cin * sizes.cout }),
    elements: sizes => mapOf(sizes) * sizes.cout,
    terms: ({ cin }) => 9 * cin,
    reference: convolved,
  },
  attention: {
    operands: ({ heads, queries, keys, width }) => {
      const pitch = heads * width;
      return { q: queries * pitch, k: keys * pitch, v: keys * pitch };
    },
    elements: ({ heads, queries, width }) => queries * heads * width,
    terms: ({ keys, width }) => Math.max(keys, width),
    reference: attended,
  },
  'group-norm-silu': {
    operands: sizes => ({ x: mapOf(sizes) * sizes.channels, weight: sizes.channels, bias: sizes.channels }),
    elements: sizes => mapOf(sizes) * sizes.channels,
    terms: () => 0,
    reference: groupNormed,
  },
  'layer-norm': {
    operands: ({ rows, width }) => ({ x: rows * width, weight: width, bias: width }),
    elements: ({ rows, width }) => rows * width,
    terms: () => 0,
    reference:
      ({ x, weight, bias }, { width }) =>
      at => {
        const row = x.subarray(at - (at % width), at - (at % width) + width);
        const [mean, variance] = moments(row);
        return ((x[at] - mean) / Math.sqrt(variance + EPS)) * weight[at % width] + bias[at % width];
      },
  },
  'rms-norm': {
    operands: ({ rows, width }) => ({ x: rows * width, weight: width }),
    elements: ({ rows, width }) => rows * width,
    terms: () => 0,
    reference:
      ({ x, weight }, { width }) =>
      at => {
        const row = x.subarray(at - (at % width), at - (at % width) + width);
        const square = row.reduce((sum, v) => sum + v * v, 0) / width;
        return (x[at] / Math.sqrt(square + EPS)) * weight[at % width];
      },
  },
  softmax: {
    operands: ({ rows, width }) => ({ x: rows * width }),
    elements: ({ rows, width }) => rows * width,
    terms: () => 0,
    reference:
      ({ x }, { width }) =>
      at => {
        const row = x.subarray(at - (at % width), at - (at % width) + width);
        const top = row.reduce((a, b) => Math.max(a, b));
        return Math.exp(x[at] - top) / row.reduce((sum, v) => sum + Math.exp(v - top), 0);
      },
  },
};

/** A 3 x 3 convolution with padding 1. */
function convolved({ x, w }: Readonly<Record<string, Floats>>, { height, width, cin, cout }: Sizes) {
  return (at: number): number => {
    const [pixel, column] = [Math.floor(at / cout), at % cout];
    const [row, px] = [Math.floor(pixel / width), pixel % width];
    const [image, py] = [Math.floor(row / height), row % height];
    let sum = 0;
    for (let tap = 0; tap < 9; tap++) {
      const [y, xx] = [py + Math.floor(tap / 3) - 1, px + (tap % 3) - 1];
      if (y < 0 || y >= height || xx < 0 || xx >= width) continue;
      const from = ((image * height + y) * width + xx) * cin;
      for (let c = 0; c < cin; c++) sum += x[from + c] * w[(tap * cin + c) * cout + column];
    }
    return sum;
  };
}

function attended({ q, k, v }: Readonly<Record<string, Floats>>, { heads, keys, width }: Sizes) {
  const pitch = heads * width;
  return (at: number): number => {
    const [query, column] = [Math.floor(at / pitch), at % pitch];
    const head = Math.floor(column / width) * width;
    const scores = Array.from({ length: keys }, (_, j) => {
      let sum = 0;
      for (let e = 0; e < width; e++) sum += q[query * pitch + head + e] * k[j * pitch + head + e];
      return sum / Math.sqrt(width);
    });
    const top = scores.reduce((a, b) => Math.max(a, b));
    const weights = scores.map(score => Math.exp(score - top));
    const total = weights.reduce((a, b) => a + b, 0);
    return weights.reduce((sum, weight, j) => sum + weight * v[j * pitch + column], 0) / total;
  };
}

function groupNormed({ x, weight, bias }: Readonly<Record<string, Floats>>, sizes: Sizes) {
  const { height, width, channels, groups } = sizes;
  const [pixels, each] = [height * width, channels / groups];
  const known = new Map<number, readonly [mean: number, variance: number]>();
  const momentsOf = (image: number, group: number): readonly [number, number] => {
    const found = known.get(image * groups + group);
    if (found) return found;
    const all = new Float64Array(pixels * each);
    for (let p = 0; p < pixels; p++) {
      for (let c = 0; c < each; c++) all[p * each + c] = x[(image * pixels + p) * channels + group * each + c];
    }
    const made = moments(all);
    known.set(image * groups + group, made);
    return made;
  };
  return (at: number): number => {
    const [image, channel] = [Math.floor(at / (pixels * channels)), at % channels];
    const [mean, variance] = momentsOf(image, Math.floor(channel / each));
    const h = ((x[at] - mean) / Math.sqrt(variance + EPS)) * weight[channel] + bias[channel];
    return h / (1 + Math.exp(-h));
  };
}

/** Mean and variance, in f64. */
function moments(values: Float32Array | Float64Array): readonly [mean: number, variance: number] {
  let sum = 0;
  for (const value of values) sum += value;
  const mean = sum / values.length;
  let squares = 0;
  for (const value of values) squares += (value - mean) ** 2;
  return [mean, squares / values.length];
}

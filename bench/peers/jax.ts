/**
 * jax-js on its WebGPU backend as a peer, each operation under `jit`. It submits what somebody waits for and drops what nobody
 * does, so results are kept until they are there.
 */
import type { Engine, Form, PeerProblem, Prepared } from './engine.ts';
import { permuted } from './permuted.ts';

interface Arr {
  /** The same array once more: what a function takes is gone afterwards. */
  readonly ref: Arr;
  readonly device: string;
  reshape(shape: readonly number[]): Arr;
  astype(dtype: string): Arr;
  mul(other: Arr | number): Arr;
  add(other: Arr | number): Arr;
  div(other: Arr): Arr;
  mean(axis: number, options: { keepdims: boolean }): Arr;
  data(): Promise<ArrayLike<number>>;
  dispose(): void;
}

/** What we use of @jax-js/jax. */
export interface Jax {
  init(device: 'webgpu'): Promise<string[]>;
  defaultDevice(device: 'webgpu'): string;
  blockUntilReady(arrays: readonly Arr[]): Promise<unknown>;
  getWebGPUDevice(): { readonly queue: { onSubmittedWorkDone(): Promise<undefined> } };
  jit(work: (...operands: Arr[]) => Arr): ((...operands: Arr[]) => Arr) & { dispose(): void };
  readonly numpy: {
    array(values: Float32Array, options: { shape: readonly number[] }): Arr;
    matmul(a: Arr, b: Arr): Arr;
    square(x: Arr): Arr;
    sqrt(x: Arr): Arr;
  };
  readonly lax: {
    convGeneralDilated(x: Arr, w: Arr, strides: readonly number[], padding: readonly (readonly number[])[]): Arr;
  };
  readonly nn: {
    dotProductAttention(q: Arr, k: Arr, v: Arr): Arr;
    softmax(x: Arr, axis: number): Arr;
    standardize(x: Arr, axis: number | readonly number[], options: { epsilon: number }): Arr;
    silu(x: Arr): Arr;
  };
}

/** Results that are kept until the device has made them hold at most so many bytes together. */
const KEPT_BYTES = 2 ** 28;
const KEPT = 32;

/** The engine over a loaded package, whose backend is on the adapter already. */
export function jax(j: Jax, version: string, half: boolean): Engine {
  const forms: Engine['forms'] = problem => {
    if (problem.half && !half) return { missing: 'the adapter has no f16' };
    return formsOf(j, problem).map(
      (form): Form => ({ name: `jit(${form.name})`, prepare: async () => prepared(j, form, problem) }),
    );
  };
  return { package: '@jax-js/jax', version, forms };
}

interface JaxForm {
  readonly name: string;
  readonly operands: readonly (readonly [values: Float32Array, shape: readonly number[]])[];
  readonly work: (...operands: Arr[]) => Arr;
  arranged(result: Float32Array): Float32Array;
}

function prepared(j: Jax, form: JaxForm, { half, elements }: PeerProblem): Prepared {
  const operands = form.operands.map(([values, shape]) => {
    const array = j.numpy.array(values, { shape });
    return half ? array.astype('float16') : array;
  });
  const work = j.jit(form.work);
  const together = Math.max(1, Math.min(KEPT, Math.floor(KEPT_BYTES / (elements * 4))));
  let last: Arr | undefined;
  return {
    run: async times => {
      for (let done = 0; done < times; done += together) {
        const made = Array.from({ length: Math.min(together, times - done) }, () => work(...operands.map(o => o.ref)));
        await j.blockUntilReady(made);
        last?.dispose();
        last = made.pop();
        for (const array of made) array.dispose();
      }
      await j.getWebGPUDevice().queue.onSubmittedWorkDone();
    },
    result: async () => {
      if (last?.device !== 'webgpu') return new Float32Array();
      return form.arranged(Float32Array.from(await last.ref.astype('float32').data()));
    },
    dispose: () => {
      for (const array of [last, ...operands]) array?.dispose();
      work.dispose();
    },
  };
}

/** Attention in two forms: jax-js's own needs iterators that have `map`, as Node 22 has, and is an einsum of einsums. */
function formsOf(j: Jax, problem: PeerProblem): JaxForm[] {
  const form = formOf(j, problem);
  return problem.op === 'attention' ? [form, attentionByProducts(j, problem)] : [form];
}

/** matmul, softmax, matmul over [heads, tokens, width]; keys come transposed. */
function attentionByProducts({ numpy, nn }: Jax, { sizes, operands }: PeerProblem): JaxForm {
  const { heads, queries, keys, width } = sizes;
  return {
    name: 'matmul, mul, softmax, matmul',
    operands: [
      [permuted(operands.q, [queries, heads, width], [1, 0, 2]), [heads, queries, width]],
      [permuted(operands.k, [keys, heads, width], [1, 2, 0]), [heads, width, keys]],
      [permuted(operands.v, [keys, heads, width], [1, 0, 2]), [heads, keys, width]],
    ],
    work: (q, k, v) => numpy.matmul(nn.softmax(numpy.matmul(q, k).mul(width ** -0.5), -1), v),
    arranged: result => permuted(result, [heads, queries, width], [1, 0, 2]),
  };
}

function formOf(j: Jax, problem: PeerProblem): JaxForm {
  const { numpy, lax, nn } = j;
  const size = (name: string): number => problem.sizes[name] ?? Number.NaN;
  const plain = (name: string): Float32Array => problem.operands[name] ?? new Float32Array();
  const same = (result: Float32Array): Float32Array => result;
  const [images, pixels] = [size('images'), size('height') * size('width')];
  const epsilon = problem.eps;
  switch (problem.op) {
    case 'matmul':
      return {
        name: 'matmul',
        operands: [
          [plain('a'), [size('rows'), size('k')]],
          [plain('b'), [size('k'), size('columns')]],
        ],
        work: (a, b) => numpy.matmul(a, b),
        arranged: same,
      };
    case 'conv3x3': {
      const [cin, cout] = [size('cin'), size('cout')];
      return {
        name: 'convGeneralDilated',
        operands: [
          [permuted(plain('x'), [images, pixels, cin], [0, 2, 1]), [images, cin, size('height'), size('width')]],
          [permuted(plain('w'), [9, cin, cout], [2, 1, 0]), [cout, cin, 3, 3]],
        ],
        work: (x, w) =>
          lax.convGeneralDilated(
            x,
            w,
            [1, 1],
            [
              [1, 1],
              [1, 1],
            ],
          ),
        arranged: result => permuted(result, [images, cout, pixels], [0, 2, 1]),
      };
    }
    case 'attention': {
      const [heads, width] = [size('heads'), size('width')];
      const shape = (tokens: number): number[] => [tokens, heads, width];
      return {
        name: 'dotProductAttention',
        operands: [
          [plain('q'), shape(size('queries'))],
          [plain('k'), shape(size('keys'))],
          [plain('v'), shape(size('keys'))],
        ],
        work: (q, k, v) => nn.dotProductAttention(q, k, v),
        arranged: same,
      };
    }
    case 'group-norm-silu': {
      const [groups, each] = [size('groups'), size('channels') / size('groups')];
      const channels: readonly number[] = [1, 1, groups, each];
      return {
        name: 'standardize, mul, add, silu',
        operands: [
          [plain('x'), [images, pixels, groups, each]],
          [plain('weight'), channels],
          [plain('bias'), channels],
        ],
        work: (x, weight, bias) => nn.silu(nn.standardize(x, [1, 3], { epsilon }).mul(weight).add(bias)),
        arranged: same,
      };
    }
    case 'layer-norm':
      return {
        name: 'standardize, mul, add',
        operands: [
          [plain('x'), [size('rows'), size('width')]],
          [plain('weight'), [size('width')]],
          [plain('bias'), [size('width')]],
        ],
        work: (x, weight, bias) => nn.standardize(x, -1, { epsilon }).mul(weight).add(bias),
        arranged: same,
      };
    case 'rms-norm':
      return {
        name: 'square, mean, sqrt, div, mul',
        operands: [
          [plain('x'), [size('rows'), size('width')]],
          [plain('weight'), [size('width')]],
        ],
        work: (x, weight) => {
          const square = numpy.square(x.ref).mean(-1, { keepdims: true });
          return x.div(numpy.sqrt(square.add(epsilon))).mul(weight);
        },
        arranged: same,
      };
    case 'softmax':
      return {
        name: 'softmax',
        operands: [[plain('x'), [size('rows'), size('width')]]],
        work: x => nn.softmax(x, -1),
        arranged: same,
      };
  }
}

/**
 * TensorFlow.js on its WebGPU backend as a peer: channels last, as it has them, and its own operations put together as its
 * layers do. A run is queued; one element of the last result is read back, which waits for all.
 */
import type { Engine, Form, PeerProblem, Prepared } from './engine.ts';
import { permuted } from './permuted.ts';

interface Tensor {
  readonly shape: readonly number[];
  data(): Promise<Float32Array>;
  dispose(): void;
}

/** What we use of @tensorflow/tfjs-core. */
export interface Tf {
  setBackend(name: string): Promise<boolean>;
  getBackend(): string;
  env(): { set(name: string, value: boolean | number): void };
  tensor(values: Float32Array, shape: readonly number[]): Tensor;
  tidy(work: () => Tensor): Tensor;
  matMul(a: Tensor, b: Tensor, transposeA?: boolean, transposeB?: boolean): Tensor;
  conv2d(x: Tensor, filter: Tensor, strides: number, padding: 'same'): Tensor;
  moments(x: Tensor, axis: readonly number[], keepDims: boolean): { mean: Tensor; variance: Tensor };
  batchNorm(x: Tensor, mean: Tensor, variance: Tensor, offset: Tensor, scale: Tensor, epsilon: number): Tensor;
  mul(a: Tensor, b: Tensor | number): Tensor;
  add(a: Tensor, b: number): Tensor;
  square(x: Tensor): Tensor;
  mean(x: Tensor, axis: number, keepDims: boolean): Tensor;
  rsqrt(x: Tensor): Tensor;
  sigmoid(x: Tensor): Tensor;
  softmax(x: Tensor): Tensor;
  slice(x: Tensor, begin: readonly number[], size: readonly number[]): Tensor;
}

/** The engine over a loaded package, whose backend is on the adapter already. */
export function tfjs(tf: Tf, version: string): Engine {
  // Small tensors too run on the device.
  tf.env().set('WEBGPU_CPU_FORWARD', false);
  const forms: Engine['forms'] = problem => {
    if (problem.half) return { missing: 'TensorFlow.js has no f16' };
    const form = formOf(tf, problem);
    return [{ name: form.name, prepare: async () => prepared(tf, form) } satisfies Form];
  };
  return { package: '@tensorflow/tfjs-backend-webgpu', version, forms };
}

interface TfForm {
  readonly name: string;
  readonly operands: readonly Tensor[];
  run(): Tensor;
  arranged(result: Float32Array): Float32Array;
}

function prepared(tf: Tf, { operands, run, arranged }: TfForm): Prepared {
  let last: Tensor | undefined;
  return {
    run: async times => {
      for (let i = 0; i < times; i++) {
        last?.dispose();
        last = tf.tidy(run);
      }
      if (!last) return;
      const { shape } = last;
      const first = tf.slice(
        last,
        shape.map(() => 0),
        shape.map(() => 1),
      );
      await first.data();
      first.dispose();
    },
    result: async () => arranged(last ? await last.data() : new Float32Array()),
    dispose: () => {
      for (const tensor of [last, ...operands]) tensor?.dispose();
    },
  };
}

function formOf(tf: Tf, problem: PeerProblem): TfForm {
  const size = (name: string): number => problem.sizes[name] ?? Number.NaN;
  const operands: Tensor[] = [];
  const put = (values: Float32Array, shape: readonly number[]): Tensor => {
    const tensor = tf.tensor(values, shape);
    operands.push(tensor);
    return tensor;
  };
  const plain = (name: string): Float32Array => problem.operands[name] ?? new Float32Array();
  const form = (name: string, run: () => Tensor, arranged: TfForm['arranged'] = result => result): TfForm => ({
    ...{ name, operands, run, arranged },
  });
  switch (problem.op) {
    case 'matmul': {
      const a = put(plain('a'), [size('rows'), size('k')]);
      const b = put(plain('b'), [size('k'), size('columns')]);
      return form('matMul', () => tf.matMul(a, b));
    }
    case 'conv3x3': {
      const x = put(plain('x'), [size('images'), size('height'), size('width'), size('cin')]);
      const w = put(plain('w'), [3, 3, size('cin'), size('cout')]);
      return form('conv2d', () => tf.conv2d(x, w, 1, 'same'));
    }
    case 'attention': {
      const [heads, width] = [size('heads'), size('width')];
      const [q, k, v] = ['q', 'k', 'v'].map(name => {
        const tokens = size(name === 'q' ? 'queries' : 'keys');
        return put(permuted(plain(name), [tokens, heads, width], [1, 0, 2]), [heads, tokens, width]);
      });
      return form(
        'matMul, mul, softmax, matMul',
        () => tf.matMul(tf.softmax(tf.mul(tf.matMul(q, k, false, true), width ** -0.5)), v),
        result => permuted(result, [heads, size('queries'), width], [1, 0, 2]),
      );
    }
    case 'group-norm-silu': {
      const [groups, each] = [size('groups'), size('channels') / size('groups')];
      const x = put(plain('x'), [size('images'), size('height') * size('width'), groups, each]);
      const [weight, bias] = ['weight', 'bias'].map(name => put(plain(name), [1, 1, groups, each]));
      return form('moments, batchNorm, sigmoid, mul', () => {
        const { mean, variance } = tf.moments(x, [1, 3], true);
        const h = tf.batchNorm(x, mean, variance, bias, weight, problem.eps);
        return tf.mul(h, tf.sigmoid(h));
      });
    }
    case 'layer-norm': {
      const x = put(plain('x'), [1, 1, size('rows'), size('width')]);
      const weight = put(plain('weight'), [1, 1, 1, size('width')]);
      const bias = put(plain('bias'), [1, 1, 1, size('width')]);
      return form('moments, batchNorm', () => {
        const { mean, variance } = tf.moments(x, [3], true);
        return tf.batchNorm(x, mean, variance, bias, weight, problem.eps);
      });
    }
    case 'rms-norm': {
      const x = put(plain('x'), [size('rows'), size('width')]);
      const weight = put(plain('weight'), [size('width')]);
      return form('square, mean, add, rsqrt, mul, mul', () => {
        const scale = tf.rsqrt(tf.add(tf.mean(tf.square(x), -1, true), problem.eps));
        return tf.mul(tf.mul(x, scale), weight);
      });
    }
    case 'softmax': {
      const x = put(plain('x'), [size('rows'), size('width')]);
      return form('softmax', () => tf.softmax(x));
    }
  }
}

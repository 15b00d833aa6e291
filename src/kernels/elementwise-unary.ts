import source from '../../wgsl/elementwise-unary.wgsl';
import { ceilDiv } from '../core/shape.ts';
import { type KernelCall, type RowLayout, storageBytes } from './kernel.ts';
import { ACTIVATION, type Activation, activationLib, inputLib, outputLib } from './libs.ts';
import { FLAT_TILE, flatRows, requirePitch, requireSizes, rowBinding } from './rows.ts';

/** Numbers of the functions in elementwise-unary.wgsl. */
export const UNARY_FUNCTION: Readonly<Record<UnaryFunction, number>> = {
  ...ACTIVATION,
  exp: 16,
  log: 17,
  sqrt: 18,
  square: 19,
  sin: 20,
  cos: 21,
  tanh: 22,
  sigmoid: 23,
  abs: 24,
  reciprocal: 25,
};
/** Functions of one element. */
export type UnaryFunction =
  | Activation
  | 'exp'
  | 'log'
  | 'sqrt'
  | 'square'
  | 'sin'
  | 'cos'
  | 'tanh'
  | 'sigmoid'
  | 'abs'
  | 'reciprocal';

const LARGEST = 3.4028234663852886e38;

/** A function of each element of [rows, pitch]. */
export interface ElementwiseUnaryProblem {
  /** Rows of x and y. */
  readonly rows: number;
  /** True length of a row. */
  readonly width: number;
  /** Rows of the operand. */
  readonly x: RowLayout;
  /** Rows of the result; another form converts. */
  readonly y: RowLayout;
  /** What is applied to alpha x + beta; default none. */
  readonly function?: UnaryFunction | undefined;
  /** Factor of x, before the function; default 1. */
  readonly alpha?: number | undefined;
  /** Added to alpha x, before the function; default 0. */
  readonly beta?: number | undefined;
  /** Bounds of the result; none by default. */
  readonly clamp?: readonly [low: number, high: number] | undefined;
}

/**
 * y = clamp(f(alpha * x + beta), low, high). Bindings: x [rows, pitch], y [rows, pitch]; the pitches may differ.
 *
 * @throws ShapeError for bad sizes or pitches
 */
export function elementwiseUnary(problem: ElementwiseUnaryProblem): KernelCall {
  const { rows, width, x, y } = problem;
  requireSizes('elementwise-unary', { rows, width });
  requirePitch('elementwise-unary', 'x', { width, pitch: x.pitch });
  requirePitch('elementwise-unary', 'y', { width, pitch: y.pitch });
  const columns = y.pitch / 4;
  const count = rows * columns;
  const range = flatRows(rows, columns);
  const [low, high] = (problem.clamp ?? [0, 0]).map(finite) as [number, number];
  return {
    kernel: 'elementwise-unary',
    source,
    libs: [inputLib(x.storage), outputLib(y.storage), activationLib],
    values: { FUNCTION: UNARY_FUNCTION[problem.function ?? 'none'], CLAMP: problem.clamp !== undefined },
    bindings: [rowBinding('x', 'read', x, 'x_base', range), rowBinding('y', 'write', y, 'y_base', range)],
    params: {
      ...{ count, width, x_pitch: x.pitch / 4, y_pitch: columns },
      ...{ alpha: problem.alpha ?? 1, beta: problem.beta ?? 0, low, high },
    },
    tiles: ceilDiv(count, FLAT_TILE),
    cost: {
      flops: rows * width * 4,
      bytes: rows * (x.pitch * storageBytes(x.storage) + y.pitch * storageBytes(y.storage)),
    },
  };
}

/** A bound as a word: no bound is the largest f32. */
function finite(bound: number): number {
  return Math.min(Math.max(bound, -LARGEST), LARGEST);
}

/** What an engine is to the race: forms in which it can say an operation, each made ready once and run as often as wanted. */

/** Operations that are raced. */
export type PeerOp = 'matmul' | 'conv3x3' | 'attention' | 'group-norm-silu' | 'layer-norm' | 'rms-norm' | 'softmax';

/**
 * An operation with its values, in plain layouts:
 *
 * | op | sizes | operands | result |
 * |---|---|---|---|
 * | matmul | rows, k, columns | a [rows, k], b [k, columns] | [rows, columns] |
 * | conv3x3 | images, height, width, cin, cout | x [images, height, width, cin], w [3, 3, cin, cout] | [images, height, width, cout] |
 * | attention | heads, queries, keys, width | q [queries, heads * width], k and v [keys, heads * width] | as q |
 * | group-norm-silu | images, height, width, channels, groups | x [images, height, width, channels], weight, bias [channels] | as x |
 * | layer-norm | rows, width | x [rows, width], weight, bias [width] | as x |
 * | rms-norm | rows, width | x [rows, width], weight [width] | as x |
 * | softmax | rows, width | x [rows, width] | as x |
 */
export interface PeerProblem {
  readonly op: PeerOp;
  readonly sizes: Readonly<Record<string, number>>;
  /** Whether operands and result lie in memory as float16; the values are rounded to it. */
  readonly half: boolean;
  readonly operands: Readonly<Record<string, Float32Array<ArrayBuffer>>>;
  /** Of the result. */
  readonly elements: number;
  /** Products in the longest sum; 0 where there are none. */
  readonly terms: number;
  /** Added to variances. */
  readonly eps: number;
  /** Element `at` of the result, in f64 by plain loops. */
  expected(at: number): number;
}

/** An operation that is ready: its operands lie on the device. */
export interface Prepared {
  /** Runs it so many times, one after another, and waits until the device has done all of them. */
  run(times: number): Promise<void>;
  /** The result of the last run, in the layout of `PeerProblem`. */
  result(): Promise<Float32Array>;
  /** Gives its memory back. */
  dispose(): Promise<void> | void;
}

/** A way in which the engine can say an operation. */
export interface Form {
  /** Such as 'MultiHeadAttention'. */
  readonly name: string;
  /** Puts operands on the device and compiles what can be compiled before a first run. */
  prepare(): Promise<Prepared>;
}

/** An engine that was loaded onto the adapter. */
export interface Engine {
  /** Such as '@jax-js/jax'. */
  readonly package: string;
  readonly version: string;
  /** Ways to run the problem, of which the fastest that is right counts; or why there is none. */
  forms(problem: PeerProblem): readonly Form[] | { readonly missing: string };
  /** An exported network; undefined for engines that run none. */
  network?(file: string): Promise<Prepared>;
}

/** What a case of a problem holds. */
import type { Storage } from '../kernels/kernel.ts';

/** Values of a buffer as the device reads them, rounded to its storage. */
export type Values = (buffer: string) => ArrayLike<number>;

/** Buffers of a problem, and what it should give. */
export interface ProblemCase {
  /** By the names of the bindings of all variants: elements and storage. What a problem leaves out has four elements. */
  readonly buffers: Readonly<Record<string, readonly [elements: number, storage: Storage]>>;
  /** The buffer that holds the result. */
  readonly output: string;
  /** Buffers that are words and no numbers, with what they hold. */
  readonly words?: Readonly<Record<string, Uint32Array<ArrayBuffer>>> | undefined;
  /** What a number in [-1, 1) becomes where not every number makes sense; default itself. */
  readonly fill?: ((buffer: string, at: number, random: number) => number) | undefined;
  /**
   * Element `at` of the result in f64. NaN where the op leaves the element as it is, as between two rows.
   * @param values of the inputs
   */
  expected(values: Values, at: number): number;
  /** What is measured of the result beside it; undefined where nothing is. */
  readonly moments?: MeasuredMoments | undefined;
}

/** The layout of `moments`, whose shifts are the variant's own: mean and squares are compared, not elements. */
export interface MeasuredMoments {
  /** Elements from one row of the result to the next. */
  readonly pitch: number;
  /** First channel that is written, and how many. */
  readonly channels: readonly [first: number, count: number];
  /** Rows of an image, slabs of which lie together in `moments`. */
  readonly imageRows: number;
}

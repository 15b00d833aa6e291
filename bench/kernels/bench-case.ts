/** What the runner needs to know of a case. */
import type { KernelCall, Storage } from '../../src/kernels/kernel.ts';
import type { PeerShape } from '../peers/onnx.ts';

/** Values of a buffer as the device sees them, rounded to its storage. */
export type Values = (buffer: string) => ArrayLike<number>;

/** One row of the benchmark: a call, or several that make one operation. */
export interface KernelBench {
  readonly name: string;
  readonly calls: readonly KernelCall[];
  /** Elements and storage of each buffer, by binding name; calls share those of one name. */
  readonly buffers: Readonly<Record<string, readonly [elements: number, storage: Storage]>>;
  /** The buffer that holds the result. */
  readonly output: string;
  /** Element `at` of the result, computed from the inputs in f64 by plain loops. */
  readonly expected: (values: Values, at: number) => number;
  /** The same operation for the peer. */
  readonly peer?: PeerShape | undefined;
}

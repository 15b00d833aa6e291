/** What the runner needs to know of a row, and how a row is made of an op and a problem. */
import type { Caps } from '../../src/gpu/caps.ts';
import type { KernelCall, Storage } from '../../src/kernels/kernel.ts';
import { choose, nameOf, type Op, type Tiles, type Tuning } from '../../src/kernels/op.ts';
import { caseOf, type ProblemCase } from '../../src/tuning/problem-case.ts';

/** One row of the benchmark: a call, or several that make one operation, with what it must give. */
export interface KernelCase extends Pick<ProblemCase, 'buffers' | 'output' | 'expected'> {
  /** Operation, shape and storage in words. */
  readonly name: string;
  /** What is computed: matmul, conv3x3, attention, group-norm-silu, layer-norm, rms-norm or softmax. */
  readonly op: string;
  /** Sizes by name. */
  readonly shape: Readonly<Record<string, number>>;
  /** Of activations, and of weights where there are any. */
  readonly storage: Readonly<Record<string, Storage>>;
  /** Name of the variant that was chosen. */
  readonly variant: string;
  /** Its tile sizes. */
  readonly tiles: Tiles;
  /** Operations of the host for one element of what is expected; default the row's own by its elements. */
  readonly hostFlops?: number | undefined;
  /** Calls share buffers of one name. */
  readonly calls: readonly KernelCall[];
}

/** How variants are chosen for a device. */
export interface Choosing {
  readonly caps: Caps;
  /** Measured choices; default ranks. */
  readonly tuning?: Tuning | undefined;
}

/** What a row says of itself. */
export type RowWords = Pick<KernelCase, 'name' | 'op' | 'shape' | 'storage'>;

/** The row of one op, with the variant and tiles that the device gets. */
export function opCase<P>({ caps, tuning }: Choosing, op: Op<P>, problem: P, words: RowWords): KernelCase {
  const { buffers, output, expected } = caseOf(op, problem, caps);
  const variant = choose(op, caps, problem, tuning);
  const tiles = variant.tiles(caps, problem);
  const calls = [variant.call(caps, problem, tiles)];
  return { ...words, variant: nameOf(variant), tiles, calls, buffers, output, expected };
}

/** Operations of all calls of a row. */
export function flopsOf({ calls }: Pick<KernelCase, 'calls'>): number {
  return calls.reduce((sum, call) => sum + call.cost.flops, 0);
}

/** Bytes that memory must serve for them. */
export function bytesOf({ calls }: Pick<KernelCase, 'calls'>): number {
  return calls.reduce((sum, call) => sum + call.cost.bytes, 0);
}

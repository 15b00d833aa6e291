/** What the runner needs to know of a row, and how a row is made of an op and a problem. */
import type { Caps } from '../../src/gpu/caps.ts';
import type { Cost, KernelCall, Storage } from '../../src/kernels/kernel.ts';
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
  /** Buffers that a call binds under another name, by its place and its own name; default none. */
  readonly bound?: readonly Readonly<Record<string, string>>[] | undefined;
  /** Of the operation; default what the calls say together. */
  readonly cost?: Cost | undefined;
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
  const row = { ...words, variant: nameOf(variant), tiles, output, expected };
  const whole = variant.call(caps, problem, tiles);
  const split = variant.split?.(caps, problem, tiles);
  if (!split) return { ...row, calls: [whole], buffers };
  // As plans run it: parts of K are summed into memory between the two calls.
  const { partials, sum, scratch } = split;
  return {
    ...row,
    calls: [partials, sum],
    bound: [{ [output]: 'partials' }],
    cost: whole.cost,
    buffers: { ...buffers, partials: [scratch.rows * scratch.width, 'f32'] },
  };
}

/** Operations of all calls of a row. */
export function flopsOf({ calls, cost }: Pick<KernelCase, 'calls' | 'cost'>): number {
  return cost?.flops ?? calls.reduce((sum, call) => sum + call.cost.flops, 0);
}

/** Bytes that memory must serve for them. */
export function bytesOf({ calls, cost }: Pick<KernelCase, 'calls' | 'cost'>): number {
  return cost?.bytes ?? calls.reduce((sum, call) => sum + call.cost.bytes, 0);
}

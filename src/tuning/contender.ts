/** A candidate made ready to run on the buffers of a case. */

import { type BufferSlice, createStorage, destroySlice } from '../gpu/buffer.ts';
import type { Caps } from '../gpu/caps.ts';
import type { Gpu } from '../gpu/device.ts';
import { DispatchList } from '../kernels/dispatch.ts';
import type { KernelCall } from '../kernels/kernel.ts';
import { CheckedTuning, chosen, type Op, type Split, type Tiles, type Variant } from '../kernels/op.ts';
import type { OpenCase } from './open-case.ts';

/** Floating-point operations of a problem, by the variant that the device takes without a table; 0 where none can. */
export function costOfProblem<P>(op: Op<P>, caps: Caps, problem: P): number {
  const variant = chosen(op, caps, problem, new CheckedTuning({}));
  return variant.call(caps, problem, variant.tiles(caps, problem)).cost.flops;
}

/** The calls of a variant in a cut: one, or two where its K axis is cut. */
export function callsBy<P>(variant: Variant<P>, caps: Caps, problem: P, tiles: Tiles): KernelCall | Split {
  return variant.split?.(caps, problem, tiles) ?? variant.call(caps, problem, tiles);
}

/** Calls on the buffers of a case, compiled. */
export class Contender {
  /** To be measured. */
  readonly list: DispatchList;
  readonly #scratch: BufferSlice | undefined;

  private constructor(list: DispatchList, scratch: BufferSlice | undefined) {
    this.list = list;
    this.#scratch = scratch;
  }

  /**
   * Compiles. What fails leaves nothing; what takes longer than one waits frees itself when it is done.
   * @throws ShaderError for a text that the device refuses, DeviceError for bindings that it refuses
   */
  static async build(gpu: Gpu, calls: KernelCall | Split, { slices }: OpenCase): Promise<Contender> {
    const list = new DispatchList(gpu);
    let scratch: BufferSlice | undefined;
    try {
      if ('partials' in calls) {
        const { rows, width } = calls.scratch;
        scratch = createStorage(gpu, 4 * rows * width, 'partial sums');
        const { a, b } = slices;
        const unread = b && { bias: b, channel_add: b, residual: b };
        list.add(calls.partials, { ...(a && { a }), ...(b && { b }), ...unread, y: scratch });
        list.add(calls.sum, { ...slices, partials: scratch });
      } else {
        list.add(calls, slices);
      }
      await list.build();
      return new Contender(list, scratch);
    } catch (error) {
      list.dispose();
      if (scratch) destroySlice(scratch);
      throw error;
    }
  }

  /** Frees what it holds; the case stays. */
  dispose(): void {
    this.list.dispose();
    if (this.#scratch) destroySlice(this.#scratch);
  }
}

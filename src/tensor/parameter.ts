import { DeviceError } from '../core/errors.ts';
import type { BufferSlice } from '../gpu/buffer.ts';
import type { Storage } from '../kernels/kernel.ts';

/**
 * A weight that kernels read: `panels` [columns/32][taps * k][32], `rows` [columns][k] (embedding tables), or `vector`
 * [columns] f32. Filled when the checkpoint loads; until then it is a promise of a shape.
 */
export class Parameter {
  /** Key in the checkpoint; of the first piece where it has several. */
  readonly path: string;
  /** How its elements lie, see above. */
  readonly layout: 'panels' | 'rows' | 'vector';
  /** Padded outputs, or rows of a table. */
  readonly columns: number;
  /** Padded inputs of one tap, or the pitch of a table. */
  readonly k: number;
  /** Places of a convolution kernel: its height times its width, else 1. */
  readonly taps: number;
  /** Inputs without padding, heads spread out: the width of the tensors that meet this weight. */
  readonly width: number;
  #memory: { slice: BufferSlice; storage: Storage } | undefined;

  constructor(path: string, layout: Parameter['layout'], columns: number, k: number, taps: number, width: number = k) {
    this.path = path;
    this.layout = layout;
    this.columns = columns;
    this.k = k;
    this.taps = taps;
    this.width = width;
  }

  /** Where it lies on the device. Throws a DeviceError before it is loaded. */
  get slice(): BufferSlice {
    return this.#loaded().slice;
  }

  /** How its elements are stored. Throws a DeviceError before it is loaded. */
  get storage(): Storage {
    return this.#loaded().storage;
  }

  /** Whether it has memory on the device. */
  get loaded(): boolean {
    return this.#memory !== undefined;
  }

  /** Gives the weight its memory (undefined takes it away, when a model is unloaded). */
  place(memory: { slice: BufferSlice; storage: Storage } | undefined): void {
    this.#memory = memory;
  }

  #loaded(): { slice: BufferSlice; storage: Storage } {
    if (!this.#memory) {
      throw new DeviceError({
        op: 'Parameter',
        problem: 'the weights are not on the device',
        path: this.path,
        fix: 'Call load() on the model before compiling a plan.',
      });
    }
    return this.#memory;
  }
}

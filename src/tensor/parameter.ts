import { DeviceError } from '../core/errors.ts';
import type { BufferSlice } from '../gpu/buffer.ts';
import type { Storage } from '../kernels/kernel.ts';
import type { PackedLayout } from '../kernels/op.ts';
import type { WeightStream } from './weight-stream.ts';

/** What a Parameter gets when its checkpoint loads. */
export interface ParameterMemory {
  /** Where it lies on the device. */
  readonly slice: BufferSlice;
  /** How its elements are stored. */
  readonly storage: Storage;
  /** Chosen before packing, for every number of rows that the weight will meet. */
  readonly layout: PackedLayout;
  /** @internal What brings it before each use, where it does not lie there all the time. */
  readonly stream?: WeightStream | undefined;
}

/**
 * A weight that kernels read: a `matrix` of a linear layer or convolution, in the layout that its variants read, a `table`
 * [columns][k] of embeddings, or a `vector` [columns] f32. Filled when the checkpoint loads; until then it is a promise of a shape.
 */
export class Parameter {
  /** Key in the checkpoint; of the first piece where it has several. */
  readonly path: string;
  /** Whether it is of a linear layer or convolution, of an embedding, or a row of numbers. */
  readonly kind: 'matrix' | 'table' | 'vector';
  /** Padded outputs, or rows of a table. */
  readonly columns: number;
  /** Padded inputs of one tap, or the pitch of a table. */
  readonly k: number;
  /** Places of a convolution kernel: its height times its width, else 1. */
  readonly taps: number;
  /** Inputs without padding, heads spread out: the width of the tensors that meet this weight. */
  readonly width: number;
  #memory: ParameterMemory | undefined;

  constructor(path: string, kind: Parameter['kind'], columns: number, k: number, taps: number, width: number = k) {
    this.path = path;
    this.kind = kind;
    this.columns = columns;
    this.k = k;
    this.taps = taps;
    this.width = width;
  }

  /** Where it lies on the device. Throws a DeviceError before it is loaded. */
  get slice(): BufferSlice {
    return this.#loaded().slice;
  }

  /** Itself: a weight is memory with a place, and so is a part of one. */
  get parameter(): Parameter {
    return this;
  }

  /** How its elements are stored. Throws a DeviceError before it is loaded. */
  get storage(): Storage {
    return this.#loaded().storage;
  }

  /** How it lies in memory; never changes while it is loaded. */
  get layout(): PackedLayout {
    return this.#loaded().layout;
  }

  /** @internal What brings it before each use; undefined where it lies there all the time. */
  get stream(): WeightStream | undefined {
    return this.#memory?.stream;
  }

  /** Whether it has memory on the device. */
  get loaded(): boolean {
    return this.#memory !== undefined;
  }

  /** Gives the weight its memory (undefined takes it away, when a model is unloaded). */
  place(memory: ParameterMemory | undefined): void {
    this.#memory = memory;
  }

  #loaded(): ParameterMemory {
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

/** A network on the device: weights that stream in and out, and the programs compiled for it. */

import { DeviceError } from '../../core/errors.ts';
import type { AbortSignalLike } from '../../core/platform.ts';
import type { TensorSource } from '../../core/tensor-source.ts';
import type { LoadedWeights } from '../../nn/load.ts';
import type { Weights } from '../../nn/weights.ts';
import type { DeviceMemory } from './device-memory.ts';
import { DeviceProgram, type Recording } from './device-program.ts';

/** A network before its weights are on a device: its modules, and the checkpoint that they were bound to. */
export interface OpenedNetwork<M> {
  /** For messages and labels, such as 'text encoder'. */
  readonly name: string;
  /** Records operations; its parameters get their values when the weights are loaded. */
  readonly model: M;
  /** What the model asked of the checkpoint. */
  readonly weights: Weights;
  /** The checkpoint; whoever opened it closes it. */
  readonly source: TensorSource;
}

/** How weights come to the device. */
export interface LoadCall {
  /** Ends the loading between two reads, with its reason. */
  readonly signal?: AbortSignalLike | undefined;
  /** Told of the bytes read so far, of how many. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
  /** Bytes on their way at once; default 32 MiB. */
  readonly stagingBytes?: number | undefined;
}

/** Something on the device that is worth nothing without its network. */
export interface Attachment {
  /** Called once, by `detach` or `unload`. */
  dispose(): void;
}

/** One network: its modules, its checkpoint, and, while it is on the device, its weights and programs. */
export class Network<M> {
  /** For messages and labels, such as 'unet'. */
  readonly name: string;
  /** What programs of the network record. */
  readonly model: M;
  readonly #memory: DeviceMemory;
  readonly #weights: Weights;
  readonly #programs = new Map<string, DeviceProgram<unknown>>();
  readonly #attached = new Set<Attachment>();
  #loaded: LoadedWeights | undefined;
  /** Counts unloadings: what was begun before one must not be kept after it. */
  #unloads = 0;

  constructor(opened: OpenedNetwork<M>, memory: DeviceMemory) {
    this.name = opened.name;
    this.model = opened.model;
    this.#memory = memory;
    this.#weights = opened.weights;
  }

  /** Whether the weights are on the device. */
  get loaded(): boolean {
    return this.#loaded !== undefined;
  }

  /** Bytes that `load` reads. */
  get bytesToRead(): number {
    return this.#weights.bytesToRead;
  }

  /** Streams the weights to the device unless they are there. @throws DeviceError where `unload` came before the end */
  async load(call: LoadCall = {}): Promise<void> {
    if (this.#loaded) return;
    const begun = this.#unloads;
    const { gpu, dtype } = this.#memory;
    const loaded = await this.#weights.load(gpu, { dtype, ...call });
    if (begun !== this.#unloads) {
      loaded.dispose();
      throw this.#gone();
    }
    this.#loaded = loaded;
    this.#memory.add(loaded.bytes);
  }

  /** The compiled program under `key`; where there is none, it is recorded first. Only the `keep` latest are kept. */
  async program<T>(key: string, keep: number, record: Recording<T>): Promise<DeviceProgram<T>> {
    const known = this.#programs.get(key) as DeviceProgram<T> | undefined;
    if (known) {
      this.#programs.delete(key);
      this.#programs.set(key, known); // now the latest
      return known;
    }
    for (const [old, program] of [...this.#programs].slice(0, Math.max(0, this.#programs.size - keep + 1))) {
      this.#programs.delete(old);
      program.dispose();
    }
    const begun = this.#unloads;
    const made = await DeviceProgram.compile(this.#memory, `${this.name} ${key}`, record, () => {
      if (begun !== this.#unloads) throw this.#gone();
    });
    this.#programs.set(key, made);
    return made;
  }

  /** `unload` disposes it too. */
  attach(thing: Attachment): void {
    this.#attached.add(thing);
  }

  /** Disposes an attached thing before its time. */
  detach(thing: Attachment): void {
    this.#attached.delete(thing);
    thing.dispose();
  }

  /** Frees the programs and what they hold; the weights stay. */
  rest(): void {
    for (const program of this.#programs.values()) program.dispose();
    this.#programs.clear();
  }

  /** Frees everything on the device. The network can be loaded again. */
  unload(): void {
    this.#unloads++;
    this.rest();
    for (const thing of this.#attached) thing.dispose();
    this.#attached.clear();
    if (!this.#loaded) return;
    this.#memory.add(-this.#loaded.bytes);
    this.#loaded.dispose();
    this.#loaded = undefined;
  }

  #gone(): DeviceError {
    return new DeviceError({
      op: this.name,
      problem: 'the network left the device while it was made ready',
      fix: 'Await the call before disposing the pipeline.',
    });
  }
}

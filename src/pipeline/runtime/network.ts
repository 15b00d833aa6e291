/** A network on the device: weights that stream in and out, and the programs compiled for it. */

import { DeviceError } from '../../core/errors.ts';
import type { HeldSource } from '../../core/held-source.ts';
import type { AbortSignalLike } from '../../core/platform.ts';
import type { TensorSource } from '../../core/tensor-source.ts';
import type { LoadedWeights } from '../../nn/load.ts';
import { Weights } from '../../nn/weights.ts';
import { StreamedWeights, type StreamLimits } from '../../tensor/streamed-weights.ts';
import type { DeviceMemory } from './device-memory.ts';
import { DeviceProgram, type Recording } from './device-program.ts';

/** Modules, and the tensors that they take of a checkpoint. */
export interface BoundModel<M> {
  /** Records operations; its parameters get their values when the weights are loaded. */
  readonly model: M;
  /** What the model asked of the checkpoint. */
  readonly weights: Weights;
}

/** A network before its weights are on a device: its modules, and the checkpoint that they were bound to. */
export interface OpenedNetwork<M> extends BoundModel<M> {
  /** For messages and labels, such as 'text encoder'. */
  readonly name: string;
  /** The checkpoint; whoever opened it closes it. */
  readonly source: TensorSource;
  /** Binds such a model to another view of the checkpoint; absent where the network takes no adapters. */
  readonly bind?: ((view: TensorSource) => BoundModel<M>) | undefined;
}

/** A view of a checkpoint in which some tensors are others: a LoRA merged in, rows appended to a table. Reads stay by range. */
export type SourceAdapter = (source: TensorSource) => TensorSource;

/**
 * Binds a model to its checkpoint, and can do so again to other views of it.
 * @param make builds the modules on a cursor at the root of such a view; also told of the checkpoint itself
 * @throws WeightsError listing every tensor that does not fit; whatever `make` throws
 */
export function openNetwork<M>(
  name: string,
  source: TensorSource,
  make: (weights: Weights, stored: TensorSource) => M,
): OpenedNetwork<M> {
  const bind = (view: TensorSource): BoundModel<M> => {
    const weights = Weights.open(view);
    const model = make(weights, source);
    weights.check();
    return { model, weights };
  };
  return { name, source, bind, ...bind(source) };
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

/** How a network's weights are kept while it is used. */
export interface Keeping {
  /** Weights pass through two slots of device memory whenever a program reads them; by default they stay there whole. */
  readonly stream?: StreamLimits | undefined;
  /** A copy on the host, in the precision of the file, so that weights which go to the device again are not read again. Default false. */
  readonly hostMemory?: boolean | undefined;
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
  readonly #memory: DeviceMemory;
  readonly #opened: OpenedNetwork<M>;
  readonly #adapters = new Map<string, SourceAdapter>();
  #bound: BoundModel<M>;
  readonly #programs = new Map<string, DeviceProgram<unknown>>();
  readonly #attached = new Set<Attachment>();
  #loaded: LoadedWeights | StreamedWeights | undefined;
  #keeping: Keeping = {};
  #held: HeldSource | undefined;
  #revision = 0;
  /** Counts unloadings: what was begun before one must not be kept after it. */
  #unloads = 0;

  constructor(opened: OpenedNetwork<M>, memory: DeviceMemory) {
    this.name = opened.name;
    this.#memory = memory;
    this.#opened = opened;
    this.#bound = opened;
  }

  /** What programs of the network record; another one after every `adapt`. */
  get model(): M {
    return this.#bound.model;
  }

  /** Counts calls of `adapt`: what the host keeps of the network's results belongs to one revision. */
  get revision(): number {
    return this.#revision;
  }

  /** The checkpoint itself, before all adapters. */
  get source(): TensorSource {
    return this.#opened.source;
  }

  /** Whether the weights are on the device. */
  get loaded(): boolean {
    return this.#loaded !== undefined;
  }

  /** How its weights are kept. */
  get keeping(): Keeping {
    return this.#keeping;
  }

  /** Host bytes of the copy of its weights, and of what is read into while they stream. */
  get hostBytes(): number {
    return (this.#held?.bytes ?? 0) + (this.#loaded instanceof StreamedWeights ? this.#loaded.hostBytes : 0);
  }

  /** Decides how weights are kept, from the next `load` on; the network leaves the device. */
  keep(keeping: Keeping): void {
    this.unload();
    this.#keeping = { ...keeping };
    if (!keeping.hostMemory) this.#held = undefined;
  }

  /** Bytes that `load` reads. */
  get bytesToRead(): number {
    return this.#bound.weights.bytesToRead;
  }

  /**
   * Puts an adapter before the checkpoint, or takes it away, and takes the network off the device: the next call loads it anew,
   * through all adapters in the order in which their kinds came. Where it fails, nothing has changed.
   * @param kind such as 'lora'; there is one adapter of each
   * @param adapter undefined takes it away
   * @throws WeightsError where the model does not fit the view; DeviceError for a network that takes none
   */
  adapt(kind: string, adapter: SourceAdapter | undefined): void {
    if (adapter === undefined && !this.#adapters.has(kind)) return;
    const { bind, source } = this.#opened;
    if (!bind) throw new DeviceError({ op: this.name, problem: `the network takes no adapter of the kind "${kind}"` });
    const adapters = new Map(this.#adapters);
    if (adapter) adapters.set(kind, adapter);
    else adapters.delete(kind);
    const bound =
      adapters.size === 0 ? this.#opened : bind([...adapters.values()].reduce((view, a) => a(view), source));
    this.unload();
    this.#bound = bound;
    this.#held = undefined;
    this.#revision++;
    this.#adapters.clear();
    for (const [key, value] of adapters) this.#adapters.set(key, value);
  }

  /**
   * The same network for a device that runs nothing: modules of its own over the same checkpoint, of which no byte is read.
   * @throws DeviceError for a network that cannot be bound again
   */
  twin(memory: DeviceMemory): Network<M> {
    const { bind, source } = this.#opened;
    if (!bind) throw new DeviceError({ op: this.name, problem: 'the network cannot be planned' });
    const view = unread([...this.#adapters.values()].reduce((shown, adapter) => adapter(shown), source));
    return new Network({ name: this.name, source: view, ...bind(view) }, memory);
  }

  /** Brings the weights to the device, as `keep` says, unless they are there. @throws DeviceError where `unload` came before the end */
  async load(call: LoadCall = {}): Promise<void> {
    if (this.#loaded) return;
    const begun = this.#unloads;
    const { gpu, dtype } = this.#memory;
    const { weights } = this.#bound;
    const { stream, hostMemory } = this.#keeping;
    const { ledger } = this.#memory;
    if (hostMemory && !ledger) this.#held ??= weights.hold();
    await gpu.reclaim();
    const how = { dtype, ...call, held: this.#held };
    const loaded = await (stream ? weights.stream(gpu, { ...how, ...stream }) : weights.load(gpu, how));
    if (begun !== this.#unloads) {
      loaded.dispose();
      throw this.#gone();
    }
    this.#loaded = loaded;
    this.#memory.add(loaded.bytes);
    ledger?.hostKeeps(this, this.hostBytes + (hostMemory ? weights.bytesToRead : 0));
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
    const check = () => {
      if (begun !== this.#unloads) throw this.#gone();
    };
    const made = await DeviceProgram.compile(this.#memory, `${this.name} ${key}`, record, check);
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

  /** Frees the copy on the host too. */
  dispose(): void {
    this.unload();
    this.#memory.ledger?.hostKeeps(this, 0);
    this.#held = undefined;
  }

  #gone(): DeviceError {
    return new DeviceError({
      op: this.name,
      problem: 'the network left the device while it was made ready',
      fix: 'Await the call before disposing the pipeline.',
    });
  }
}

/** Opened networks by name, in the order in which they are loaded. */
export type OpenedNetworks<M> = { readonly [K in keyof M]: OpenedNetwork<M[K]> };

/** The same networks, ready for the device. */
export type Networks<M> = { readonly [K in keyof M]: Network<M[K]> };

/** A checkpoint whose tensors have names and shapes and no values. */
function unread({ label, tensors }: TensorSource): TensorSource {
  return { label, tensors, read: async () => {} };
}

/** One call on a model: its signal, its progress, its tensors, and the networks that it brings to the device. */
import type { NdArray } from '../../core/ndarray.ts';
import { PaceMeter } from '../../core/pace.ts';
import type { AbortSignalLike } from '../../core/platform.ts';
import type { Shape } from '../../core/shape.ts';
import type { DeviceTensor } from '../../tensor/device-tensor.ts';
import type { Graph } from '../../tensor/graph.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import type { DeviceMemory, TensorScope } from './device-memory.ts';
import { DeviceProgram, type Recording, runOnce } from './device-program.ts';
import { checkFinite } from './finite.ts';
import { KeptPhases } from './kept-phases.ts';
import type { Network } from './network.ts';
import type { CallOptions, Phase, ProgressEvent } from './progress.ts';

/** What a call needs to know of the model that it runs on. */
export interface CallHome {
  /** Where everything that the call makes is counted. */
  readonly memory: DeviceMemory;
  /** All of the model, in the order in which they are loaded. */
  readonly networks: readonly Network<unknown>[];
  /** Bytes of weights on their way at once; default 32 MiB. */
  readonly stagingBytes: number | undefined;
  /** Only one network on the device at a time. */
  readonly offload: boolean;
  /** Steps from one copy of a loop's state to the next, kept in case the device is lost; 0 or undefined: nothing is kept. */
  readonly keepEvery?: number | undefined;
  /** @throws DeviceError once the model was disposed */
  readonly checkDisposed: () => void;
}

/** A phase's own time: it stands still while weights are loaded. */
interface Clock {
  readonly name: Phase;
  /** Milliseconds up to the last stop. */
  ms: number;
  since: number;
  /** Of those, what compilers took: it says nothing of what the pieces take. */
  compiling: number;
  readonly pace: PaceMeter;
}

/** Reports the pieces of one phase. */
export interface PhaseReport {
  /**
   * `step` pieces are done.
   * @param more.timestep of the step
   * @param more.of pieces in all, where it turns out that they are fewer
   */
  done(step: number, more?: { readonly timestep?: number | undefined; readonly of?: number }): void;
}

/** Values in the order of torch, for a network that takes one tensor. */
export interface NetworkInput {
  /** In torch's order. */
  readonly data: ArrayLike<number>;
  /** As the network takes it. */
  readonly shape: Shape;
  /** uint32 for ids. */
  readonly dtype: 'float32' | 'uint32';
}

/** What every phase of a call needs. `close` frees whatever the call allocated. */
export class DeviceCall {
  /** Only one network on the device at a time. */
  #offload: boolean;
  #keepPrograms = false;
  /** What outlives a lost device. */
  readonly kept: KeptPhases;
  /** The model's. */
  readonly memory: DeviceMemory;
  /** Milliseconds spent in each phase so far. */
  readonly timings: Partial<Record<Phase, number>> = {};
  readonly #home: CallHome;
  readonly #options: CallOptions;
  #scope: TensorScope;
  #current: Clock | undefined;
  /** Phases whose beginning was told: one that begins again, behind a lost device, is not told twice. */
  readonly #begun = new Set<Phase>();

  constructor(home: CallHome, options: CallOptions) {
    this.#home = home;
    this.#options = options;
    this.#offload = home.offload;
    this.memory = home.memory;
    this.kept = new KeptPhases(home.keepEvery ?? 0);
    this.#scope = home.memory.scope();
    home.memory.onCompile = () => this.#compile();
  }

  /** Tensors of this call. */
  get scope(): TensorScope {
    return this.#scope;
  }

  /** The phase that runs. */
  get current(): Phase | undefined {
    return this.#current?.name;
  }

  /** Forgets everything on the device; what is kept on the host stays. The work is done again then, behind what is kept. */
  restart(): void {
    this.endPhase();
    this.#scope.dispose();
    this.#scope = this.memory.scope();
  }

  /** Whether only one network is on the device at a time. */
  get offload(): boolean {
    return this.#offload;
  }

  /** Has only one network on the device at a time from here on; the others leave it as soon as one is used. */
  enableOffload(): void {
    this.#offload = true;
  }

  /** Keeps the programs of all networks while others work, for the next call of the same sizes: there is memory for all of them. */
  keepPrograms(): void {
    this.#keepPrograms = true;
  }

  /** Ends the call. */
  get signal(): AbortSignalLike | undefined {
    return this.#options.signal;
  }

  /** Throws the signal's reason once the caller has given up, and a DeviceError once the model was disposed. */
  check(): void {
    this.#options.signal?.throwIfAborted();
    this.#home.checkDisposed();
  }

  /** Begins a phase, and tells of it; the one before ends. */
  phase(name: Phase, of: number): PhaseReport {
    this.check();
    this.endPhase();
    this.memory.ledger?.enter(name);
    const clock = this.#begin(name);
    if (!this.#begun.has(name)) this.#tell(clock, { step: 0, of });
    this.#begun.add(name);
    return { done: (step, more = {}) => this.#tell(clock, { step, of, ...more }) };
  }

  /** Ends the current phase, for its timing. */
  endPhase(): void {
    if (!this.#current) return;
    const { name } = this.#current;
    this.timings[name] = (this.timings[name] ?? 0) + this.#elapsed(this.#current);
    this.#current = undefined;
  }

  #begin(name: Phase): Clock {
    this.#current = { name, ms: 0, since: performance.now(), compiling: 0, pace: new PaceMeter() };
    return this.#current;
  }

  #elapsed(clock: Clock): number {
    return clock.ms + (clock === this.#current ? performance.now() - clock.since : 0);
  }

  #tell(clock: Clock, piece: Pick<ProgressEvent, 'step' | 'of' | 'timestep'>): void {
    const { onProgress } = this.#options;
    if (!onProgress) return;
    const ms = this.#elapsed(clock);
    const pace = clock.pace.at(ms - clock.compiling, piece.step, piece.of);
    const { timestep, ...counts } = piece;
    const bytes = this.memory.bytes;
    onProgress({ phase: clock.name, ...counts, ...(timestep !== undefined && { timestep }), ms, bytes, ...pace });
  }

  /** Kernels that a program waits for: told as a phase within the one that runs, whose time goes on. */
  #compile(): (done: number, of: number) => void {
    const start = performance.now();
    const clock: Clock = { name: 'compile', ms: 0, since: start, compiling: 0, pace: new PaceMeter() };
    const waiting = this.#current;
    let before = 0;
    return (done, of) => {
      this.check();
      clock.ms = performance.now() - start;
      if (waiting) waiting.compiling += clock.ms - before;
      before = clock.ms;
      this.#tell(clock, { step: done, of });
    };
  }

  /** Brings a network to the device; with offload the others leave it first. */
  async use(network: Network<unknown>): Promise<void> {
    this.check();
    const { networks, stagingBytes } = this.#home;
    for (const other of networks) {
      if (other === network) continue;
      // Programs hold activations: never more than one network's at a time, unless there is memory for all.
      if (this.#offload) other.unload();
      else if (!this.#keepPrograms) other.rest();
    }
    if (network.loaded) return;
    const waiting = this.#current;
    if (waiting) waiting.ms = this.#elapsed(waiting);
    const loading = this.#begin('load');
    this.#tell(loading, { step: 0, of: network.bytesToRead });
    await network.load({
      signal: this.#options.signal,
      stagingBytes,
      onProgress: (step, of) => this.#tell(loading, { step, of }),
    });
    this.endPhase();
    if (waiting) waiting.since = performance.now();
    this.#current = waiting;
    this.check();
  }

  /** A compiled program of a network that is then on the device. */
  async program<T>(
    network: Network<unknown>,
    key: string,
    keep: number,
    record: Recording<T>,
  ): Promise<DeviceProgram<T>> {
    await this.use(network);
    return network.program(key, this.#offload ? 1 : keep, record);
  }

  /** A program for one use: recorded, compiled, run, its result read, disposed. */
  once(label: string, record: Recording<DeviceTensor>): Promise<NdArray> {
    return runOnce(this.memory, label, record, () => this.check());
  }

  /** Operations that change tensors, for one use: recorded, compiled, submitted, disposed. */
  async effect(label: string, record: (graph: Graph, scope: TensorScope) => void): Promise<void> {
    const program = await DeviceProgram.compile(this.memory, label, record, () => this.check());
    try {
      await program.run(this);
    } finally {
      program.dispose();
    }
  }

  /**
   * What a network makes of one tensor: written, run, read.
   * @throws NumericsError for a result that is not finite
   */
  async evaluate(
    network: Network<unknown>,
    key: string,
    keep: number,
    input: NetworkInput,
    forward: (x: Tensor) => Tensor,
  ): Promise<NdArray> {
    const program = await this.program(network, key, keep, (graph, scope) => {
      const x = scope.tensor(input.shape, input.dtype, `${key} input`);
      return { x, y: scope.store(graph, forward(graph.input(x)), `${key} output`) };
    });
    const { x, y } = program.io;
    x.write(input.data);
    await program.run(this);
    const data = await y.read();
    checkFinite(data, this.#current?.name ?? key, this.memory.dtype);
    return { data, shape: y.shape };
  }

  /** Ends the last phase and frees the call's tensors. */
  close(): void {
    this.endPhase();
    this.memory.onCompile = undefined;
    this.#scope.dispose();
  }
}

/** Values on the host as an NdArray. */
export function asArray(data: Float32Array, shape: readonly number[]): NdArray {
  return { data, shape };
}

/** The same values in memory of their own. */
export function copyOf(array: NdArray): NdArray {
  return { ...array, data: array.data.slice() };
}

/**
 * What a call keeps on the host, so that a lost device takes little with it: results of phases that ended, and of a loop that runs
 * the state behind a step, every few steps. A call that is made again finds it here and goes on behind it.
 */
import type { DeviceTensor } from '../../tensor/device-tensor.ts';
import { copyToHost, type Entries, fromHost, type HostBytes, HostCopy } from '../../tensor/host-copy.ts';
import type { TensorScope } from './device-memory.ts';

/** A random stream that can draw again what it drew. */
export interface Rewindable<S = unknown> {
  /** Everything that decides its future draws. */
  getState(): S;
  /** Goes back there. */
  setState(state: S): void;
}

/** One stream, or several; none where a phase draws nothing. */
export type Streams = Rewindable | readonly (Rewindable | undefined)[] | undefined;

/** A tensor as it lies on the device, on the host. */
interface KeptTensor extends Pick<DeviceTensor, 'shape' | 'dtype'> {
  readonly label: string;
  readonly bytes: HostBytes;
}

/** The tensor that a loop changes, and what more it needs to go on. */
export interface LoopState {
  /** Changed by every step. */
  readonly tensor: DeviceTensor;
  /** Which entries steps [from, to) have changed; default all. */
  readonly entries?: (from: number, to: number) => Entries;
  /** Called once the tensor is as it was behind `step` steps; for what follows from it. */
  readonly resumed?: (step: number) => void;
}

/** A call's memory of what is done. */
export class KeptPhases {
  /** Steps from one copy to the next; 0 where nothing is kept. */
  readonly every: number;
  /** Devices lost one after another without a new step or phase. */
  losses = 0;
  readonly #phases = new Map<string, KeptPhase>();
  readonly #values = new Map<string, unknown>();

  constructor(every: number) {
    this.every = every;
  }

  /** A phase; its random streams stand where they stood when it began. */
  phase(name: string, streams?: Streams): KeptPhase {
    const known = this.#phases.get(name);
    if (known) {
      known.rewind();
      return known;
    }
    const made = new KeptPhase(this, [streams].flat());
    if (this.every > 0) this.#phases.set(name, made);
    return made;
  }

  /** A result on the host, made once; a loss before its end makes it again. */
  async *once<S, T>(name: string, make: () => AsyncGenerator<S, T>): AsyncGenerator<S, T> {
    if (this.#values.has(name)) return this.#values.get(name) as T;
    const made = yield* make();
    this.#set(name, made);
    return made;
  }

  /**
   * Tensors that were made once, each time in the scope's memory.
   * @param home.most entries that are copied at once; default all
   */
  async *tensors<S, K extends string>(
    name: string,
    { scope, most }: { readonly scope: TensorScope; readonly most?: number },
    make: () => AsyncGenerator<S, Readonly<Record<K, DeviceTensor | undefined>>>,
  ): AsyncGenerator<S, Readonly<Record<K, DeviceTensor | undefined>>> {
    const kept = this.#values.get(name) as readonly (readonly [K, KeptTensor | undefined])[] | undefined;
    if (kept) return mapped(kept, one => one && restored(scope, one));
    const made = yield* make();
    if (this.every === 0) return made;
    const copies: [K, KeptTensor | undefined][] = [];
    for (const [key, tensor] of Object.entries(made) as [K, DeviceTensor | undefined][]) {
      if (tensor === undefined) copies.push([key, undefined]);
      else {
        const { shape, dtype } = tensor;
        copies.push([key, { shape, dtype, label: `${name} ${key}`, bytes: await copyToHost(tensor, most) }]);
      }
    }
    this.#set(name, copies);
    return made;
  }

  #set(name: string, value: unknown): void {
    if (this.every === 0) return;
    this.#values.set(name, value);
    this.losses = 0;
  }
}

function mapped<K extends string, A, B>(
  entries: readonly (readonly [K, A])[],
  make: (value: A) => B,
): Readonly<Record<K, B>> {
  return Object.fromEntries(entries.map(([key, value]) => [key, make(value)])) as Record<K, B>;
}

function restored(scope: TensorScope, { shape, dtype, label, bytes }: KeptTensor): DeviceTensor {
  const tensor = scope.tensor(shape, dtype, label);
  fromHost(tensor, bytes);
  return tensor;
}

/** How far a phase's loop is, and what is kept of it. */
export class KeptPhase {
  /** Steps whose outcome is on the host: the loop goes on behind them. */
  step = 0;
  /** Steps that a callback was told of. */
  called = 0;
  /** Steps that the iterator has yielded. */
  yielded = 0;
  /** Of a loop on the host: its state behind `step`. */
  held: unknown;
  #reported = 0;
  readonly #call: KeptPhases;
  readonly #streams: readonly Rewindable[];
  /** Of the streams as the phase began, and behind `step` steps. */
  readonly #start: readonly unknown[];
  #states: readonly unknown[];
  #bytes: HostBytes | undefined;

  constructor(call: KeptPhases, streams: readonly (Rewindable | undefined)[]) {
    this.#call = call;
    this.#streams = [...new Set(streams)].filter(stream => stream !== undefined);
    this.#start = this.#statesNow();
    this.#states = this.#start;
  }

  /** Takes the streams back to where they were when the phase began. */
  rewind(): void {
    this.#setStreams(this.#start);
  }

  /** Takes the streams to where they were behind `step` steps. @returns `step` */
  resume(): number {
    if (this.step > 0) this.#setStreams(this.#states);
    return this.step;
  }

  /** Whether `done` steps are more than ever before; then losses before it count no longer. */
  isNew(done: number): boolean {
    if (done <= this.#reported) return false;
    this.#reported = done;
    this.#call.losses = 0;
    return true;
  }

  /** Keeps the state of a loop on the host; `held` must not be changed afterwards. */
  hold(step: number, held: unknown): void {
    if (this.#call.every === 0) return;
    [this.step, this.held, this.#states] = [step, held, this.#statesNow()];
  }

  /** Gives the tensor what is kept of it, and watches it. `of`: steps of the loop. */
  watch(state: LoopState, of: number): LoopWatch | undefined {
    if (this.step > 0 && this.#bytes) {
      fromHost(state.tensor, this.#bytes);
      state.resumed?.(this.step);
    }
    const { every } = this.#call;
    if (every === 0 || of <= every) return undefined;
    const all = { from: 0, count: state.tensor.shape[0] ?? 1 };
    const { entries = () => all } = state;
    const copy = new HostCopy(state.tensor, entries(0, every).count);
    let taken = this.step;
    return {
      after: async step => {
        if (step - taken < every || step === of) return;
        const states = this.#statesNow();
        const next = entries(taken, step);
        taken = step;
        await copy.take(next, (bytes, at) => {
          this.#bytes ??= new Uint8Array(state.tensor.slice.size);
          this.#bytes.set(bytes, at);
          [this.step, this.#states] = [step, states];
        });
      },
      dispose: () => copy.dispose(),
    };
  }

  #setStreams(states: readonly unknown[]): void {
    for (const [i, stream] of this.#streams.entries()) stream.setState(states[i]);
  }

  #statesNow(): unknown[] {
    return this.#streams.map(stream => stream.getState());
  }
}

/** Copies of what a loop changes, taken as it goes. */
export interface LoopWatch {
  /** Behind so many steps: takes a copy where one is due, and does not wait for it. */
  after(step: number): Promise<void>;
  /** Ends it. */
  dispose(): void;
}

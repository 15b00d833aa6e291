/** One call on a pipeline: its signal, its progress, its tensors, and the right to the device. */

import { DeviceError } from '../../core/errors.ts';
import type { NdArray } from '../../core/ndarray.ts';
import type { AbortSignalLike } from '../../core/platform.ts';
import type { Gpu } from '../../gpu/device.ts';
import { Graph } from '../../tensor/graph.ts';
import type { Plan } from '../../tensor/plan.ts';
import type { Phase, ProgressEvent } from '../diffedit/types.ts';
import { type Component, type Memory, type Program, Scope } from './network.ts';

export interface SessionHome {
  readonly gpu: Gpu;
  readonly memory: Memory;
  readonly dtype: 'float32' | 'float16';
  /** Only one component on the device at a time. */
  readonly offload: boolean;
  readonly components: readonly Component<unknown>[];
  /** Whether the pipeline was disposed. */
  readonly disposed: () => boolean;
}

export interface SessionOptions {
  readonly signal?: AbortSignalLike | undefined;
  readonly onProgress?: ((event: ProgressEvent) => void) | undefined;
}

/** A phase's own time: it stands still while weights are loaded. */
interface Clock {
  readonly name: Phase;
  /** Milliseconds up to the last stop. */
  ms: number;
  since: number;
}

/** Reports the pieces of one phase. */
export interface PhaseReport {
  /** `step` pieces are done. */
  done(step: number, timestep?: number): void;
}

/** What every phase of a call needs. `close` frees whatever the call allocated. */
export class Session {
  readonly home: SessionHome;
  /** Tensors of this call. */
  readonly scope: Scope;
  /** Milliseconds spent in each phase so far. */
  readonly timings: Partial<Record<Phase, number>> = {};
  readonly #options: SessionOptions;
  #current: Clock | undefined;

  constructor(home: SessionHome, options: SessionOptions) {
    this.home = home;
    this.#options = options;
    this.scope = new Scope(home.gpu, home.memory);
  }

  /** Throws the signal's reason once the caller has given up, and a DeviceError once the pipeline was disposed. */
  check(): void {
    this.#options.signal?.throwIfAborted();
    if (!this.home.disposed()) return;
    throw new DeviceError({
      op: 'DiffEditPipeline',
      problem: 'the pipeline was disposed during a call',
      fix: 'Abort the call by its signal and await it first.',
    });
  }

  /** Begins a phase; the one before ends. */
  phase(name: Phase, of: number): PhaseReport {
    this.check();
    this.endPhase();
    const clock = this.#begin(name);
    return {
      done: (step, timestep) => this.#tell(clock, { step, of, ...(timestep === undefined ? {} : { timestep }) }),
    };
  }

  /** Ends the current phase, for its timing. */
  endPhase(): void {
    if (!this.#current) return;
    const { name } = this.#current;
    this.timings[name] = (this.timings[name] ?? 0) + this.#elapsed(this.#current);
    this.#current = undefined;
  }

  #begin(name: Phase): Clock {
    this.#current = { name, ms: 0, since: performance.now() };
    return this.#current;
  }

  #elapsed(clock: Clock): number {
    return clock.ms + (clock === this.#current ? performance.now() - clock.since : 0);
  }

  #tell(clock: Clock, piece: Pick<ProgressEvent, 'step' | 'of' | 'timestep'>): void {
    const { bytes } = this.home.memory;
    this.#options.onProgress?.({ phase: clock.name, ...piece, ms: this.#elapsed(clock), bytes });
  }

  /** Brings a component to the device; with offload the others leave it first. */
  async use(component: Component<unknown>): Promise<void> {
    this.check();
    for (const other of this.home.components) {
      if (other === component) continue;
      // Plans hold activations: never more than one network's at a time.
      if (this.home.offload) other.unload();
      else other.rest();
    }
    if (component.loaded) return;
    const waiting = this.#current;
    if (waiting) waiting.ms = this.#elapsed(waiting);
    const loading = this.#begin('load');
    await component.load({
      signal: this.#options.signal,
      onProgress: (step, of) => this.#tell(loading, { step, of }),
    });
    this.endPhase();
    if (waiting) waiting.since = performance.now();
    this.#current = waiting;
    this.check();
  }

  /** A compiled program of a component that is then on the device. */
  async program<T>(
    component: Component<unknown>,
    key: string,
    keep: number,
    record: (graph: Graph, scope: Scope) => T,
  ): Promise<Program<T>> {
    await this.use(component);
    const { gpu, dtype, offload } = this.home;
    return component.program(key, offload ? 1 : keep, record, () => new Graph(gpu, { dtype }));
  }

  /** A plan for one use; the caller disposes it. */
  async once(label: string, record: (graph: Graph) => void): Promise<Plan> {
    const graph = new Graph(this.home.gpu, { dtype: this.home.dtype });
    record(graph);
    const plan = await graph.compile({ label });
    try {
      this.check();
      return plan;
    } catch (error) {
      plan.dispose();
      throw error;
    }
  }

  /** Ends the last phase and frees the call's tensors; with offload everything leaves the device. */
  close(): void {
    this.endPhase();
    this.scope.dispose();
    if (this.home.offload) for (const component of this.home.components) component.unload();
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

/** What the text models share around their work: opening, loading, one call at a time, offloading, the end. */

import { DeviceError, InputError } from '../../core/errors.ts';
import type { AbortSignalLike } from '../../core/platform.ts';
import type { TensorSource } from '../../core/tensor-source.ts';
import { Gpu } from '../../gpu/device.ts';
import type { Weights } from '../../nn/weights.ts';
import type { ProgressEvent } from '../diffedit/types.ts';
import { Component, Memory } from './network.ts';

/** Options of `fromPretrained` that ask nothing of the model itself. */
export interface ShellOptions {
  readonly gpu?: Gpu | undefined;
  readonly dtype?: 'float32' | 'float16' | undefined;
  readonly onProgress?: ((event: ProgressEvent) => void) | undefined;
  readonly signal?: AbortSignalLike | undefined;
  readonly modelCpuOffload?: boolean | undefined;
}

/** How messages and plans call the model. */
export interface ShellNames {
  /** The class. */
  readonly op: string;
  /** What it is, such as 'captioner'. */
  readonly noun: string;
  /** Of its weights, such as 'blip'. */
  readonly component: string;
}

/** A model before its weights are on a device. */
export interface OpenedModel<M> {
  readonly model: M;
  readonly weights: Weights;
  readonly source: TensorSource;
}

/** Encoded inputs on the device; `key` tells shapes apart. */
interface Context {
  readonly key: string;
  dispose(): void;
}

/** Where contexts live. */
export interface ShellHome<M> {
  readonly gpu: Gpu;
  readonly memory: Memory;
  readonly dtype: 'float32' | 'float16';
  readonly model: M;
}

/** One model M and the inputs C that it encoded last. */
export class ModelShell<M, C extends Context> {
  readonly home: ShellHome<M>;
  readonly #names: ShellNames;
  readonly #source: TensorSource;
  readonly #options: ShellOptions;
  readonly #component: Component<M>;
  #context: C | undefined;
  #busy = false;
  #disposed = false;

  private constructor(names: ShellNames, gpu: Gpu, opened: OpenedModel<M>, options: ShellOptions) {
    const { model, weights, source } = opened;
    const home = { gpu, memory: new Memory(), dtype: options.dtype ?? 'float32' };
    this.home = { ...home, model };
    this.#names = names;
    this.#source = source;
    this.#options = options;
    this.#component = new Component(names.component, model, weights, home);
  }

  /**
   * Opens a model and, unless offloading is asked for, brings its weights to the device. What was opened is closed again
   * where that fails.
   * @throws InputError for an unknown dtype; whatever `open` throws; DeviceError; the signal's reason
   */
  static async open<M, C extends Context, O extends OpenedModel<M>>(
    names: ShellNames,
    options: ShellOptions,
    open: () => Promise<O>,
  ): Promise<{ readonly shell: ModelShell<M, C>; readonly opened: O }> {
    const { dtype = 'float32', signal } = options;
    if (dtype !== 'float32' && dtype !== 'float16') {
      const [op, expected] = [`${names.op}.fromPretrained`, 'float32 or float16'];
      throw new InputError({ op, problem: 'unknown dtype', expected, received: dtype, path: 'dtype' });
    }
    signal?.throwIfAborted();
    const opened = await open();
    let shell: ModelShell<M, C> | undefined;
    try {
      shell = new ModelShell<M, C>(names, options.gpu ?? (await Gpu.request()), opened, options);
      if (!options.modelCpuOffload) await shell.#load(signal);
      return { shell, opened };
    } catch (error) {
      if (shell) shell.dispose();
      else await opened.source.close?.();
      throw error;
    }
  }

  /**
   * One call at a time, with the weights on the device.
   * @throws DeviceError for a busy or disposed model, also for one that is disposed meanwhile; the signal's reason
   */
  async run<T>(signal: AbortSignalLike | undefined, work: () => Promise<T>): Promise<T> {
    this.check();
    if (this.#busy) throw this.#isBusy();
    this.#busy = true;
    try {
      signal?.throwIfAborted();
      await this.#load(signal);
      this.check();
      const result = await work();
      this.check();
      return result;
    } catch (error) {
      // What fails for want of the weights fails for the disposal.
      if (this.#disposed && !signal?.aborted) throw this.#wasDisposed(error);
      throw error;
    } finally {
      this.#busy = false;
      if (this.#options.modelCpuOffload || this.#disposed) this.#release();
    }
  }

  /** The context under `key`, kept from call to call; one of another key is freed first. */
  async context(key: string, make: (home: ShellHome<M>) => Promise<C>): Promise<C> {
    if (this.#context?.key === key) return this.#context;
    if (this.#context) this.#component.detach(this.#context);
    this.#context = undefined;
    const made = await make(this.home);
    this.#component.attach(made);
    this.#context = made;
    this.check();
    return made;
  }

  /** @throws DeviceError for a lost device or a disposed model */
  check(): void {
    if (this.#disposed) throw this.#wasDisposed();
    this.home.gpu.check(this.#names.op);
  }

  /**
   * Takes everything off the device; the next call loads it again.
   * @throws DeviceError while a call is running
   */
  unload(): void {
    if (this.#busy) throw this.#isBusy();
    this.#release();
  }

  /** Frees everything on the device and closes the files. A call that runs ends with an error. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#release();
    void this.#source.close?.();
    if (this.#options.gpu === undefined) this.home.gpu.dispose();
  }

  async #load(signal: AbortSignalLike | undefined): Promise<void> {
    const start = performance.now();
    await this.#component.load({
      signal,
      onProgress: (step, of) => {
        const { bytes } = this.home.memory;
        this.#options.onProgress?.({ phase: 'load', step, of, ms: performance.now() - start, bytes });
      },
    });
  }

  #release(): void {
    this.#context = undefined;
    this.#component.unload();
  }

  #isBusy(): DeviceError {
    const { op, noun } = this.#names;
    const fix = `Await the other call, abort it by its signal, or open a second ${noun} on the same device.`;
    return new DeviceError({ op, problem: `the ${noun} is busy`, expected: 'one call at a time', fix });
  }

  #wasDisposed(cause?: unknown): DeviceError {
    const { op, noun } = this.#names;
    const fix = 'Open it again with fromPretrained().';
    return new DeviceError({ op, problem: `the ${noun} was disposed`, fix, cause });
  }
}

/**
 * A model on a device, whatever it is made of: several networks, one call at a time, offloading, progress, the end. Pipelines
 * and language models hold one and add what is theirs.
 */

import { DeviceError } from '../../core/errors.ts';
import { checkByName, checkSignal } from '../../core/known-names.ts';
import { PaceMeter } from '../../core/pace.ts';
import type { AbortSignalLike } from '../../core/platform.ts';
import type { Caps } from '../../gpu/caps.ts';
import { Gpu } from '../../gpu/device.ts';
import type { StreamLimits } from '../../tensor/streamed-weights.ts';
import { DeviceCall } from './device-call.ts';
import { DeviceMemory } from './device-memory.ts';
import { type DeviceLossEvent, type ReadableStep, recovering, recoveryOf } from './device-recovery.ts';
import { drain, withoutSteps } from './drain.ts';
import { type DryCall, DryModel, sameLimits } from './dry-model.ts';
import { LossWatch } from './loss-watch.ts';
import type { CallPlan } from './memory-plan.ts';
import { checkOptions, type DeviceModelNames, type DeviceModelOptions, warner } from './model-options.ts';
import { Network, type Networks, type OpenedNetwork, type OpenedNetworks } from './network.ts';
import type { CallOptions } from './progress.ts';

/** The networks of a model, M by name, and the device that they run on. */
export class DeviceModel<M> {
  /** Freed by `dispose` where none was given. */
  readonly gpu: Gpu;
  /** Counts what all networks and calls hold. */
  readonly memory: DeviceMemory;
  /** By the names that `open` gave them. */
  readonly networks: Networks<M>;
  readonly #names: DeviceModelNames;
  readonly #options: DeviceModelOptions;
  readonly #opened: readonly OpenedNetwork<unknown>[];
  readonly #all: readonly Network<unknown>[];
  readonly #losses: LossWatch;
  #offload: boolean;
  #dry: DryModel<M> | undefined;
  /** The method that runs. */
  #running: string | undefined;
  #call: DeviceCall | undefined;
  /** Weights come to the device as the model is opened. */
  #opening = false;
  #disposed = false;

  private constructor(names: DeviceModelNames, gpu: Gpu, opened: OpenedNetworks<M>, options: DeviceModelOptions) {
    this.gpu = gpu;
    this.memory = new DeviceMemory(gpu, options.dtype);
    this.#names = names;
    this.#options = options;
    this.#offload = options.modelCpuOffload ?? false;
    const recovery = recoveryOf(`${names.op}.fromPretrained`, options.deviceRecovery);
    this.#losses = new LossWatch({
      ...{ op: names.op, gpu, recovery, tell: event => this.#tell(event) },
      now: () => (this.#opening ? { phase: 'load' } : this.#call !== undefined && { phase: this.#call.current }),
    });
    const entries = Object.entries<OpenedNetwork<unknown>>(opened);
    this.#opened = entries.map(([, network]) => network);
    this.#all = this.#opened.map(network => new Network(network, this.memory));
    for (const network of this.#all) this.stream(network, undefined);
    this.networks = Object.fromEntries(entries.map(([key], i) => [key, this.#all[i]])) as unknown as Networks<M>;
  }

  /** Host bytes of weights: copies, and what is read into while they stream. */
  get hostBytes(): number {
    return this.#all.reduce((sum, network) => sum + network.hostBytes, 0);
  }

  /**
   * Lets the weights of a network pass through the device whenever they are used, or keeps them there whole again. It leaves the
   * device, unless they are kept so already; the next call brings it. The results are the same bit for bit.
   * @param limits undefined keeps the weights whole
   * @param offload whether they come to the device again and again, so that the host keeps a copy where it may
   */
  stream(network: Network<unknown>, limits: StreamLimits | undefined, offload: boolean = this.#offload): void {
    const hostMemory = this.#options.hostMemory === true && (offload || limits !== undefined);
    const { keeping } = network;
    if (sameLimits(limits, keeping.stream) && hostMemory === (keeping.hostMemory ?? false)) return;
    network.keep({ stream: limits, hostMemory });
  }

  /**
   * Opens a model and, unless offloading or loading when needed is asked for, brings its weights to the device. What was opened is closed again
   * where that fails.
   * @param prepare adapts networks before their weights are read
   * @throws InputError for unknown names or an unknown dtype, or bytes that are no count; whatever `open` and `prepare` throw; DeviceError; the signal's reason
   */
  static async open<M, O extends { readonly networks: OpenedNetworks<M> }>(
    names: DeviceModelNames,
    options: DeviceModelOptions,
    open: () => Promise<O>,
    prepare: (networks: Networks<M>, opened: O, device: DeviceModel<M>) => Promise<void> = async () => {},
  ): Promise<{ readonly device: DeviceModel<M>; readonly opened: O }> {
    checkOptions(names, options);
    const opened = await open();
    let device: DeviceModel<M> | undefined;
    try {
      device = new DeviceModel<M>(names, options.gpu ?? (await Gpu.request()), opened.networks, options);
      await device.#ready(options.signal);
      await prepare(device.networks, opened, device);
      if (!options.modelCpuOffload && !options.loadWhenNeeded) await device.#loadAll();
      options.signal?.throwIfAborted();
      return { device, opened };
    } catch (error) {
      if (device) device.dispose();
      else await closeAll(Object.values(opened.networks));
      throw error;
    }
  }

  /**
   * Runs a call that yields as it goes, and frees what it allocated however it ends.
   * @param op the method, for messages
   * @throws DeviceError for a busy or disposed model, also for one that is disposed meanwhile; the signal's reason
   */
  async *steps<S extends ReadableStep, T>(
    op: string,
    options: CallOptions,
    work: (call: DeviceCall) => AsyncGenerator<S, T>,
  ): AsyncGenerator<S, T> {
    const call = this.#begin(op, options);
    try {
      call.check();
      await this.#ready(options.signal);
      const result = yield* recovering(
        () => work(call),
        error => this.#recover(op, call, error),
      );
      call.check();
      this.#losses.throwHeard();
      return result;
    } catch (error) {
      throw this.#reason(error, options.signal);
    } finally {
      this.#end(call);
    }
  }

  /** The same for a call that yields nothing: where the device is lost it begins again. */
  async call<T>(op: string, options: CallOptions, work: (call: DeviceCall) => Promise<T>): Promise<T> {
    return drain(this.steps(op, options, call => withoutSteps(() => work(call))));
  }

  /** Sees to it that there is a device, and nothing of a former one. @throws DeviceLostError; the signal's reason */
  async #ready(signal: AbortSignalLike | undefined): Promise<void> {
    if (await this.#losses.ready(signal)) this.#release();
  }

  /**
   * Makes everything ready for doing the work of a call again, if it failed for the loss of its device.
   * @throws the error itself where there is another reason; DeviceLostError where no device lasts
   */
  async #recover(op: string, call: DeviceCall, error: unknown): Promise<void> {
    if (this.#disposed) throw error;
    const { signal, current, kept } = call;
    await this.#losses.check(op, error, { signal, phase: current, count: () => ++kept.losses });
    call.restart();
    this.#release();
    await this.#ready(signal);
    call.check();
  }

  #tell(event: DeviceLossEvent): void {
    const { onDeviceLoss } = this.#options;
    const { state, reason, message } = event;
    const said =
      state === 'lost' ? `the device was lost (${reason}: ${message})` : 'another device has taken its place';
    if (onDeviceLoss) onDeviceLoss(event);
    else warner(this.#options)(`${this.#names.op}: ${said}`);
  }

  /** Whether calls keep one network on the device at a time. */
  get offload(): boolean {
    return this.#offload;
  }

  /**
   * What a call would take as things are: makes it on networks of the same shapes on a device that runs nothing. Programs that
   * earlier calls left do not count.
   * @param work the call itself, on these networks
   * @param how.caps of the device that it would run on; default this one's
   * @param how.offload default as `enableModelCpuOffload` says
   * @throws DeviceError for what such a device refuses, and for a disposed model; whatever `work` throws
   */
  async plan(
    work: (call: DeviceCall, networks: Networks<M>) => AsyncGenerator<unknown, unknown>,
    how: Partial<Omit<DryCall, 'stagingBytes'>> & { readonly caps?: Caps | undefined },
  ): Promise<CallPlan> {
    this.checkOpen('plan');
    const { caps = this.gpu.caps, offload = this.#offload, ...rest } = how;
    if (!this.#dry?.fits(this.networks, caps)) {
      const { choices: tuning } = this.gpu;
      this.#dry = new DryModel(this.networks, caps, { dtype: this.memory.dtype, tuning });
    }
    const { stagingBytes, hostMemory } = this.#options;
    const { keepEvery } = this.#losses;
    return this.#dry.plan(work, { signal: undefined, hostMemory, ...rest, offload, stagingBytes, keepEvery });
  }

  /** Takes everything off the device for a call that begins with nothing there. */
  clear(): void {
    this.#release();
  }

  /** Frees the programs that earlier calls left; weights stay. */
  rest(): void {
    for (const network of this.#all) network.rest();
  }

  /** Keeps one network on the device at a time, for the length of its work; weights stream from their files again. */
  enableModelCpuOffload(): void {
    this.checkIdle('enableModelCpuOffload');
    this.#offload = true;
    this.#release();
    for (const network of this.#all) this.stream(network, network.keeping.stream);
  }

  /**
   * Takes everything off the device; the next call loads it again.
   * @throws DeviceError while a call is running
   */
  unload(): void {
    if (this.#running) throw this.#isBusy('unload', this.#running);
    this.#release();
  }

  /** Frees everything on the device and closes the files. A call that runs ends with an error. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#losses.end();
    for (const network of this.#all) network.dispose();
    void closeAll(this.#opened);
    if (this.#options.gpu === undefined) this.gpu.dispose();
  }

  #begin(op: string, options: CallOptions): DeviceCall {
    this.checkIdle(op);
    checkByName(op, options);
    checkSignal(op, options.signal);
    const call = new DeviceCall(
      {
        memory: this.memory,
        networks: this.#all,
        stagingBytes: this.#options.stagingBytes,
        offload: this.#offload,
        keepEvery: this.#losses.keepEvery,
        checkDisposed: () => {
          if (this.#disposed) throw this.#wasDisposed();
        },
      },
      { signal: options.signal, onProgress: options.onProgress ?? this.#options.onProgress },
    );
    this.#call = call;
    this.#running = op; // last: what failed before has begun nothing that would have to end
    return call;
  }

  #end(call: DeviceCall): void {
    call.close();
    [this.#running, this.#call] = [undefined, undefined];
    if (call.offload || this.#disposed) this.#release();
  }

  /** What fails on freed memory and closed files failed for the disposal. */
  #reason(error: unknown, signal: AbortSignalLike | undefined): unknown {
    if (!this.#disposed) return error;
    return signal?.aborted ? signal.reason : this.#wasDisposed(error);
  }

  /** As the model is opened. Where the device is lost meanwhile another one gets them, all of them. */
  async #loadAll(): Promise<void> {
    const { signal } = this.#options;
    const op = `${this.#names.op}.fromPretrained`;
    let losses = 0;
    this.#opening = true;
    try {
      for (;;) {
        try {
          await this.#load();
          return this.#losses.throwHeard();
        } catch (error) {
          await this.#losses.check(op, error, { signal, phase: 'load', count: () => ++losses });
          this.#release();
          await this.#ready(signal);
        }
      }
    } finally {
      this.#opening = false;
    }
  }

  async #load(): Promise<void> {
    const { signal, onProgress, stagingBytes } = this.#options;
    const start = performance.now();
    const of = this.#all.reduce((sum, network) => sum + network.bytesToRead, 0);
    const pace = new PaceMeter();
    let before = 0;
    for (const network of this.#all) {
      const report = (done: number): void => {
        const [ms, step] = [performance.now() - start, before + done];
        onProgress?.({ phase: 'load', step, of, ms, bytes: this.memory.bytes, ...pace.at(ms, step, of) });
      };
      if (before === 0) report(0);
      await network.load({ signal, stagingBytes, onProgress: report });
      before += network.bytesToRead;
      report(0);
    }
  }

  #release(): void {
    for (const network of this.#all) network.unload();
  }

  /**
   * For what must not happen during a call.
   * @throws DeviceError for a busy or disposed model, or a lost device
   */
  checkIdle(op: string): void {
    if (!this.#losses.isMended) this.gpu.check(op); // a lost one is renewed by the call
    this.checkOpen(op);
    if (this.#running) throw this.#isBusy(op, this.#running);
  }

  /** For what may be done during a call. @throws DeviceError for a disposed model */
  checkOpen(op: string): void {
    if (!this.#disposed) return;
    const problem = `the ${this.#names.noun} was disposed`;
    throw new DeviceError({ op, problem, fix: 'Open it again with fromPretrained().' });
  }

  #isBusy(op: string, running: string): DeviceError {
    const { noun } = this.#names;
    return new DeviceError({
      op,
      problem: `the ${noun} is busy`,
      expected: 'one call at a time',
      received: `${running} is still running`,
      fix: `Await the other call, abort it by its signal, or open a second ${noun} on the same device.`,
    });
  }

  #wasDisposed(cause?: unknown): DeviceError {
    const { op, noun } = this.#names;
    return new DeviceError({
      op,
      problem: `the ${noun} was disposed during a call`,
      fix: 'Abort the call by its signal and await it first.',
      cause,
    });
  }
}

async function closeAll(opened: readonly OpenedNetwork<unknown>[]): Promise<void> {
  await Promise.all(opened.map(({ source }) => source.close?.()));
}

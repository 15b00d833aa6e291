/**
 * The device: what it can do, its pipelines, its memory, its errors and its end. How one is asked for is in grant.ts.
 * Buffers and dispatches live in kernels/; this file knows nothing of tensors.
 */

import { DeviceError, InputError } from '../core/errors.ts';
import { checkNames, namesOf } from '../core/known-names.ts';
import { loadPart } from '../core/load-part.ts';
import type { Caps } from './caps.ts';
import { type DeviceLoss, DeviceLostError } from './device-lost.ts';
import type { DeviceTuning, DeviceTuningTable } from './device-tuning.ts';
import { DEFAULT_CAPS, type DryObserver, dryDevice } from './dry-device.ts';
import { capsOf, type GpuOptions, grantDevice, NAMELESS } from './grant.ts';
import { HeldMemory, isOutOfMemory, type Made } from './held-memory.ts';
import { PipelineCache } from './pipelines.ts';
import type { WebGpuDevice } from './webgpu-types.ts';

export type { GpuOptions, OptionalFeature } from './grant.ts';

const OPTIONS = namesOf<GpuOptions>({
  ...{ software: 1 },
  ...{ gpu: 1, device: 1, powerPreference: 1, forceFallbackAdapter: 1, adapterName: 1, bare: 1, without: 1 },
  ...{ maxBindingBytes: 1, maxBufferBytes: 1, half: 1, matrixUnits: 1, availableBytes: 1, trusted: 1 },
  ...{ tuning: 1 },
});

const DRY_OPTIONS = namesOf<DryOptions>({ tuning: 1 });

/** Less is not worth a submission. */
const RECLAIMED_BYTES = 2 ** 24;
/** On a device that runs nothing: steps between two moments in which others are heard. */
const IDLES_UNHEARD = 64;
const UNSEEN: DryObserver = { created() {}, destroyed() {}, bound() {} };

/** Errors of a loss may come before its news, by so many milliseconds. */
const NEWS_MS = 20;

/** A device, and what is known and kept of it. */
interface Granted {
  readonly device: GPUDevice;
  readonly caps: Caps;
  readonly pipelines: PipelineCache;
  readonly memory: HeldMemory;
}

/** How a Gpu is made, and made again. */
interface Making extends Pick<GpuOptions, 'availableBytes'> {
  readonly owned: boolean;
  readonly dry?: boolean;
  /** Asks for another device like it; absent where that is the caller's affair. */
  readonly again?: () => Promise<Pick<Granted, 'device' | 'caps'>>;
  readonly tuned?: Tuned | undefined;
}

/** A tuning as it was given, and as kernels are chosen by it. */
interface Tuned {
  readonly given: DeviceTuning | DeviceTuningTable;
  readonly choices: DeviceTuning;
}

/** What a dry device is told beside its capabilities. */
export interface DryOptions {
  /** As for `Gpu.request`, but choices alone: they are checked by the first plan. */
  readonly tuning?: DeviceTuning | undefined;
}

/** A granted WebGPU device with its capabilities and its pipeline cache. */
export class Gpu {
  /** Whether it runs nothing: then values need not be made for it, and what is read back is zeros. */
  readonly dry: boolean;
  /**
   * The tuning that it was requested with, as it was then; undefined for none. Whatever names no tuning of its own has its kernels chosen
   * by it.
   */
  readonly tuning: DeviceTuning | DeviceTuningTable | undefined;
  /** @internal The same, checked: by it kernels are chosen. */
  readonly choices: DeviceTuning | undefined;
  readonly #making: Making;
  /** Not #private: tests show a device with other capabilities by Object.create. */
  private granted: Granted;
  #lost: DeviceLoss | undefined;
  #renewals = 0;
  #renewing: Promise<void> | undefined;
  readonly #lossListeners = new Set<(loss: DeviceLoss) => void>();
  /** The first error that no scope caught: memory refused for a tensor, a submission on destroyed buffers. */
  #uncaught: { readonly error: GPUError; readonly made: Made } | undefined;
  #disposed = false;
  /** Works that write into mapped memory now. */
  #keepers = 0;
  /** Calls of `idle` on a device that runs nothing. */
  #idled = 0;

  private constructor(device: GPUDevice, caps: Caps, making: Making) {
    this.dry = making.dry ?? false;
    this.tuning = making.tuned?.given;
    this.choices = making.tuned?.choices;
    this.#making = making;
    this.granted = this.#take(device, caps);
  }

  #take(device: GPUDevice, caps: Caps): Granted {
    const { owned, availableBytes } = this.#making;
    const memory = new HeldMemory(device, caps.software && !this.dry ? availableBytes : undefined);
    void device.lost.then(({ reason, message }) => {
      if (this.#disposed || device !== this.device) return;
      this.#lost = { reason, message, losses: 0 };
      this.#tellLoss(this.#lost);
    });
    // On a device of the caller's, errors may be the caller's own.
    if (owned) device.addEventListener('uncapturederror', event => device === this.device && this.#notice(event));
    return { device, caps, pipelines: new PipelineCache(device), memory };
  }

  /** All hear of it, whatever one of them throws; that is reported then, as of any listener. */
  #tellLoss(loss: DeviceLoss): void {
    for (const listen of this.#lossListeners) {
      try {
        listen(loss);
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }

  /** WebGPU's own device, for buffers and passes of the caller's; another one once a lost device was renewed. */
  get device(): WebGpuDevice {
    return this.granted.device;
  }

  /** What the device grants and how its memory is used. */
  get caps(): Caps {
    return this.granted.caps;
  }

  /** @internal */
  get pipelines(): PipelineCache {
    return this.granted.pipelines;
  }

  /** @internal The library's buffers on it. */
  get memory(): HeldMemory {
    return this.granted.memory;
  }

  /** How often a lost device was renewed: what was made before the last time is gone. */
  get renewals(): number {
    return this.#renewals;
  }

  /** Why the device is gone; undefined while it is there. */
  get loss(): DeviceLoss | undefined {
    return this.#lost;
  }

  /** Calls `listen` whenever the device is lost; not where it is disposed. @returns ends that */
  onLoss(listen: (loss: DeviceLoss) => void): () => void {
    this.#lossListeners.add(listen);
    return () => void this.#lossListeners.delete(listen);
  }

  /** Whether the device is gone, asked behind an error that may come of it: waits a moment for the news. */
  async isLost(): Promise<boolean> {
    if (this.#disposed || this.dry) return false;
    await Promise.race([this.granted.device.lost, new Promise<void>(resume => setTimeout(resume, NEWS_MS))]);
    return this.#lost !== undefined;
  }

  /**
   * Takes a new device of the same wishes in the place of a lost one. Buffers, plans and tensors of the old one are gone; models
   * notice with their next call. One that is not lost stays.
   * @throws DeviceLostError for a device that the caller made, or where none is granted; DeviceError once it was disposed
   */
  async renew(): Promise<void> {
    if (this.#lost === undefined) return this.check('Gpu.renew');
    this.#renewing ??= this.#renew(this.#lost).finally(() => {
      this.#renewing = undefined;
    });
    await this.#renewing;
  }

  async #renew(loss: DeviceLoss): Promise<void> {
    const { again } = this.#making;
    if (!again) {
      const fix = 'Make a new device, then a Gpu and models on it: this one was made by the caller.';
      throw new DeviceLostError('Gpu.renew', loss, { fix });
    }
    let next: Pick<Granted, 'device' | 'caps'>;
    try {
      next = await again();
    } catch (cause) {
      throw new DeviceLostError('Gpu.renew', loss, { problem: 'the device was lost, and no other is granted', cause });
    }
    if (this.#disposed) next.device.destroy();
    this.#checkDisposed('Gpu.renew');
    this.granted = this.#take(next.device, next.caps);
    [this.#lost, this.#uncaught] = [undefined, undefined];
    this.#renewals++;
  }

  #notice(event: GPUUncapturedErrorEvent): void {
    event.preventDefault();
    this.#uncaught ??= { error: event.error, made: this.memory.made };
  }

  /**
   * Requests an adapter and a device with the adapter's own maxima and every useful optional feature.
   *
   * @throws DeviceError without WebGPU, without an adapter, or where no adapter has the name asked for; InputError for `trusted: true`, and for
   * a tuning of another adapter, of other kernels, or with names that there are not
   */
  static async request(options: GpuOptions = {}): Promise<Gpu> {
    checkNames('Gpu.request', options, OPTIONS);
    if (options.trusted) refuseTrusted();
    const { maxBindingBytes, maxBufferBytes, half, matrixUnits, availableBytes } = options;
    const own = { maxBindingBytes, maxBufferBytes, half, matrixUnits };
    if (options.device) {
      const info = options.device.adapterInfo ?? NAMELESS;
      const caps = await capsOf(options.device, info, { ...own, software: options.software });
      const tuned = await tunedBy(options.tuning, caps);
      return new Gpu(options.device, caps, { owned: false, availableBytes, tuned });
    }
    const again = () => grantDevice({ ...options }, own);
    const { device, caps } = await again();
    try {
      const tuned = await tunedBy(options.tuning, caps);
      return new Gpu(device, caps, { owned: true, availableBytes, again, tuned });
    } catch (error) {
      device.destroy();
      throw error;
    }
  }

  /**
   * A device that runs nothing and holds nothing, to find out what something would take: `plan` needs no other.
   * @param caps what it is to grant; default WebGPU's default limits (128 MiB a binding, 256 MiB a buffer) and no features
   * @param observer told of every buffer
   * @param options what its kernels are chosen by
   */
  static dry(caps: Partial<Caps> = {}, observer: DryObserver = UNSEEN, options: DryOptions = {}): Gpu {
    checkNames('Gpu.dry', options, DRY_OPTIONS);
    const { tuning } = options;
    const tuned = tuning && { given: tuning, choices: tuning };
    return new Gpu(dryDevice(observer), { ...DEFAULT_CAPS, ...caps }, { owned: true, dry: true, tuned });
  }

  /** @internal For what was made on a device: throws a DeviceLostError once another one has taken its place. */
  checkSame(op: string, device: WebGpuDevice): void {
    if (device === this.device) return;
    const message = 'another device has taken its place since';
    throw new DeviceLostError(op, { reason: 'unknown', message, losses: 0 });
  }

  /** Throws a DeviceError once the device is lost or disposed, and for an error that came outside of any call. */
  check(op: string): void {
    this.#checkDisposed(op);
    if (this.#lost) throw new DeviceLostError(op, this.#lost);
    if (this.#uncaught === undefined) return;
    const { error, made } = this.#uncaught;
    this.#uncaught = undefined;
    if (isOutOfMemory(error)) throw this.memory.exhausted(op, made, error);
    throw new DeviceError({ op, problem: 'the device reported an error earlier', received: error.message });
  }

  #checkDisposed(op: string): void {
    if (!this.#disposed) return;
    throw new DeviceError({ op, problem: 'the device was disposed', fix: 'Request a new one with Gpu.request().' });
  }

  /**
   * Runs `work` inside validation and out-of-memory scopes; turns what they catch into a DeviceError, and where memory ran out
   * into an OutOfMemoryError with the bytes that `work` asked for. `work` is synchronous: scopes are one stack a device, and two
   * that waited inside them would catch each other's errors.
   */
  async guarded<T>(op: string, work: () => T): Promise<T> {
    this.check(op);
    this.device.pushErrorScope('out-of-memory');
    this.device.pushErrorScope('validation');
    let caught: Promise<(GPUError | null)[]> | undefined;
    let result: T;
    try {
      result = this.memory.watch(op, work);
    } finally {
      caught = Promise.all([this.device.popErrorScope(), this.device.popErrorScope()]);
      caught.catch(() => {}); // where `work` throws, nobody waits for it
    }
    const { made } = this.memory; // before anyone else makes buffers
    const [invalid, exhausted] = await caught;
    if (exhausted) throw this.memory.exhausted(op, made, exhausted);
    if (invalid) throw new DeviceError({ op, problem: 'the device reported an error', received: invalid.message });
    return result;
  }

  /** Waits until everything submitted so far is done. */
  async idle(): Promise<void> {
    this.check('Gpu.idle');
    // A device that runs nothing never waits: whoever ends a plan of many steps could not be heard.
    if (this.dry && ++this.#idled % IDLES_UNHEARD === 0) await new Promise(resume => setTimeout(resume));
    await this.device.queue.onSubmittedWorkDone();
    this.check('Gpu.idle');
  }

  /**
   * @internal Before much is asked for: has the memory of destroyed buffers given back. Dawn frees it with the first submission
   * that follows, so that a network which leaves and one which comes would lie side by side.
   */
  async reclaim(): Promise<void> {
    if (this.memory.takeDestroyed() < RECLAIMED_BYTES) return;
    this.device.queue.submit([]);
    await this.idle();
  }

  /** @internal Runs work that writes into mapped memory from outside, such as a file's reads: the device outlives it. */
  async keptFor<T>(work: () => Promise<T>): Promise<T> {
    this.#keepers++;
    try {
      return await work();
    } finally {
      this.#keepers--;
      if (this.#disposed) this.#destroy();
    }
  }

  /** Destroys the device (unless the caller brought it) and everything on it, as soon as no file is read into its memory. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#destroy();
  }

  #destroy(): void {
    if (this.#making.owned && this.#keepers === 0) this.device.destroy();
  }
}

/** What a tuning says for a device of these capabilities. Only the layer of tuning knows kernels; it is loaded where there is one. */
async function tunedBy(asked: GpuOptions['tuning'], caps: Caps): Promise<Tuned | undefined> {
  const given = typeof asked === 'function' ? await asked(caps) : asked;
  if (given === undefined) return undefined;
  const { givenTuning } = await loadPart('what checks a tuning', () => import('../tuning/given-tuning.ts'));
  return givenTuning(given, caps);
}

/** Only who makes Dawn can have its checks left out: browsers never do, and a device that was made already has them or not. */
function refuseTrusted(): never {
  throw new InputError({
    op: 'Gpu.request',
    problem: 'whether kernels check their indices is decided where Dawn is made; in a page they always do',
    value: true,
    path: 'trusted',
    fix: "Leave trusted out; in Node, requestGpu({ trusted: true }) of 'pentimento/node' makes such a device.",
  });
}

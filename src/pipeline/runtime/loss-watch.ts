/** What a model knows of the losses of its device: it tells of them, finds out whether one is why work failed, and takes a new device. */
import type { AbortSignalLike } from '../../core/platform.ts';
import type { Gpu } from '../../gpu/device.ts';
import { type DeviceLoss, DeviceLostError } from '../../gpu/device-lost.ts';
import { type DeviceLossEvent, type DeviceRecovery, lostAgain, renewDevice } from './device-recovery.ts';
import type { Phase } from './progress.ts';

/** Work that may be done again. */
export interface LosingWork {
  readonly signal: AbortSignalLike | undefined;
  readonly phase: Phase | undefined;
  /** Counts the losses in one place, with this one. */
  readonly count: () => number;
}

/** The model that watches. */
export interface Watcher {
  /** The class, for messages. */
  readonly op: string;
  readonly gpu: Gpu;
  /** undefined: nothing is done again. */
  readonly recovery: DeviceRecovery | undefined;
  /** Hears of losses and of new devices. */
  readonly tell: (event: DeviceLossEvent) => void;
  /** What runs now; false where nothing does. */
  readonly now: () => { readonly phase: Phase | undefined } | false;
}

/** Watches from when it is made until `end`. */
export class LossWatch {
  readonly #watcher: Watcher;
  /** Hears no more. */
  readonly end: () => void;
  /** Of the device, when the model came to it. */
  #renewals: number;
  /** What a listener has thrown: it ends the work that runs. */
  #thrown: { readonly error: unknown } | undefined;

  constructor(watcher: Watcher) {
    this.#watcher = watcher;
    this.#renewals = watcher.gpu.renewals;
    this.end = watcher.gpu.onLoss(loss => this.#hear(loss));
  }

  /** Steps from one copy of a loop's state on the host to the next; undefined where none is kept. */
  get keepEvery(): number | undefined {
    return this.#watcher.recovery?.keepEvery;
  }

  /** Whether the device is lost, and the next call takes another. */
  get isMended(): boolean {
    return this.#watcher.recovery !== undefined && this.#watcher.gpu.loss !== undefined;
  }

  /**
   * Sees to it that there is a device.
   * @returns whether it is another one than before
   * @throws DeviceLostError; the signal's reason
   */
  async ready(signal: AbortSignalLike | undefined): Promise<boolean> {
    const { gpu, recovery, op } = this.#watcher;
    const { loss } = gpu;
    if (loss) {
      if (!recovery) throw new DeviceLostError(op, loss);
      await renewDevice(gpu, recovery.attempts, signal);
      this.#tell('restored', loss);
    }
    if (this.#renewals === gpu.renewals) return false;
    this.#renewals = gpu.renewals;
    return true;
  }

  /**
   * For work that has failed: returns where the loss of the device is why, and it may be done again.
   * @throws the error itself where there is another reason; DeviceLostError where no device lasts
   */
  async check(op: string, error: unknown, work: LosingWork): Promise<void> {
    const { gpu, recovery } = this.#watcher;
    if (work.signal?.aborted && !gpu.loss) throw error;
    const lost = await gpu.isLost();
    this.throwHeard();
    if (lost) work.signal?.throwIfAborted();
    if (!recovery) throw lost && gpu.loss ? named(op, gpu.loss, error) : error;
    if (!lost && this.#renewals === gpu.renewals) throw error;
    const losses = work.count();
    const { reason, message } = gpu.loss ?? { reason: 'unknown', message: 'another model has renewed it' };
    if (losses >= recovery.attempts) throw lostAgain(op, { reason, message, losses }, work.phase, error);
  }

  /** Throws what a listener of losses has thrown since the work began, once. */
  throwHeard(): void {
    const thrown = this.#thrown;
    this.#thrown = undefined;
    if (thrown) throw thrown.error;
  }

  #hear(loss: DeviceLoss): void {
    try {
      this.#tell('lost', loss);
    } catch (error) {
      if (!this.#watcher.now()) throw error;
      this.#thrown ??= { error };
    }
  }

  #tell(state: DeviceLossEvent['state'], { reason, message }: Pick<DeviceLoss, 'reason' | 'message'>): void {
    const { tell, now } = this.#watcher;
    const running = now();
    tell({ state, reason, message, phase: running ? running.phase : undefined });
  }
}

/** The error of a loss, whatever it was that noticed. */
function named(op: string, loss: DeviceLoss, error: unknown): unknown {
  return error instanceof DeviceLostError ? error : new DeviceLostError(op, loss, { cause: error });
}

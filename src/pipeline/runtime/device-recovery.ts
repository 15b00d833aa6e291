/** What a model does when its device is lost: it tells, takes a new one, and does the work again behind what is kept of it. */
import { InputError } from '../../core/errors.ts';
import { checkNames, namesOf } from '../../core/known-names.ts';
import type { NdArray } from '../../core/ndarray.ts';
import type { AbortSignalLike } from '../../core/platform.ts';
import { unlessAborted } from '../../core/unless-aborted.ts';
import type { Gpu } from '../../gpu/device.ts';
import { type DeviceLoss, DeviceLostError } from '../../gpu/device-lost.ts';
import type { Phase } from './progress.ts';

/** Told when the device of a model is lost, and when another one has taken its place. */
export interface DeviceLossEvent {
  /** 'lost' as soon as it is known; 'restored' before the work goes on. */
  readonly state: 'lost' | 'restored';
  /** WebGPU's word for why: 'destroyed' or 'unknown'. */
  readonly reason: string;
  /** What the browser or the driver says. */
  readonly message: string;
  /** The phase of the call that runs; undefined between calls. */
  readonly phase: Phase | undefined;
}

/** How a model gets over the loss of its device. */
export interface DeviceRecoveryOptions {
  /** Devices that a call may lose one after another without a new step in between, and how often one is asked for. Default 3. */
  readonly attempts?: number | undefined;
  /**
   * Steps from one copy of the latents on the host to the next: so many are done again at most. The copies are taken while the device
   * works. Default 5.
   */
  readonly keepEvery?: number | undefined;
}

/** The same, settled. */
export interface DeviceRecovery {
  /** Losses in one place that end a call. */
  readonly attempts: number;
  /** Steps from one copy to the next. */
  readonly keepEvery: number;
}

const OPTIONS = namesOf<DeviceRecoveryOptions>({ attempts: 1, keepEvery: 1 });
const DEFAULTS = { attempts: 3, keepEvery: 5 };
/** Behind a request that was refused: a driver that starts again takes seconds. Doubled each time. */
const PAUSE_MS = 500;

/**
 * The numbers of an option `deviceRecovery`; undefined for false.
 * @throws InputError for what is neither yes nor no nor numbers of at least 1
 */
export function recoveryOf(
  op: string,
  recovery: boolean | DeviceRecoveryOptions | undefined,
): DeviceRecovery | undefined {
  if (recovery === false) return undefined;
  const path = 'deviceRecovery';
  if (recovery === undefined || recovery === true) return DEFAULTS;
  if (typeof recovery !== 'object' || recovery === null) {
    const [expected, problem] = ['true, false or numbers', 'neither yes nor no'];
    throw new InputError({ op, problem, expected, value: recovery, path });
  }
  checkNames(`${op} ${path}`, recovery, OPTIONS);
  const { attempts = DEFAULTS.attempts, keepEvery = DEFAULTS.keepEvery } = recovery;
  for (const [name, value] of Object.entries({ attempts, keepEvery })) {
    if (Number.isInteger(value) && value >= 1) continue;
    const [problem, expected] = ['not a count', 'a whole number >= 1'];
    throw new InputError({ op, problem, expected, value, path: `${path}.${name}` });
  }
  return { attempts, keepEvery };
}

/**
 * Takes a new device in the place of a lost one; asks again where none is granted.
 * @throws DeviceLostError where none is granted at last; the signal's reason
 */
export async function renewDevice(gpu: Gpu, attempts: number, signal?: AbortSignalLike): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    signal?.throwIfAborted();
    try {
      return await gpu.renew();
    } catch (error) {
      if (attempt >= attempts || !(error instanceof DeviceLostError) || error.cause === undefined) throw error;
      await pause(PAUSE_MS * 2 ** (attempt - 1), signal);
    }
  }
}

async function pause(ms: number, signal: AbortSignalLike | undefined): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const waiting = new Promise<void>(resume => {
    timer = setTimeout(resume, ms);
  });
  try {
    await unlessAborted(signal, waiting);
  } finally {
    clearTimeout(timer);
  }
}

/** The error of a call that lost one device after another. */
export function lostAgain(op: string, loss: DeviceLoss, phase: Phase | undefined, cause: unknown): DeviceLostError {
  return new DeviceLostError(op, loss, {
    problem: `the device was lost ${loss.losses} times in one place${phase ? `, in the phase '${phase}'` : ''}`,
    fix: 'The work is too much for this device, or its driver fails: use dtype float16, maxBytes, a smaller picture, or another device.',
    cause,
  });
}

/** A step whose latents can be read. */
export interface ReadableStep {
  /** Reads them. */
  latents(): Promise<NdArray>;
}

/**
 * Runs work that yields steps; where it fails, `recover` may have it begin anew. Work that begins anew yields the step that was not
 * left yet once more: so its latents can be read although the device was lost meanwhile.
 * @param recover makes everything ready again; throws what cannot be mended
 */
export async function* recovering<S extends ReadableStep, T>(
  work: () => AsyncGenerator<S, T>,
  recover: (error: unknown) => Promise<void>,
): AsyncGenerator<S, T> {
  let run = work();
  let mending: Promise<void> | undefined;
  const begin = async (error: unknown): Promise<void> => {
    await recover(error);
    await run.return(undefined as T); // ends what stands at a step
    run = work();
  };
  const next = async (): Promise<IteratorResult<S, T>> => {
    for (;;) {
      try {
        return await run.next();
      } catch (error) {
        await begin(error);
      }
    }
  };
  try {
    for (;;) {
      const step = await next();
      if (step.done) return step.value;
      let [now, left] = [step.value, false];
      const mend = async (error: unknown): Promise<void> => {
        await begin(error);
        const repeated = await next();
        if (!repeated.done) now = repeated.value;
      };
      const latents = async (): Promise<NdArray> => {
        for (;;) {
          await mending;
          const from = now;
          try {
            return await from.latents();
          } catch (error) {
            if (left) throw error; // the next step was asked for
            if (from !== now) continue;
            mending ??= mend(error).finally(() => {
              mending = undefined;
            });
          }
        }
      };
      yield { ...step.value, latents };
      await mending?.catch(() => undefined);
      left = true;
    }
  } finally {
    await run.return(undefined as T);
  }
}

/** What every model's `fromPretrained` is told. */
import { InputError } from '../../core/errors.ts';
import { checkNames, namesOf } from '../../core/known-names.ts';
import type { AbortSignalLike } from '../../core/platform.ts';
import { Gpu } from '../../gpu/device.ts';
import { type DeviceLossEvent, type DeviceRecoveryOptions, recoveryOf } from './device-recovery.ts';
import type { CallOptions, ProgressEvent } from './progress.ts';

/** Options of every model's `fromPretrained`. */
export interface DeviceModelOptions extends CallOptions {
  /** A device from Gpu.request() or requestGpu() of pentimento/node; by default a new one, which dispose() then frees. */
  readonly gpu?: Gpu | undefined;
  /** Of activations, and, for float16, of weights; float32 keeps weights in the file's own precision. Default float32. */
  readonly dtype?: 'float32' | 'float16' | undefined;
  /** Such as 'fp16': takes the weight files of that name. */
  readonly variant?: string | undefined;
  /** Told of loading, and of every call that brings no listener of its own. */
  readonly onProgress?: ((event: ProgressEvent) => void) | undefined;
  /** Ends the loading: it rejects with the signal's reason, and nothing stays on the device. */
  readonly signal?: AbortSignalLike | undefined;
  /** Told of cut prompts, corrected configs, ignored tensors and the like; default console.warn. */
  readonly onWarning?: ((message: string) => void) | undefined;
  /** Leaves the weights in the files until they are needed, one network at a time; see enableModelCpuOffload. */
  readonly modelCpuOffload?: boolean | undefined;
  /**
   * Leaves the weights in the files until a call needs them: a call that is refused has read none. They stay then, unless
   * modelCpuOffload says otherwise. Default false.
   */
  readonly loadWhenNeeded?: boolean | undefined;
  /** Bytes of weights that are on their way to the device at once, beside those that are there. Default 32 MiB. */
  readonly stagingBytes?: number | undefined;
  /**
   * Keeps weights that go to the device more than once (by modelCpuOffload, or streamed) in host memory, in the precision of the
   * file: each is read once. Default false.
   */
  readonly hostMemory?: boolean | undefined;
  /**
   * Gets over the loss of the device (a driver that was reset, a browser whose GPU process ended): a new one is asked for, weights
   * are read again, and the call that runs goes on behind the last step that is kept on the host, with the same numbers. Numbers of its
   * own where the defaults do not suit; false ends the call with a DeviceLostError. Default true.
   */
  readonly deviceRecovery?: boolean | DeviceRecoveryOptions | undefined;
  /** Told when the device is lost, and when another one has taken its place; by default `onWarning` is. */
  readonly onDeviceLoss?: ((event: DeviceLossEvent) => void) | undefined;
}

const OPTIONS = namesOf<DeviceModelOptions>({
  ...{
    gpu: 1,
    dtype: 1,
    variant: 1,
    onProgress: 1,
    signal: 1,
    onWarning: 1,
    modelCpuOffload: 1,
    loadWhenNeeded: 1,
    stagingBytes: 1,
    hostMemory: 1,
    deviceRecovery: 1,
    onDeviceLoss: 1,
  },
});

/** How messages call the model. */
export interface DeviceModelNames {
  /** The class. */
  readonly op: string;
  /** What it is, such as 'captioner'. */
  readonly noun: string;
  /** Names of options that only this model has. */
  readonly ownOptions?: readonly string[];
}

/** Where warnings go. */
export function warner(options: DeviceModelOptions): (message: string) => void {
  return options.onWarning ?? (message => console.warn(message));
}

/**
 * Checks what every model takes.
 * @throws InputError for unknown names or values that make no sense; the signal's reason
 */
export function checkOptions({ op: model, ownOptions = [] }: DeviceModelNames, options: DeviceModelOptions): void {
  const op = `${model}.fromPretrained`;
  checkNames(op, options, [...OPTIONS, ...ownOptions]);
  const { gpu, dtype, stagingBytes, signal } = options;
  if (gpu != null && !(gpu instanceof Gpu)) {
    const received = (gpu as unknown) instanceof Promise ? 'a promise' : typeof gpu;
    const [expected, fix] = ['a Gpu', "Pass await requestGpu() of 'pentimento/node', or await Gpu.request()."];
    throw new InputError({ op, problem: 'no device of this library', expected, received, path: 'gpu', fix });
  }
  if (dtype !== undefined && dtype !== 'float32' && dtype !== 'float16') {
    const expected = 'float32 or float16';
    throw new InputError({ op, problem: 'unknown dtype', expected, value: dtype, path: 'dtype' });
  }
  if (stagingBytes !== undefined && !(Number.isInteger(stagingBytes) && stagingBytes >= 1)) {
    const [expected, path] = ['a whole number >= 1', 'stagingBytes'];
    throw new InputError({ op, problem: 'not a count', expected, value: stagingBytes, path });
  }
  for (const name of ['hostMemory', 'modelCpuOffload', 'loadWhenNeeded'] as const) checkSwitch(op, name, options[name]);
  recoveryOf(op, options.deviceRecovery);
  signal?.throwIfAborted();
}

/** @throws InputError for an option that is given and is neither true nor false: 'no' would count as true */
export function checkSwitch(op: string, path: string, value: unknown): void {
  if (value === undefined || typeof value === 'boolean') return;
  throw new InputError({ op, problem: 'neither yes nor no', expected: 'true or false', value, path });
}

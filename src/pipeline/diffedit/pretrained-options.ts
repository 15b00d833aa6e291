/** What `DiffEditPipeline.fromPretrained` is told. */

import { InputError } from '../../core/errors.ts';
import type { AbortSignalLike } from '../../core/platform.ts';
import type { Gpu } from '../../gpu/device.ts';
import type { DDIMInverseScheduler, DDIMScheduler } from '../../schedulers/index.ts';
import { checkCount } from './checks.ts';
import type { ProgressEvent } from './types.ts';

/** Options of `fromPretrained`. */
export interface PretrainedOptions {
  /** A device from Gpu.request() or requestGpu() of pentimento/node; by default a new one, which dispose() then frees. */
  readonly gpu?: Gpu | undefined;
  /** Of activations, and, for float16, of weights; float32 keeps weights in the file's own precision. Default float32. */
  readonly dtype?: 'float32' | 'float16' | undefined;
  /** Such as 'fp16': takes the files of that name. */
  readonly variant?: string | undefined;
  readonly scheduler?: DDIMScheduler | undefined;
  readonly inverseScheduler?: DDIMInverseScheduler | undefined;
  /** Told of loading, and of every call that brings no listener of its own. */
  readonly onProgress?: ((event: ProgressEvent) => void) | undefined;
  readonly signal?: AbortSignalLike | undefined;
  /** Told of cut prompts, corrected configs and the like; default console.warn. */
  readonly onWarning?: ((message: string) => void) | undefined;
  /** Mends the original's slips Q1, Q3, Q4 and Q12 (docs/parity.md) instead of repeating them. Default false. */
  readonly mendQuirks?: boolean | undefined;
  /** Leaves the weights in the files until they are needed, one network at a time; see enableModelCpuOffload. */
  readonly modelCpuOffload?: boolean | undefined;
  /** Bytes of weights that are on their way to the device at once, beside those that are there. Default 32 MiB. */
  readonly stagingBytes?: number | undefined;
  /** There is none: anything but null is refused. */
  readonly safetyChecker?: null | undefined;
}

/** @throws InputError for options that make no sense or are not built; the signal's reason */
export function checkPretrained(op: string, o: PretrainedOptions): void {
  if (o.safetyChecker != null) throw refusal(op, 'a safety checker', 'safetyChecker');
  if (o.dtype !== undefined && o.dtype !== 'float32' && o.dtype !== 'float16') {
    throw new InputError({
      op,
      problem: 'unknown dtype',
      expected: 'float32 or float16',
      received: o.dtype,
      path: 'dtype',
    });
  }
  if (o.stagingBytes !== undefined) checkCount(op, o.stagingBytes, 'stagingBytes');
  o.signal?.throwIfAborted();
}

/** Where warnings go. */
export function warner(options: PretrainedOptions): (message: string) => void {
  return options.onWarning ?? (message => console.warn(message));
}

/** The error for what is not built. */
export function refusal(op: string, what: string, path: string): InputError {
  return new InputError({
    op,
    problem: `${what} is not built`,
    path,
    fix: 'docs/parity.md lists what this pipeline has and what it refuses.',
  });
}

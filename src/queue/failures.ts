/** What becomes of a job that fails: tried again where another time may help, ended at once where it cannot. */
import { type ErrorJson, LoadError, PentimentoError, ShaderError, WeightsError } from '../core/errors.ts';
import { DeviceLostError } from '../gpu/device-lost.ts';
import { OutOfMemoryError } from '../gpu/out-of-memory.ts';
import { TransferError } from './transfer-error.ts';

/** Attempts at a job, the first one too. */
export const ATTEMPTS = 3;
/** Before the second attempt; before the third twice as much. */
export const BACKOFF_MS = 5000;

/** An error as a job keeps it. */
export interface JobFailure {
  /** Of this form. */
  readonly version: 1;
  /** Whether another attempt may help. */
  readonly again: boolean;
  /** The error's fields. */
  readonly error: ErrorJson;
}

/**
 * What an error says of the next attempt. What this library refuses is refused again; lost devices, memory, transfers and what nobody
 * foresaw may be otherwise another time.
 */
export function failureOf(error: unknown): JobFailure {
  if (!(error instanceof PentimentoError)) {
    const { name, message } = error instanceof Error ? error : { name: 'Error', message: String(error) };
    return { version: 1, again: true, error: { class: name, message } };
  }
  const again = error instanceof TransferError || error instanceof DeviceLostError || error instanceof OutOfMemoryError;
  return { version: 1, again: again || error.code === 'device', error: error.toJSON() };
}

/** Whether a failure is of the machine's memory, so that offloading may help. */
export function isOutOfMemory(error: unknown): boolean {
  return error instanceof OutOfMemoryError;
}

/** A model that a worker cannot open: no matter of the job that it was opened for. */
export class CannotOpen extends Error {
  /** As in stack traces. */
  override readonly name = 'CannotOpen';
}

/** The error that no job of a model would escape on this worker, and another attempt neither; undefined for those of a job. */
export function ofWorker(error: unknown): unknown {
  if (error instanceof CannotOpen) return failureOf(error.cause).again ? undefined : error.cause;
  const isOfModel = error instanceof WeightsError || error instanceof ShaderError || error instanceof LoadError;
  return isOfModel ? error : undefined;
}

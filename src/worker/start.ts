/** Where the worker's script is. */
import { DeviceError } from '../core/errors.ts';
import type { PortLike } from './peer.ts';

/** A worker that runs this library's script. */
export interface StartedWorker extends PortLike {
  /** Ends it at once, with all that it holds. */
  terminate(): void;
}

/**
 * Starts a worker for several models: pass it as `worker` to each, and call `terminate()` when all are disposed.
 * @throws DeviceError where the runtime has no module workers, as Node; there a MessagePort to `serveModels` is passed
 */
export function startWorker(): StartedWorker {
  if (typeof Worker === 'undefined')
    throw new DeviceError({
      op: 'startWorker',
      problem: 'this runtime has no Worker',
      fix: 'Open the model without a worker: import { DiffEditPipeline } from "pentimento".',
    });
  // As it stands: bundlers look for these words.
  return new Worker(new URL('./worker-entry.js', import.meta.url), { type: 'module' });
}

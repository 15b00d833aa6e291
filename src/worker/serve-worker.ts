/** Answers from within a worker. */
import type { PortLike } from './peer.ts';
import { serveModels } from './serve.ts';

/** Makes this worker answer for models, and tells the page that it hears. */
export function serveWorker(): void {
  const port = globalThis as unknown as PortLike;
  serveModels(port);
  port.postMessage({ pentimento: 1, is: 'ready' });
}

/**
 * The worker's script where a bundler knows `import()` and no workers: it is loaded twice, in the page, which asks for its address, and by
 * that address in the worker. @module
 */

/** Where this file is. */
export const scriptUrl: string = import.meta.url;

/** The name of the worker that runs it. */
export const SCRIPT_NAME = 'pentimento';

if (typeof document === 'undefined' && (globalThis as { readonly name?: string }).name === SCRIPT_NAME)
  import('./serve-worker.ts').then(({ serveWorker }) => serveWorker(), reportError);

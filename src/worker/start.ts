/** Where the worker's script is. */
import { DeviceError } from '../core/errors.ts';
import { loadPart } from '../core/load-part.ts';
import { ScriptPort, type StartedWorker } from './script-port.ts';

/** What bundlers put into `import.meta`; nothing of it need be there. */
interface BundlerMeta {
  readonly url?: string;
  readonly env?: { readonly PROD?: boolean };
}

/**
 * Starts a worker for several models: pass it as `worker` to each, and call `terminate()` when all are disposed.
 * @throws DeviceError where the runtime has no module workers, as Node
 */
export function startWorker(): StartedWorker {
  if (typeof Worker === 'undefined')
    throw new DeviceError({
      op: 'startWorker',
      problem: 'this runtime has no Worker',
      fix: 'Open the model without a worker: import { DiffEditPipeline } from "pentimento".',
    });
  // A bundler that writes its own address of this file into it also knows workers. Either way is tried where the other fails.
  const asFile = (import.meta as BundlerMeta).url?.startsWith('file:') === true;
  return new ScriptPort(asFile ? [fromScript, fromChunk] : [fromChunk, fromScript]);
}

/** webpack, Parcel, Turbopack, Vite: they look for these words and make a file of the script. Without a bundler it lies there. */
async function fromScript(): Promise<Worker> {
  return new Worker(new URL('./worker-entry.js', import.meta.url), { type: 'module' });
}

/** esbuild, Rollup, Vite's server: what is imported becomes a file, which knows its own address. */
async function fromChunk(): Promise<Worker | undefined> {
  // Vite's builds drop all of this: their chunks do not run in a worker.
  if ((import.meta as BundlerMeta).env?.PROD !== true) {
    const part = "the worker's script";
    const { scriptUrl, SCRIPT_NAME } = await loadPart(
      part,
      () => import(/* webpackIgnore: true */ './script-chunk.ts'),
    );
    // One file for all: as a worker it would be the page.
    if (scriptUrl === import.meta.url) return undefined;
    const elsewhere = new URL(scriptUrl).origin !== globalThis.location?.origin;
    const script = elsewhere
      ? URL.createObjectURL(new Blob([`import ${JSON.stringify(scriptUrl)};`], { type: 'text/javascript' }))
      : scriptUrl;
    return new Worker(script, { type: 'module', name: SCRIPT_NAME });
  }
  return undefined;
}

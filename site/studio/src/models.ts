/** The models of the page, in one worker: opened when they are first needed. */
import type { DeviceLossEvent, FolderSource, ProgressEvent } from 'pentimento';
import { urlFolder } from 'pentimento';
import { type CacheEvent, cachedFolder, hubUrlFolder } from 'pentimento/page';
import {
  createWorkerCaptioner,
  createWorkerLanguageModel,
  createWorkerPipeline,
  type StartedWorker,
  type WorkerCaptioner,
  type WorkerLanguageModel,
  type WorkerPipeline,
} from 'pentimento/worker';
import { startedWorker } from '../../shared/start-worker.ts';
import script from './worker.ts?worker&url';

/** Where the pictures' model comes from, and how it is opened. */
export interface Choice {
  /** For people and for files of settings. */
  readonly name: string;
  readonly folder: () => FolderSource;
  readonly dtype?: 'float32' | 'float16' | undefined;
  /** Device bytes that a call may take. */
  readonly maxBytes?: number | undefined;
  /** Lies on this machine: nothing of it is kept in the browser. */
  readonly local?: boolean | undefined;
}

const EMBEDDED = new URL('models/orchard/', document.baseURI);
export const SAMPLES: URL = new URL('samples/', EMBEDDED);

/** The model that lies beside the page. */
export const embedded: Choice = { name: 'orchard (embedded)', folder: () => part('stable-diffusion') };

/** A repository of the Hub. */
export function hub(repository: string, token: string | undefined): Choice {
  return { name: repository, folder: () => hubUrlFolder(repository, token ? { token } : {}) };
}

/** What lies beside the page is known: nothing else is asked for. */
function part(name: string): FolderSource {
  return urlFolder(new URL(name, EMBEDDED).href, { files: EMBEDDED_FILES[name] ?? [] });
}

/** Told while models open and work. */
export interface Listeners {
  readonly onProgress: (event: ProgressEvent) => void;
  readonly onWarning: (message: string) => void;
  readonly onDeviceLoss: (event: DeviceLossEvent) => void;
  /** A file of a model arrives. */
  readonly onBytes: (event: CacheEvent) => void;
}

/** How a model is opened. */
type Opening = Omit<Listeners, 'onBytes'> & { readonly worker: StartedWorker; readonly signal?: AbortSignal };

/** Whether the browser has no room for what would be kept. */
function isFull(error: unknown): boolean {
  return error instanceof Error && error.name === 'StorageFullError';
}

/** Whether the browser keeps files for this page: private windows and visitors who forbid it have the storage, and are refused when it is asked for. */
async function storesFiles(): Promise<boolean> {
  try {
    await navigator.storage.getDirectory();
    return true;
  } catch {
    return false;
  }
}

/** The models; one worker and one device for all of them. */
export class Models {
  readonly #listeners: Listeners;
  #worker: StartedWorker | undefined;
  #pipeline: Promise<WorkerPipeline> | undefined;
  #captioner: Promise<WorkerCaptioner> | undefined;
  #writer: Promise<WorkerLanguageModel> | undefined;
  #choice: Choice;
  /** Whether files are kept for the next visit. */
  #keeps: boolean | Promise<boolean> = storesFiles();

  constructor(choice: Choice, listeners: Listeners) {
    this.#choice = choice;
    this.#listeners = listeners;
  }

  get choice(): Choice {
    return this.#choice;
  }

  /** The worker, for what is not of a model. */
  get worker(): StartedWorker {
    this.#worker ??= startedWorker(script);
    return this.#worker;
  }

  /** Another model; what is open is closed. */
  async choose(choice: Choice): Promise<void> {
    const open = this.#pipeline;
    this.#choice = choice;
    this.#pipeline = undefined;
    (await open?.catch(() => undefined))?.dispose();
  }

  /** The pictures' model. One that failed to open is opened anew. */
  pipeline(signal?: AbortSignal): Promise<WorkerPipeline> {
    const { folder, dtype, maxBytes, local } = this.#choice;
    const own = { ...(dtype ? { dtype } : {}), ...(maxBytes ? { maxBytes } : {}) };
    // What is fetched from elsewhere comes when it is used: its plan is seen before.
    const loadWhenNeeded = this.#choice !== embedded;
    const open = (from: FolderSource, options: Opening): Promise<WorkerPipeline> =>
      createWorkerPipeline(from, { ...options, ...own, loadWhenNeeded });
    this.#pipeline ??= this.#opened(folder, open, signal, !local).catch(error => {
      this.#pipeline = undefined;
      throw error;
    });
    return this.#pipeline;
  }

  /** The embedded model that describes pictures. */
  captioner(signal?: AbortSignal): Promise<WorkerCaptioner> {
    this.#captioner ??= this.#opened(() => part('blip'), createWorkerCaptioner, signal).catch(error => {
      this.#captioner = undefined;
      throw error;
    });
    return this.#captioner;
  }

  /** The embedded model that writes prompts. */
  writer(signal?: AbortSignal): Promise<WorkerLanguageModel> {
    this.#writer ??= this.#opened(() => part('t5'), createWorkerLanguageModel, signal).catch(error => {
      this.#writer = undefined;
      throw error;
    });
    return this.#writer;
  }

  /** Fetches what caption and suggestions need, so that they work without a network later. What fails is tried again when it is used. */
  async keepForLater(): Promise<void> {
    if (!(await this.#keeps)) return;
    const quiet = { onProgress: () => undefined, onWarning: () => undefined, worker: this.worker };
    const open = { blip: createWorkerCaptioner, t5: createWorkerLanguageModel };
    for (const [name, one] of Object.entries(open)) {
      const model = await one(cachedFolder(part(name)), quiet).catch(() => undefined);
      model?.dispose();
    }
  }

  /** Goes on without the browser's storage where it is full. @returns whether that is why it failed */
  async withoutKeeping(error: unknown): Promise<boolean> {
    if (!isFull(error) || !(await this.#keeps)) return false;
    this.#keeps = false;
    await this.choose(this.#choice);
    return true;
  }

  async #opened<T>(
    folder: () => FolderSource,
    open: (from: FolderSource, options: Opening) => Promise<T>,
    signal: AbortSignal | undefined,
    keep = true,
  ): Promise<T> {
    const { onBytes, ...listeners } = this.#listeners;
    const options = { ...listeners, worker: this.worker, ...(signal && { signal }) };
    if (!keep || !(await this.#keeps)) return open(folder(), options);
    try {
      return await open(cachedFolder(folder(), { onProgress: onBytes }), options);
    } catch (error) {
      if (!isFull(error)) throw error;
      this.#keeps = false;
      listeners.onWarning(`${(error as Error).message} The model is read without being kept.`);
      return open(folder(), options);
    }
  }
}

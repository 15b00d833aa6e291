/** The models of the page, in one worker: opened when they are first needed. */
import type { FolderSource, ProgressEvent } from 'pentimento';
import { urlFolder } from 'pentimento';
import { cachedFolder, hubUrlFolder } from 'pentimento/page';
import {
  createWorkerCaptioner,
  createWorkerLanguageModel,
  createWorkerPipeline,
  type StartedWorker,
  startWorker,
  type WorkerCaptioner,
  type WorkerLanguageModel,
  type WorkerPipeline,
} from 'pentimento/worker';

/** Where the pictures' model comes from, and how it is opened. */
export interface Choice {
  /** For people and for files of settings. */
  readonly name: string;
  readonly folder: () => FolderSource;
  readonly dtype?: 'float32' | 'float16' | undefined;
  /** Device bytes that a call may take. */
  readonly maxBytes?: number | undefined;
}

const EMBEDDED = new URL('models/orchard/', document.baseURI);
export const SAMPLES: URL = new URL('samples/', EMBEDDED);

/** The model that lies beside the page. */
export const embedded: Choice = { name: 'orchard (embedded)', folder: () => kept(urlFolder(part('stable-diffusion'))) };

/** A repository of the Hub. */
export function hub(repository: string, token: string | undefined): Choice {
  return { name: repository, folder: () => kept(hubUrlFolder(repository, token ? { token } : {})) };
}

function part(name: string): string {
  return new URL(name, EMBEDDED).href;
}

/** Weights stay in the browser's own storage, where it has one. */
function kept(folder: FolderSource): FolderSource {
  return typeof navigator.storage?.getDirectory === 'function' ? cachedFolder(folder) : folder;
}

/** Told while models open and work. */
export interface Listeners {
  readonly onProgress: (event: ProgressEvent) => void;
  readonly onWarning: (message: string) => void;
}

/** The models; one worker and one device for all of them. */
export class Models {
  readonly #listeners: Listeners;
  #worker: StartedWorker | undefined;
  #pipeline: Promise<WorkerPipeline> | undefined;
  #captioner: Promise<WorkerCaptioner> | undefined;
  #writer: Promise<WorkerLanguageModel> | undefined;
  #choice: Choice;

  constructor(choice: Choice, listeners: Listeners) {
    this.#choice = choice;
    this.#listeners = listeners;
  }

  get choice(): Choice {
    return this.#choice;
  }

  /** Another model; what is open is closed. */
  async choose(choice: Choice): Promise<void> {
    const open = this.#pipeline;
    this.#choice = choice;
    this.#pipeline = undefined;
    (await open?.catch(() => undefined))?.dispose();
  }

  /** The pictures' model. One that failed to open is opened anew. */
  pipeline(): Promise<WorkerPipeline> {
    const { folder, dtype, maxBytes } = this.#choice;
    this.#pipeline ??= this.#opened(options =>
      createWorkerPipeline(folder(), {
        ...options,
        ...(dtype ? { dtype } : {}),
        ...(maxBytes ? { maxBytes } : {}),
      }),
    ).catch(error => {
      this.#pipeline = undefined;
      throw error;
    });
    return this.#pipeline;
  }

  /** The embedded model that describes pictures. */
  captioner(): Promise<WorkerCaptioner> {
    this.#captioner ??= this.#opened(options => createWorkerCaptioner(kept(urlFolder(part('blip'))), options)).catch(
      error => {
        this.#captioner = undefined;
        throw error;
      },
    );
    return this.#captioner;
  }

  /** The embedded model that writes prompts. */
  writer(): Promise<WorkerLanguageModel> {
    this.#writer ??= this.#opened(options => createWorkerLanguageModel(kept(urlFolder(part('t5'))), options)).catch(
      error => {
        this.#writer = undefined;
        throw error;
      },
    );
    return this.#writer;
  }

  /** Fetches what caption and suggestions need, so that they work without a network later. What fails is tried again when it is used. */
  async keepForLater(): Promise<void> {
    const quiet = { onProgress: () => undefined, onWarning: () => undefined };
    const open = [createWorkerCaptioner, createWorkerLanguageModel];
    for (const [i, name] of ['blip', 't5'].entries()) {
      this.#worker ??= startWorker();
      const model = await open[i]?.(kept(urlFolder(part(name))), { ...quiet, worker: this.#worker }).catch(
        () => undefined,
      );
      model?.dispose();
    }
  }

  async #opened<T>(open: (options: Listeners & { worker: StartedWorker }) => Promise<T>): Promise<T> {
    this.#worker ??= startWorker();
    return open({ ...this.#listeners, worker: this.#worker });
  }
}

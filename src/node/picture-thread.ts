/**
 * Large pictures are decoded and encoded in a thread of their own: 24 megapixels take seconds, in which the process could neither feed its
 * device nor renew a lock.
 */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { type ErrorDetails, type ErrorJson, InputError } from '../core/errors.ts';
import type { GreyImage, RgbImage } from '../io/image.ts';
import { encodePng, readImage } from './images.ts';

/** Bytes of a file, and pixels to encode, from which a thread is worth its messages: 10 ms of work and more. */
const LARGE = { bytes: 2 ** 16, pixels: 2 ** 18 };

/** What the thread is asked. */
export type PictureOrder =
  | { readonly id: number; readonly decode: Uint8Array; readonly name: string }
  | { readonly id: number; readonly encode: RgbImage | GreyImage };

/** What it answers. */
export interface PictureAnswer {
  readonly id: number;
  readonly image?: RgbImage;
  readonly bytes?: Uint8Array;
  readonly warnings?: readonly string[];
  readonly error?: ErrorJson;
}

/** Decodes and encodes pictures; `close` it. */
export class PictureThread {
  readonly #script: string | undefined;
  #thread: Worker | undefined;
  #count = 0;
  readonly #open = new Map<number, { done(answer: PictureAnswer): void; failed(error: unknown): void }>();

  /** @param o.script of the thread; default the one that is built, and where there is none everything is done at once */
  constructor({ script = builtScript() }: { readonly script?: string | undefined } = {}) {
    this.#script = script;
  }

  /**
   * The picture in a file's bytes, as `readImage` reads it.
   * @param name for messages
   * @param onWarning told of damage
   * @throws as readImage; the signal's reason
   */
  async decode(
    bytes: Uint8Array,
    name: string,
    signal?: AbortSignal,
    onWarning?: (line: string) => void,
  ): Promise<RgbImage> {
    if (bytes.length < LARGE.bytes || !this.#script) {
      return named(readImage(bytes, { ...(onWarning ? { onWarning } : {}) }), name);
    }
    // A copy, because the caller may hash what it gave.
    const { image, warnings = [] } = await this.#ask(id => ({ id, decode: bytes.slice(), name }), signal);
    for (const line of warnings) onWarning?.(line);
    if (image) return image;
    throw new InputError({ op: 'readImage', problem: 'no picture came', path: name });
  }

  /**
   * The picture in a file.
   * @throws as readImage; the signal's reason
   */
  async read(path: string, signal?: AbortSignal, onWarning?: (line: string) => void): Promise<RgbImage> {
    const bytes = await readFile(path, { ...(signal ? { signal } : {}) }).catch(() => undefined);
    signal?.throwIfAborted();
    return bytes ? this.decode(bytes, path, signal, onWarning) : readImage(path); // which says why there is none
  }

  /** PNG of a picture, as `encodePng` makes it. @throws the signal's reason */
  async encode(image: RgbImage | GreyImage, signal?: AbortSignal): Promise<Uint8Array> {
    if (image.width * image.height < LARGE.pixels || !this.#script) return encodePng(image);
    const { bytes } = await this.#ask(id => ({ id, encode: image }), signal);
    return bytes ?? encodePng(image);
  }

  /** Ends the thread. */
  async close(): Promise<void> {
    const thread = this.#thread;
    this.#thread = undefined;
    await thread?.terminate();
  }

  #ask(order: (id: number) => PictureOrder, signal?: AbortSignal): Promise<PictureAnswer> {
    signal?.throwIfAborted();
    const id = ++this.#count;
    return new Promise((resolve, reject) => {
      const abort = (): void => failed(signal?.reason);
      const settle = (): void => {
        this.#open.delete(id);
        signal?.removeEventListener('abort', abort);
      };
      const failed = (error: unknown): void => {
        settle();
        reject(error);
      };
      const done = (answer: PictureAnswer): void => {
        settle();
        resolve(answer);
      };
      this.#open.set(id, { done, failed });
      signal?.addEventListener('abort', abort, { once: true });
      this.#started(this.#script ?? '').postMessage(order(id));
    });
  }

  #started(script: string): Worker {
    if (this.#thread) return this.#thread;
    const thread = new Worker(script);
    this.#thread = thread;
    thread.unref();
    thread.on('message', (answer: PictureAnswer) => {
      const asked = this.#open.get(answer.id);
      if (answer.error) asked?.failed(errorOf(answer.error));
      else asked?.done(answer);
    });
    thread.on('error', (cause: unknown) => {
      this.#thread = undefined;
      for (const { failed } of [...this.#open.values()]) failed(cause);
    });
    return thread;
  }
}

/** The thread's built script, beside the chunk that holds this; undefined where the library runs from its sources. */
function builtScript(): string | undefined {
  const paths = ['./picture-thread.js', '../picture-thread.js'].map(path =>
    fileURLToPath(new URL(path, import.meta.url)),
  );
  return paths.find(existsSync);
}

/** Errors of bytes say whose they are. */
async function named(reading: Promise<RgbImage>, name: string): Promise<RgbImage> {
  try {
    return await reading;
  } catch (error) {
    if (error instanceof InputError && error.path === undefined) throw errorOf({ ...error.toJSON(), path: name });
    throw error;
  }
}

/** An error of the thread's, as it was. */
function errorOf({ op = 'readImage', problem, message, ...fields }: ErrorJson): InputError {
  const { expected, received, path, fix } = fields;
  const details: ErrorDetails = {
    ...{ op, problem: problem ?? message },
    ...(expected === undefined ? {} : { expected }),
    ...(received === undefined ? {} : { received }),
    ...(path === undefined ? {} : { path }),
    ...(fix === undefined ? {} : { fix }),
  };
  return new InputError(details);
}

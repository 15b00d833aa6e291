/** The pictures of jobs: fetched, compared with their hash, decoded; the next one while the device works. */
import { InputError } from '../core/errors.ts';
import type { RgbImage } from '../io/image.ts';
import type { JobFile } from './job.ts';
import { sha256Of } from './model-key.ts';
import { fetchUri, type TransferOptions } from './transfer.ts';
import { shownUri, type UriRules } from './uri-rules.ts';

/** Decodes a file's bytes. */
export type Decode = (bytes: Uint8Array, name: string, signal: AbortSignal) => Promise<RgbImage>;

/** One picture that is read ahead, of at most one. */
export class NextPicture {
  readonly #rules: UriRules;
  readonly #decode: Decode;
  readonly #options: TransferOptions;
  #ahead: { readonly key: string; readonly picture: Promise<RgbImage>; readonly stop: AbortController } | undefined;

  constructor(rules: UriRules, decode: Decode, options: TransferOptions = {}) {
    this.#rules = rules;
    this.#decode = decode;
    this.#options = options;
  }

  /**
   * The picture of a job.
   * @throws InputError for a file that is not allowed, not there, another one, or no picture; TransferError; the signal's reason
   */
  async take(file: JobFile, signal: AbortSignal): Promise<RgbImage> {
    const ahead = this.#ahead;
    this.#ahead = undefined;
    if (ahead?.key === keyOf(file)) {
      const stop = (): void => ahead.stop.abort(signal.reason);
      signal.addEventListener('abort', stop, { once: true });
      try {
        return await ahead.picture;
      } catch {
        signal.throwIfAborted(); // what failed ahead is tried once more, and says why
      } finally {
        signal.removeEventListener('abort', stop);
      }
    }
    ahead?.stop.abort();
    return this.#read(file, signal);
  }

  /** Begins to read a picture that will be asked for next. */
  readAhead(file: JobFile): void {
    if (this.#ahead?.key === keyOf(file)) return;
    this.drop();
    const stop = new AbortController();
    const picture = this.#read(file, stop.signal);
    picture.catch(() => undefined); // whoever takes it hears of it
    this.#ahead = { key: keyOf(file), picture, stop };
  }

  /** Leaves what was read ahead. */
  drop(): void {
    this.#ahead?.stop.abort();
    this.#ahead = undefined;
  }

  async #read(file: JobFile, signal: AbortSignal): Promise<RgbImage> {
    const bytes = await fetchUri(file.uri, this.#rules, { ...this.#options, signal });
    const received = sha256Of(bytes);
    if (received !== file.sha256) {
      throw new InputError({
        op: 'job',
        problem: 'the picture is another one than was submitted',
        expected: file.sha256,
        received,
        path: shownUri(file.uri),
        fix: 'Submit it again.',
      });
    }
    return this.#decode(bytes, shownUri(file.uri), signal);
  }
}

function keyOf({ uri, sha256 }: JobFile): string {
  return `${sha256} ${uri}`;
}

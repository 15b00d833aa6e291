/**
 * Many pictures through one pipeline: the picture behind the one that is edited is read meanwhile, and the one before it is written, so
 * that the device waits for neither.
 */
import { InputError } from '../../core/errors.ts';
import { kindOf } from '../../core/kinds.ts';
import { checkNames, namesOf } from '../../core/known-names.ts';
import type { AbortSignalLike } from '../../core/platform.ts';
import type { GreyImage, RgbImage } from '../../io/image.ts';
import type { RunArgs, RunOutput } from '../diffedit/types.ts';
import type { ProgressEvent } from '../runtime/progress.ts';
import { type EditedPictures, type Editor, type PictureEdit, pictureEdit } from './picture-edit.ts';
import type { PictureHandling } from './plain-edit.ts';

/** A value, or what brings it once it is needed. */
export type Brought<T> = T | ((signal: AbortSignalLike) => T | Promise<T>);

/** Arguments of `run` that a job has otherwise, or that belong to all of them. */
type Handled = 'image' | 'maskImage' | 'pasteBack' | 'outputType' | 'returnLatents' | 'signal' | 'onProgress';

/** One edit of many: the arguments of `run`, and how the picture is fitted. */
export interface EditJob extends Omit<RunArgs, Handled>, PictureHandling {
  /** The picture, or what reads it, which is called while the job before is edited. */
  readonly image: Brought<RgbImage>;
  /** White is what changes; by default it is found. */
  readonly maskImage?: Brought<RgbImage | GreyImage> | undefined;
  /** The caller's own, to be found in the result: nothing looks at it. */
  readonly data?: unknown;
}

/** What `editMany` takes beside the jobs. */
export interface EditManyOptions<J extends EditJob = EditJob> {
  /** Ends the edit that runs at its next step, and the iteration with the signal's reason. */
  readonly signal?: AbortSignalLike | undefined;
  /** Told of every finished piece of the edit that runs. */
  readonly onProgress?: ((event: ProgressEvent, job: J, index: number) => void) | undefined;
}

/** An edit that was made. */
export interface EditManySuccess<J extends EditJob = EditJob> extends EditedPictures {
  /** Of the job, from 0. */
  readonly index: number;
  /** As it was given. */
  readonly job: J;
  /** Tells it from a failure. */
  readonly error?: undefined;
  /** As it was read. */
  readonly picture: RgbImage;
  /** How it was fitted. */
  readonly edit: PictureEdit;
  /** What `run` returned. */
  readonly output: RunOutput;
  /** Milliseconds of `run`. */
  readonly ms: number;
}

/** An edit that failed; the others go on. */
export interface EditManyFailure<J extends EditJob = EditJob> {
  /** Of the job, from 0. */
  readonly index: number;
  /** As it was given. */
  readonly job: J;
  /** There are none. */
  readonly images?: undefined;
  /** Why: of this library's errors where it knew it. */
  readonly error: unknown;
}

/** What `editMany` yields, in the order of the jobs. */
export type EditManyResult<J extends EditJob = EditJob> = EditManySuccess<J> | EditManyFailure<J>;

const OP = 'editMany';
const OPTIONS = namesOf<EditManyOptions>({ signal: 1, onProgress: 1 });

/**
 * Edits many pictures with one pipeline. At any time one is edited, one is being read, and one waits to be taken; breaking off the loop
 * ends the edit that runs.
 * @param pipeline a DiffEditPipeline, also one in a worker
 * @param jobs in any number, made as they are needed where they come from a generator
 * @returns a result for each job, in their order: pictures, or why there are none
 * @throws the signal's reason, what the jobs' own iterator throws, InputError for jobs that cannot be iterated
 * @example
 * for await (const { index, images } of editMany(pipeline, jobs)) if (images) await saveImage(`${index}.png`, images[0]);
 */
export async function* editMany<J extends EditJob>(
  pipeline: Editor,
  jobs: Iterable<J> | AsyncIterable<J>,
  options: EditManyOptions<J> = {},
): AsyncGenerator<EditManyResult<J>, void, undefined> {
  checkNames(OP, options, OPTIONS);
  const line = new Line(pipeline, iteratorOf(jobs), options);
  try {
    let running = line.advance();
    for (let result = await running; result; result = await running) {
      running = line.advance();
      running.catch(() => undefined); // it is awaited when the loop comes back
      yield result;
    }
  } finally {
    await line.close();
  }
}

/** A job with its pictures, or with why they could not be read. */
interface Read<J> {
  readonly index: number;
  readonly job: J;
  readonly picture?: RgbImage;
  readonly mask?: RgbImage | GreyImage | undefined;
  readonly error?: unknown;
}

/** Jobs on their way through the pipeline. */
class Line<J extends EditJob> {
  readonly #pipeline: Editor;
  readonly #jobs: AsyncIterator<J> | Iterator<J>;
  readonly #options: EditManyOptions<J>;
  readonly #controller = new AbortController();
  readonly #abort = (): void => this.#controller.abort(this.#options.signal?.reason);
  #count = 0;
  /** The job that is read while another is edited. */
  #next: Promise<Read<J> | undefined> | undefined;
  #running: Promise<unknown> | undefined;

  constructor(pipeline: Editor, jobs: AsyncIterator<J> | Iterator<J>, options: EditManyOptions<J>) {
    this.#pipeline = pipeline;
    this.#jobs = jobs;
    this.#options = options;
    if (options.signal?.aborted) this.#abort();
    else options.signal?.addEventListener('abort', this.#abort);
  }

  /** Edits the next job, and reads the one behind it; undefined behind the last. */
  advance(): Promise<EditManyResult<J> | undefined> {
    const running = this.#step();
    this.#running = running;
    return running;
  }

  /** Ends what runs, and the jobs' iterator with it. */
  async close(): Promise<void> {
    this.#options.signal?.removeEventListener('abort', this.#abort);
    this.#controller.abort();
    await Promise.allSettled([this.#running, this.#next]);
    await this.#jobs.return?.();
  }

  async #step(): Promise<EditManyResult<J> | undefined> {
    const read = await (this.#next ?? this.#read());
    this.#signal.throwIfAborted();
    if (!read) return undefined;
    this.#next = this.#read();
    this.#next.catch(() => undefined); // it is awaited by the next step
    return this.#edit(read);
  }

  get #signal(): AbortSignal {
    return this.#controller.signal;
  }

  async #read(): Promise<Read<J> | undefined> {
    this.#signal.throwIfAborted();
    const { done, value: job } = await this.#jobs.next();
    if (done) return undefined;
    const index = this.#count++;
    try {
      const [picture, mask] = await Promise.all([
        broughtBy(job.image, this.#signal),
        job.maskImage === undefined ? undefined : broughtBy(job.maskImage, this.#signal),
      ]);
      return { index, job, picture, mask };
    } catch (error) {
      return { index, job, error };
    }
  }

  async #edit({ index, job, picture, mask, error }: Read<J>): Promise<EditManyResult<J>> {
    if (!picture) return { index, job, error: error ?? noPicture() };
    const { image: _, maskImage: __, data: ___, fit, size, pasteBack, ...args } = job;
    const { onProgress } = this.#options;
    try {
      const edit = pictureEdit(picture, this.#pipeline, { fit, size, pasteBack }, mask);
      const start = performance.now();
      const output = await this.#pipeline.run({
        ...args,
        ...edit.args,
        signal: this.#signal,
        onProgress: onProgress && (event => onProgress(event, job, index)),
      });
      const ms = performance.now() - start;
      return { index, job, picture, edit, output, ms, ...edit.results(output) };
    } catch (failure) {
      this.#signal.throwIfAborted();
      return { index, job, error: failure };
    }
  }
}

function noPicture(): InputError {
  const fix = 'Let image be a picture, or a function that returns one.';
  return new InputError({ op: OP, problem: 'no picture came', path: 'image', fix });
}

async function broughtBy<T extends object>(value: Brought<T>, signal: AbortSignalLike): Promise<T> {
  return typeof value === 'function' ? value(signal) : value;
}

function iteratorOf<J>(jobs: Iterable<J> | AsyncIterable<J>): AsyncIterator<J> | Iterator<J> {
  const given = Object(jobs) as Partial<Iterable<J> & AsyncIterable<J>>;
  const made = given[Symbol.asyncIterator]?.() ?? given[Symbol.iterator]?.();
  if (made && typeof jobs !== 'string') return made;
  const fix = 'Pass a list of { image, sourcePrompt, targetPrompt, seed }, or a generator of such.';
  throw new InputError({ op: OP, problem: 'these are no jobs', received: kindOf(jobs), path: 'jobs', fix });
}

/** A worker: takes one job after the other of the models that it serves, makes the edit, and writes what came of it. */
import type { Job, Queue, Worker } from 'bullmq';
import type { Redis } from 'ioredis';
import { InputError } from '../core/errors.ts';
import { checkNames, namesOf } from '../core/known-names.ts';
import { PictureThread } from '../node/picture-thread.ts';
import type { ProgressEvent } from '../pipeline/runtime/progress.ts';
import { connect, loadBullMq, type ServerOptions } from './connection.ts';
import { CannotOpen, failureOf, ofWorker } from './failures.ts';
import { type Made, makeEdit } from './fleet-edit.ts';
import { checkJob, type FleetJob, JOB_VERSION, queueNameOf, RESULTS_VERSION } from './job.ts';
import type { FleetMetrics, Outcome } from './metrics.ts';
import { type ModelTurns, modelTurns } from './model-turns.ts';
import { type FleetModel, LoadedModel } from './models.ts';
import { type Decode, NextPicture } from './next-picture.ts';
import { pause } from './queue.ts';
import { folderResults, presignedResults, type ResultStore, removeParts } from './result-store.ts';
import { TransferError } from './transfer-error.ts';
import { pictureOf, shownUri, type UriRules } from './uri-rules.ts';

/** A worker and what it serves. */
export interface FleetWorkerOptions extends ServerOptions {
  /** The fleet's name. */
  readonly queue: string;
  /** One is loaded at a time; its jobs are made before those of another. */
  readonly models: readonly FleetModel[];
  /** Folder of results. */
  readonly output: string;
  /** What jobs may name. */
  readonly rules: UriRules;
  /** Version of the program, for results. */
  readonly program: string;
  /** Told of each job's beginning and end. */
  readonly onEvent?: ((event: FleetEvent) => void) | undefined;
  /** Told of every finished piece of an edit. */
  readonly onProgress?: ((event: ProgressEvent, id: string) => void) | undefined;
  /** What is counted, for Prometheus. */
  readonly metrics?: FleetMetrics | undefined;
  /** Milliseconds after which a job whose worker says nothing is given to another; default 30 s. */
  readonly lockMs?: number | undefined;
  /** Milliseconds from one event of an edit in the queue to the next; default 1 s. */
  readonly progressMs?: number | undefined;
  /** How pictures are decoded; default as `readImage` does, large ones in a thread. */
  readonly decode?: Decode | undefined;
}

/** What a worker tells of a job. */
export interface FleetEvent {
  /** Its beginning, or how it ended. */
  readonly type: 'begun' | Outcome;
  /** Of the job. */
  readonly id: string;
  /** URI of the picture, without what may be a key. */
  readonly picture: string;
  /** Of a job that is done. */
  readonly ms?: number;
  /** Of one that failed, or is tried again. */
  readonly error?: unknown;
}

const OPTIONS = namesOf<FleetWorkerOptions>({
  ...{ queue: 1, redis: 1, models: 1, output: 1, rules: 1, program: 1, onEvent: 1, onProgress: 1, metrics: 1 },
  ...{ lockMs: 1, progressMs: 1, decode: 1 },
});
const LOCK_MS = 30_000;
const PROGRESS_MS = 1000;
/** From one look whether the queues are empty to the next. */
const EMPTY_MS = 500;
/** A job whose worker died is given to one other; when that dies too it is set aside. */
const DEATHS = 1;
/** What a worker has from the wish that it ends to the end. */
const GRACE_MS = 30_000;

/**
 * Starts a worker.
 * @throws InputError, TransferError or LoadError as server, packages and options are
 */
export async function startFleetWorker(options: FleetWorkerOptions): Promise<FleetWorker> {
  checkNames('startFleetWorker', options, OPTIONS);
  if (options.models.length === 0) {
    throw new InputError({ op: 'startFleetWorker', problem: 'a worker without a model', path: 'models' });
  }
  await removeParts(options.output);
  const { Worker, Queue, WaitingError, UnrecoverableError } = await loadBullMq();
  return new FleetWorker(options, await connect(options), { Worker, Queue, WaitingError, UnrecoverableError });
}

type Classes = Pick<typeof import('bullmq'), 'Worker' | 'Queue' | 'WaitingError' | 'UnrecoverableError'>;

/** The job that a worker makes. */
interface Current {
  readonly stop: AbortController;
  readonly begun: number;
  /** Of the phase that decides how long it still takes. */
  left?: number | undefined;
}

/** A worker that runs; `close` it. */
export class FleetWorker {
  readonly #options: FleetWorkerOptions;
  readonly #connection: Redis;
  readonly #classes: Classes;
  readonly #queues: readonly Queue[];
  readonly #workers: readonly Worker[];
  readonly #turns: ModelTurns;
  readonly #loaded = new LoadedModel();
  readonly #thread = new PictureThread();
  readonly #pictures: NextPicture;
  #current: Current | undefined;
  /** How long the last edit took. */
  #lastMs: number | undefined;
  #closing: Promise<void> | undefined;
  readonly #broken = new AbortController();

  /** @internal */
  constructor(options: FleetWorkerOptions, connection: Redis, classes: Classes) {
    this.#options = options;
    this.#connection = connection;
    this.#classes = classes;
    const decode: Decode = options.decode ?? ((bytes, name, signal) => this.#thread.decode(bytes, name, signal));
    this.#pictures = new NextPicture(options.rules, decode);
    const lockDuration = options.lockMs ?? LOCK_MS;
    const names = options.models.map(({ key }) => queueNameOf(options.queue, key));
    this.#queues = names.map(name => new classes.Queue(name, { connection }));
    this.#workers = options.models.map((model, i) => {
      const job = (given: Job, token?: string): Promise<unknown> => this.#take(given, token, model, i);
      const settings = { connection, concurrency: 1, autorun: false, maxStalledCount: DEATHS };
      return new classes.Worker(names[i] ?? '', job, { ...settings, lockDuration, stalledInterval: lockDuration });
    });
    // The connection tries again by itself.
    for (const queue of this.#queues) queue.on('error', () => undefined);
    for (const worker of this.#workers) worker.on('error', () => undefined);
    if (options.metrics) options.metrics.counts = () => this.#counts();
    this.#turns = modelTurns(this.#queues, this.#workers);
  }

  /**
   * Ends: an edit that is nearly done is finished, another is handed back to the queue as it was, within `graceMs`.
   * @param options `graceMs`: default 30 s; 0 hands back at the running step's end
   */
  close(options: { readonly graceMs?: number } = {}): Promise<void> {
    const { graceMs = GRACE_MS } = options;
    if (graceMs === 0) this.#current?.stop.abort(HANDED_BACK);
    this.#closing ??= this.#close(graceMs);
    return this.#closing;
  }

  /**
   * Fires where the worker has ended by itself, with the error as its reason: its model cannot be opened, or its files are damaged. The
   * job is handed back, for others may be able to make it.
   */
  get broken(): AbortSignal {
    return this.#broken.signal;
  }

  async #close(graceMs: number): Promise<void> {
    this.#turns.stop();
    this.#pictures.drop();
    const current = this.#current;
    // Half of the time is for what ends by itself, half for what has to be ended.
    const timer = setTimeout(() => current?.stop.abort(HANDED_BACK), this.#endsWithin(graceMs / 2) ? graceMs / 2 : 0);
    const closed = Promise.allSettled(this.#workers.map(worker => worker.close()));
    // A server that is away shall not hold a worker: its jobs are given to others when their locks end.
    await Promise.race([
      closed,
      pause(Math.max(graceMs, 1000)).then(() => this.#workers.map(worker => worker.close(true))),
    ]);
    clearTimeout(timer);
    await Promise.allSettled(this.#queues.map(queue => queue.close()));
    this.#connection.disconnect();
    await this.#loaded.close();
    await this.#thread.close();
  }

  /** Whether the edit that runs will have ended by then, by the last one's time or its own last phase. */
  #endsWithin(ms: number): boolean {
    const { left, begun } = this.#current ?? { begun: 0 };
    if (left !== undefined) return left < ms;
    return this.#lastMs !== undefined && this.#lastMs - (performance.now() - begun) < ms;
  }

  /**
   * Waits until no job of this worker's models waits, is made, or will be tried again.
   * @throws the signal's reason
   */
  async empty(signal?: AbortSignal): Promise<void> {
    for (;;) {
      const { failed: _, ...left } = await this.#counts();
      if (Object.values(left).every(count => count === 0)) return;
      await pause(EMPTY_MS, signal);
    }
  }

  async #counts(): Promise<Readonly<Record<string, number>>> {
    const sums: Record<string, number> = {};
    for (const queue of this.#queues) {
      const counts = await queue.getJobCounts('waiting', 'active', 'delayed', 'failed');
      for (const [state, count] of Object.entries(counts)) sums[state] = (sums[state] ?? 0) + count;
    }
    return sums;
  }

  /** One attempt at a job, as BullMQ calls it. */
  async #take(given: Job, token: string | undefined, model: FleetModel, index: number): Promise<unknown> {
    const current: Current = { stop: new AbortController(), begun: performance.now() };
    this.#current = current;
    const picture = pictureOf(given.data);
    const tell = (type: FleetEvent['type'], more: Partial<FleetEvent> = {}): void => {
      if (type !== 'begun') this.#options.metrics?.job(type);
      this.#options.onEvent?.({ type, id: given.id ?? '', picture, ...more });
    };
    try {
      if (this.#closing) current.stop.abort(HANDED_BACK);
      tell('begun');
      const { result, outcome } = await this.#make(given, model, index, current);
      tell(outcome, { ms: performance.now() - current.begun });
      return result;
    } catch (error) {
      const own = current.stop.signal.aborted ? undefined : ofWorker(error);
      if (own !== undefined) this.#giveUp(own);
      if (current.stop.signal.aborted) {
        await given.moveToWait(token);
        tell('handed back', own === undefined ? {} : { error: own });
        throw new this.#classes.WaitingError();
      }
      throw await this.#failed(given, error instanceof CannotOpen ? error.cause : error, tell);
    } finally {
      this.#current = undefined;
    }
  }

  /** Ends before more jobs fail that another worker could make. */
  #giveUp(error: unknown): void {
    this.#broken.abort(error);
    void this.close({ graceMs: 0 });
  }

  /** What BullMQ is told of a failure; the job keeps the error's fields. */
  async #failed(
    given: Job,
    error: unknown,
    tell: (type: Outcome, more: Partial<FleetEvent>) => void,
  ): Promise<unknown> {
    const failure = failureOf(error);
    await given.updateProgress({ version: 1, failure } as object).catch(() => undefined);
    const last = !failure.again || given.attemptsMade + 1 >= (given.opts.attempts ?? 1);
    tell(last ? 'failed' : 'again', { error });
    const { message } = failure.error;
    const thrown = error instanceof Error ? error : new TransferError({ op: 'worker', problem: message });
    return failure.again ? thrown : new this.#classes.UnrecoverableError(message);
  }

  async #make(
    given: Job,
    model: FleetModel,
    index: number,
    current: Current,
  ): Promise<{ readonly result: unknown; readonly outcome: 'done' | 'already done' }> {
    const { signal } = current.stop;
    signal.throwIfAborted();
    const job = checkJob(given.data);
    if (job.id !== given.id || job.model.key !== model.key) {
      throw new InputError({
        op: 'job',
        problem: "a job in another one's place",
        expected: job.id,
        received: given.id ?? '',
      });
    }
    const store = await this.#storeOf(job);
    if (await store.has(job.id, signal)) return { result: { version: 1 }, outcome: 'already done' };
    const made = await makeEdit(job, {
      model,
      loaded: this.#loaded,
      pictures: this.#pictures,
      encode: image => this.#thread.encode(image, signal),
      signal,
      onProgress: this.#progressOf(given, current),
      onStart: () => this.#lookAhead(index),
    });
    const files = await this.#write(job, store, made, given.attemptsMade + 1, signal);
    this.#lastMs = performance.now() - current.begun;
    this.#options.metrics?.phases(made.timingsMs);
    return { result: { version: 1, files }, outcome: 'done' };
  }

  async #write(
    job: FleetJob,
    store: ResultStore,
    made: Made,
    attempts: number,
    signal: AbortSignal,
  ): Promise<readonly string[]> {
    const files = store.names(
      job.id,
      made.files.map(({ suffix }) => suffix),
    );
    const { version: _, results: __, picture, mask, ...facts } = job;
    const shown = ({ uri, sha256 }: FleetJob['picture']): object => ({ uri: shownUri(uri), sha256 });
    const json = {
      ...{ version: JOB_VERSION, results: RESULTS_VERSION },
      ...{ ...facts, picture: shown(picture), ...(mask ? { mask: shown(mask) } : {}), files, ...made.facts },
      ...{ program: this.#options.program, attempts, finished: new Date().toISOString() },
    };
    const bytes = Buffer.from(`${JSON.stringify(json, null, 2)}\n`);
    await store.write(job.id, [...made.files, { suffix: '.json', bytes, type: 'application/json' }], signal);
    return files;
  }

  async #storeOf({ results, edit }: FleetJob): Promise<ResultStore> {
    const { output, rules } = this.#options;
    if (results === undefined || 'folder' in results) return folderResults(output, results?.folder);
    const expected = Number(edit['numImagesPerPrompt'] ?? 1);
    if (results.images.length === expected) return presignedResults(results, rules);
    const received = results.images.length;
    throw new InputError({
      op: 'job',
      problem: 'an address for each picture is needed',
      expected,
      received,
      path: 'results.images',
    });
  }

  /** The pipeline's own events, to the queue at most one a second. */
  #progressOf(given: Job, current: Current): (event: ProgressEvent) => void {
    const { onProgress, progressMs = PROGRESS_MS, metrics } = this.#options;
    let last = Number.NEGATIVE_INFINITY;
    let onTheWay = false;
    return event => {
      onProgress?.(event, given.id ?? '');
      current.left =
        event.phase === 'edit' && event.secondsLeft !== undefined ? event.secondsLeft * 1000 : current.left;
      metrics?.device(event.bytes, this.#loaded.current?.peakBytes);
      const now = performance.now();
      if (onTheWay || now - last < progressMs) return;
      [last, onTheWay] = [now, true];
      const sent = given.updateProgress({ version: 1, ...event });
      void sent
        .catch(() => undefined)
        .finally(() => {
          onTheWay = false;
        });
    };
  }

  /** Reads the picture of the job that is next in line, without taking the job. */
  #lookAhead(index: number): void {
    const next = this.#queues[index]?.getWaiting(0, 0);
    next?.then(
      ([job]) => {
        const file = (Object(job?.data) as Partial<FleetJob>).picture;
        if (file && !this.#closing) this.#pictures.readAhead(file);
      },
      () => undefined, // it is read when its turn comes
    );
  }
}

const HANDED_BACK: unique symbol = Symbol('handed back');

/** The queue of a fleet as a submitter sees it: jobs go in, their states come out. */
import type { Job, Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import { canonicalJson, type JsonValue } from '../core/canonical-json.ts';
import type { ErrorJson } from '../core/errors.ts';
import { checkNames, namesOf } from '../core/known-names.ts';
import { connect, loadBullMq, type ServerOptions } from './connection.ts';
import { ATTEMPTS, BACKOFF_MS, type JobFailure } from './failures.ts';
import { type FleetJob, queueNameOf } from './job.ts';
import { pictureOf, shownUri } from './uri-rules.ts';

/** Where a fleet's jobs wait. */
export interface QueueOptions extends ServerOptions {
  /** The fleet's name: letters, digits, `-` and `_`. */
  readonly queue: string;
}

/** How jobs are submitted. */
export interface SubmitOptions {
  /** Ends it between slices: what was put in stays. */
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds before a second attempt; before a third twice as many. Default 5 s. */
  readonly backoffMs?: number | undefined;
}

/** A job's state, as BullMQ names it; 'unknown' of one that is not there. */
export type JobState =
  | 'waiting'
  | 'active'
  | 'delayed'
  | 'prioritized'
  | 'waiting-children'
  | 'completed'
  | 'failed'
  | 'unknown';

/** What became of a job that was submitted. */
export interface Submitted {
  /** Of the job. */
  readonly id: string;
  /** 'added', or the state of the same job that was there already. */
  readonly state: 'added' | JobState;
}

/** A job that ended in failure. */
export interface FailedJob {
  /** Of the job. */
  readonly id: string;
  /** URI of the picture, without what may be a key. */
  readonly picture: string;
  /** The error's message. */
  readonly reason: string;
  /** The error's fields, where the worker lived to tell them. */
  readonly error: ErrorJson | undefined;
  /** Whether it was set aside because the workers that made it died. */
  readonly parked: boolean;
  /** How often it was tried. */
  readonly attempts: number;
}

/** A model's part of a fleet's queue. */
export interface ModelStatus {
  /** A name for people. */
  readonly id: string;
  /** As `modelKey` makes it. */
  readonly key: string;
  /** Jobs by state: waiting, active, delayed, completed, failed. */
  readonly jobs: Readonly<Record<string, number>>;
}

/** How far a wait is. */
export interface WaitEvent {
  /** Jobs that are done. */
  readonly done: number;
  /** Jobs that failed for good. */
  readonly failed: number;
  /** Jobs that are waited for. */
  readonly of: number;
}

const OPTIONS = namesOf<QueueOptions>({ queue: 1, redis: 1 });
/** So many jobs go to the server at once. */
const SLICE = 500;
/** Done jobs that the queue remembers; their results are remembered for ever, by their files. */
const KEPT = 10_000;
/** From one look to the next, while a submitter waits. */
const LOOK_MS = 500;
/** What BullMQ says of a job that its workers left more often than it may. */
const PARKED = /stalled more than/;

/**
 * Opens a fleet's queue.
 * @throws InputError, TransferError or LoadError as the server, its URL or the packages are
 */
export async function openQueue(options: QueueOptions): Promise<FleetQueue> {
  checkNames('openQueue', options, OPTIONS);
  queueNameOf(options.queue, '');
  const { Queue } = await loadBullMq();
  return new FleetQueue(options.queue, await connect(options), Queue);
}

/** A fleet's queue; `close` it. */
export class FleetQueue {
  readonly #name: string;
  readonly #connection: Redis;
  readonly #Queue: typeof Queue;
  readonly #queues = new Map<string, Queue>();

  /** @internal */
  constructor(name: string, connection: Redis, queue: typeof Queue) {
    this.#name = name;
    this.#connection = connection;
    this.#Queue = queue;
  }

  /**
   * Puts jobs into the queue. One that is there is left as it is, but for one that failed and has other addresses now: it waits once more,
   * with these.
   * @returns what became of each, in their order
   * @throws the signal's reason, between slices: what was put in stays
   */
  async submit(jobs: Iterable<FleetJob>, { signal, backoffMs = BACKOFF_MS }: SubmitOptions = {}): Promise<Submitted[]> {
    const all = [...jobs];
    const submitted: Submitted[] = [];
    for (let at = 0; at < all.length; at += SLICE) {
      signal?.throwIfAborted();
      submitted.push(...(await this.#add(all.slice(at, at + SLICE), backoffMs)));
    }
    return submitted;
  }

  async #add(jobs: readonly FleetJob[], backoffMs: number): Promise<Submitted[]> {
    const opts = { ...KEEPING, backoff: { type: 'exponential', delay: backoffMs } };
    const states = await Promise.all(jobs.map(job => this.#queueOf(job.model.key).getJobState(job.id)));
    const seen = new Set<string>();
    const isNew = jobs.map(({ id }, i) => states[i] === 'unknown' && !seen.has(id) && Boolean(seen.add(id)));
    const again = new Set<string>();
    for (const [i, job] of jobs.entries())
      if (states[i] === 'failed' && !again.has(job.id) && (await this.#takesAddresses(job))) again.add(job.id);
    const byModel = new Map<string, FleetJob[]>();
    for (const [i, job] of jobs.entries()) {
      if (isNew[i]) byModel.set(job.model.key, [...(byModel.get(job.model.key) ?? []), job]);
    }
    for (const [key, added] of byModel) {
      await this.#connection.hset(modelsKey(this.#name), key, added[0]?.model.id ?? '');
      await this.#queueOf(key).addBulk(added.map(data => ({ name: 'edit', data, opts: { ...opts, jobId: data.id } })));
    }
    return jobs.map(({ id }, i) => ({
      id,
      state: isNew[i] || again.has(id) ? 'added' : seen.has(id) ? 'waiting' : (states[i] ?? 'unknown'),
    }));
  }

  /** Whether a job that failed was given the addresses of the same one that is submitted: an address that was wrong, or has expired. */
  async #takesAddresses(job: FleetJob): Promise<boolean> {
    const failed = await this.#queueOf(job.model.key).getJob(job.id);
    if (!failed || addressesOf(failed.data) === addressesOf(job)) return false;
    await failed.updateData(job);
    return failed.retry('failed', { resetAttemptsMade: true }).then(
      () => true,
      async (cause: unknown) => {
        if (await failed.isFailed()) throw cause;
        return false; // another submitter was faster
      },
    );
  }

  /** Each model's jobs by state. */
  async status(): Promise<ModelStatus[]> {
    const models = Object.entries(await this.#connection.hgetall(modelsKey(this.#name)));
    return Promise.all(
      models.map(async ([key, id]) => {
        const jobs = await this.#queueOf(key).getJobCounts('waiting', 'active', 'delayed', 'completed', 'failed');
        return { id, key, jobs };
      }),
    );
  }

  /** Jobs that failed for good, at most `most` a model. */
  async failed(most = 1000): Promise<FailedJob[]> {
    const found: FailedJob[] = [];
    for (const { key } of await this.status()) {
      for (const job of await this.#queueOf(key).getFailed(0, most - 1)) found.push(failedJob(job));
    }
    return found;
  }

  /**
   * Lets jobs that failed wait once more.
   * @param ids all by default
   * @returns those that wait now
   */
  async retry(ids?: readonly string[]): Promise<string[]> {
    const retried: string[] = [];
    for (const { key } of await this.status()) {
      for (const job of await this.#queueOf(key).getFailed()) {
        if (job.id === undefined || (ids && !ids.includes(job.id))) continue;
        await job.retry('failed', { resetAttemptsMade: true });
        retried.push(job.id);
      }
    }
    return retried;
  }

  /**
   * Waits until jobs are done or have failed for good. One that the server does not know any more counts as done only where the queue
   * has had so many since that it has forgotten the first ones.
   * @param jobs as they were submitted
   * @returns those that failed, and those that were lost
   * @throws the signal's reason
   */
  async wait(
    jobs: readonly FleetJob[],
    { signal, onProgress }: { readonly signal?: AbortSignal; readonly onProgress?: (event: WaitEvent) => void } = {},
  ): Promise<FailedJob[]> {
    const failed: FailedJob[] = [];
    let pending = [...new Map(jobs.map(job => [job.id, job])).values()];
    const of = pending.length;
    for (;;) {
      const ended = new Set<string>();
      // Those that were submitted first end first: a slice from the front is enough to see it.
      for (const job of pending.slice(0, SLICE)) {
        signal?.throwIfAborted();
        const state = await this.#queueOf(job.model.key).getJobState(job.id);
        if (!['completed', 'failed', 'unknown'].includes(state)) continue;
        ended.add(job.id);
        if (state === 'failed' || (state === 'unknown' && !(await this.#forgets(job))))
          failed.push(await this.#failedJob(job));
      }
      pending = pending.filter(({ id }) => !ended.has(id));
      onProgress?.({ done: of - pending.length - failed.length, failed: failed.length, of });
      if (pending.length === 0) return failed;
      await pause(LOOK_MS, signal);
    }
  }

  /** Lets go of the server. Jobs stay. */
  async close(): Promise<void> {
    await Promise.all([...this.#queues.values()].map(queue => queue.close()));
    this.#connection.disconnect();
  }

  /** Whether jobs that were done have left the queue by themselves. */
  async #forgets({ model }: FleetJob): Promise<boolean> {
    const { completed = 0 } = await this.#queueOf(model.key).getJobCounts('completed');
    return completed >= KEPT;
  }

  async #failedJob({ id, model, picture }: FleetJob): Promise<FailedJob> {
    const job = await this.#queueOf(model.key).getJob(id);
    if (job) return failedJob(job);
    return {
      id,
      picture: shownUri(picture.uri),
      reason: 'the queue has lost it, or it was removed: submit it again',
      error: undefined,
      parked: false,
      attempts: 0,
    };
  }

  #queueOf(key: string): Queue {
    const known = this.#queues.get(key);
    if (known) return known;
    const made = new this.#Queue(queueNameOf(this.#name, key), { connection: this.#connection });
    made.on('error', () => undefined); // the connection tries again by itself
    this.#queues.set(key, made);
    return made;
  }
}

const KEEPING = {
  attempts: ATTEMPTS,
  removeOnComplete: { count: KEPT },
  removeOnFail: false,
} as const;

/** Names and keys of the models that a fleet has had jobs of. */
function modelsKey(fleet: string): string {
  return `pentimento:${fleet}:models`;
}

/** Where a job's files are and its results go, which its id does not tell. */
function addressesOf(data: unknown): string {
  const { picture, mask, results } = Object(data) as Readonly<Record<string, JsonValue | undefined>>;
  return canonicalJson([picture ?? null, mask ?? null, results ?? null]);
}

function failedJob(job: Job): FailedJob {
  const { id = '', data, failedReason = '', progress, attemptsMade } = job;
  const parked = PARKED.test(failedReason);
  const failure = (Object(progress) as { readonly failure?: JobFailure }).failure;
  return {
    id,
    picture: pictureOf(data),
    reason: failedReason,
    error: parked ? undefined : failure?.error,
    parked,
    attempts: attemptsMade,
  };
}

/** @throws the signal's reason */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((done, failed) => {
    const stop = (): void => {
      clearTimeout(timer);
      failed(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop);
      done();
    }, ms);
    if (signal?.aborted) stop();
    else signal?.addEventListener('abort', stop, { once: true });
  });
}

/** Numbers of a worker for Prometheus, on a port of this machine alone. */
import { createServer } from 'node:http';
import type { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { InputError } from '../core/errors.ts';
import { reason } from '../node/files.ts';
import { missing } from './connection.ts';
import { pause } from './queue.ts';

/** How a job ended. */
export type Outcome = 'done' | 'already done' | 'failed' | 'again' | 'handed back';

/** A server that answers. */
export interface MetricsServer {
  /** Ends it. */
  close(): void;
  /** On 127.0.0.1. */
  readonly port: number;
}

/** Seconds of a phase, from a warm card to software. */
const BUCKETS = [0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000];

/** So long a scrape waits for the queue's server; Prometheus waits 10 s for all. */
const COUNTS_MS = 1000;

/** What a worker counts. */
export class FleetMetrics {
  readonly #registry: Registry;
  readonly #jobs: Counter<'outcome'>;
  readonly #phases: Histogram<'phase'>;
  readonly #bytes: Gauge<'kind'>;
  readonly #waiting: Gauge<'state'>;
  /** The question for them that has no answer yet: a server that is away is not asked twice. */
  #asked: Promise<Readonly<Record<string, number>>> | undefined;
  /** Asked for at every scrape: jobs by state. */
  counts: (() => Promise<Readonly<Record<string, number>>>) | undefined;

  private constructor({ Registry, Counter, Histogram, Gauge }: typeof import('prom-client')) {
    this.#registry = new Registry();
    const registers = [this.#registry];
    const own = (name: string): string => `pentimento_${name}`;
    this.#jobs = new Counter({ name: own('jobs_total'), help: 'Jobs by outcome.', labelNames: ['outcome'], registers });
    this.#phases = new Histogram({
      name: own('phase_seconds'),
      help: 'Seconds of a phase of an edit.',
      labelNames: ['phase'],
      buckets: BUCKETS,
      registers,
    });
    this.#bytes = new Gauge({ name: own('device_bytes'), help: 'Device memory.', labelNames: ['kind'], registers });
    this.#waiting = new Gauge({
      name: own('queue_jobs'),
      help: 'Jobs of the queues of this worker.',
      labelNames: ['state'],
      registers,
      collect: async () => {
        const counts = await this.#countsInTime();
        this.#waiting.reset();
        for (const [state, count] of Object.entries(counts)) this.#waiting.set({ state }, count);
      },
    });
  }

  /** @throws LoadError without the package prom-client */
  static async create(): Promise<FleetMetrics> {
    const loaded = await import('prom-client').catch((cause: unknown) => {
      throw missing('prom-client', cause);
    });
    return new FleetMetrics(loaded);
  }

  /** Jobs by state; nothing while the queue's server is away, of which the other numbers know. */
  async #countsInTime(): Promise<Readonly<Record<string, number>>> {
    this.#asked ??= this.counts?.().finally(() => {
      this.#asked = undefined;
    });
    const ended = new AbortController();
    const late = pause(COUNTS_MS, ended.signal).then(
      () => ({}),
      () => ({}),
    );
    try {
      return await Promise.race([this.#asked ?? {}, late]);
    } finally {
      ended.abort();
    }
  }

  /** Counts a job. */
  job(outcome: Outcome): void {
    this.#jobs.inc({ outcome });
  }

  /** Counts the phases of an edit. @param ms by phase */
  phases(ms: Readonly<Record<string, number | undefined>>): void {
    for (const [phase, taken] of Object.entries(ms))
      if (taken !== undefined) this.#phases.observe({ phase }, taken / 1000);
  }

  /** Bytes that the model holds, and held at most. */
  device(held: number, peak: number | undefined): void {
    this.#bytes.set({ kind: 'held' }, held);
    if (peak !== undefined) this.#bytes.set({ kind: 'peak' }, peak);
  }

  /** The text that Prometheus reads. */
  text(): Promise<string> {
    return this.#registry.metrics();
  }

  /**
   * Answers `GET /metrics` on 127.0.0.1.
   * @param port 0 for any
   * @returns the server, and the port that it has
   * @throws InputError for a port that is taken
   */
  async listen(port: number): Promise<MetricsServer> {
    const server = createServer((request, response) => {
      if (request.method !== 'GET' || request.url !== '/metrics') {
        response.writeHead(404).end();
        return;
      }
      this.text().then(
        text => response.writeHead(200, { 'content-type': this.#registry.contentType }).end(text),
        () => response.writeHead(503).end(),
      );
    });
    await new Promise<void>((done, failed) => {
      server.once('error', (cause: Error) => {
        const details = {
          op: 'metrics',
          problem: 'the port cannot be opened',
          received: reason(cause),
          path: `${port}`,
          cause,
        };
        failed(new InputError({ ...details, fix: 'Name another one.' }));
      });
      server.listen(port, '127.0.0.1', done);
    });
    server.unref();
    const address = server.address();
    return { close: () => server.close(), port: typeof address === 'object' && address ? address.port : port };
  }
}

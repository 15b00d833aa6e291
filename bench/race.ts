/** Other engines in processes of their own, row by row beside ours. Whatever one of them does, the others' rows stand. */
import { existsSync } from 'node:fs';
import type { Meter, Reading } from '../src/tuning/meter.ts';
import { errorBound, timesOf } from './measure.ts';
import { PeerProcess } from './peer-process.ts';
import type { AskedRow, PeerAnswer } from './peer-protocol.ts';
import type { Opponents } from './run-kernels.ts';
import type { BenchPeer, KernelRow, PeerName, PeerRow } from './schema.ts';

/** How engines are raced. */
export interface RaceOptions {
  /** The program that runs one, by its name. */
  readonly script: string;
  /** Which, in the order of their samples. */
  readonly names: readonly PeerName[];
  /** Part of the name of the adapter that is asked for. */
  readonly device?: string | undefined;
  /** By what samples are compared. */
  readonly meter: Pick<Meter, 'costOf'>;
  readonly signal?: AbortSignal | undefined;
  /** For an answer, in ms; software compiles for minutes. Default 300000. */
  readonly timeoutMs?: number | undefined;
}

/** Processes that end by themselves are started again so often. */
const RESTARTS = 3;

/** The open row of a peer. */
interface OpenRow {
  readonly asked: AskedRow;
  readonly samples: Reading[];
  missing?: string;
  opened?: { readonly firstMs: number; readonly error: number | null };
}

/** One of the engines. */
class Opponent {
  readonly #name: PeerName;
  readonly #options: RaceOptions;
  readonly #rows: PeerRow[] = [];
  #process: PeerProcess | undefined;
  #started = 0;
  #missing: string | undefined;
  #package = '';
  #version: string | null = null;
  #row: OpenRow | undefined;

  constructor(name: PeerName, options: RaceOptions) {
    this.#name = name;
    this.#options = options;
  }

  async open(asked: AskedRow): Promise<void> {
    const row: OpenRow = { asked, samples: [] };
    this.#row = row;
    if (!this.#missing && (!this.#process || this.#process.ended !== undefined)) await this.#start();
    if (this.#missing) {
      row.missing = this.#missing;
      return;
    }
    const answer = await this.#ask({ ask: 'open', row: asked });
    if ('opened' in answer) row.opened = answer;
    else row.missing = reasonOf(answer);
  }

  async sample(): Promise<void> {
    const row = this.#row;
    if (!row?.opened || row.missing !== undefined || this.#isWrong(row)) return;
    const answer = await this.#ask({ ask: 'sample' });
    if ('ms' in answer) row.samples.push({ ms: answer.ms, cpu: answer.cpu ?? Number.NaN });
    else row.missing = reasonOf(answer);
  }

  close(ours: KernelRow): void {
    const row = this.#row;
    if (row) this.#rows.push(this.#rowOf(row, ours));
    this.#row = undefined;
  }

  get result(): BenchPeer {
    const missing = this.#missing === undefined ? {} : { missing: this.#missing };
    return { name: this.#name, package: this.#package, version: this.#version, ...missing, rows: this.#rows };
  }

  kill(): void {
    this.#process?.kill();
  }

  async #start(): Promise<void> {
    const { script, device } = this.#options;
    if (this.#started > RESTARTS) {
      this.#missing = `it ended ${this.#started} times: ${this.#process?.ended ?? ''}`;
      return;
    }
    this.#started++;
    this.#process = new PeerProcess(script, this.#name);
    const answer = await this.#ask({ ask: 'hello', device });
    if ('hello' in answer) {
      [this.#package, this.#version] = [answer.package, answer.version];
      this.#missing = answer.missing;
    } else this.#missing = reasonOf(answer);
  }

  async #ask(question: Parameters<PeerProcess['ask']>[0]): Promise<PeerAnswer> {
    const { signal, timeoutMs = 300_000 } = this.#options;
    const answer = await (this.#process?.ask(question, timeoutMs) ?? { failed: 'it was not started' });
    signal?.throwIfAborted();
    return answer;
  }

  #isWrong({ opened, asked }: OpenRow): boolean {
    return opened !== undefined && !(opened.error !== null && opened.error <= errorBound(asked.storage));
  }

  #rowOf(row: OpenRow, ours: KernelRow): PeerRow {
    const { asked, opened, missing } = row;
    const wrong = missing === undefined && this.#isWrong(row);
    const times = timesOf(missing === undefined && !wrong ? row.samples : [], this.#options.meter);
    const flops = ours.gflops === null || ours.medianMs === null ? null : ours.gflops * ours.medianMs;
    const { medianMs } = times;
    return {
      ...{ name: asked.name, ...times },
      gflops: medianMs === null || flops === null ? null : flops / medianMs,
      firstMs: opened?.firstMs ?? null,
      error: opened?.error ?? null,
      ...(wrong ? { wrong: true } : {}),
      ...(missing === undefined ? {} : { missing }),
      ratio: medianMs === null || ours.medianMs === null ? null : medianMs / ours.medianMs,
    };
  }
}

function reasonOf(answer: PeerAnswer): string {
  if ('missing' in answer && answer.missing !== undefined) return answer.missing;
  if ('failed' in answer) return `failed: ${answer.failed}`;
  return 'failed: it answered another question';
}

/** All engines of a race. */
export class Race implements Opponents {
  readonly #all: readonly Opponent[];
  readonly #absent: string | undefined;
  readonly #names: readonly PeerName[];

  constructor(options: RaceOptions) {
    const { script, names, signal } = options;
    this.#names = names;
    this.#absent = existsSync(script) ? undefined : `the program that runs it is missing: ${script}`;
    this.#all = this.#absent === undefined ? names.map(name => new Opponent(name, options)) : [];
    signal?.addEventListener('abort', () => this.dispose(), { once: true });
  }

  async open(row: AskedRow): Promise<void> {
    for (const one of this.#all) await one.open(row); // not at once: first runs are timed
  }

  async sample(): Promise<void> {
    for (const one of this.#all) await one.sample();
  }

  close(ours: KernelRow): void {
    for (const one of this.#all) one.close(ours);
  }

  /** What came of it. */
  get results(): BenchPeer[] {
    const missing = this.#absent;
    if (missing === undefined) return this.#all.map(one => one.result);
    return this.#names.map(name => ({ name, package: '', version: null, missing, rows: [] }));
  }

  /** Ends all processes. */
  dispose(): void {
    for (const one of this.#all) one.kill();
  }
}

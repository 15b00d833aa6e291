/** Other engines in processes of their own, row by row beside ours. Whatever one of them does, the others' rows stand. */
import type { Meter, Reading } from '../src/tuning/meter.ts';
import { timesOf } from './measure.ts';
import type { AskedRow } from './peer-protocol.ts';
import { PEER_PACKAGES } from './peers/packages.ts';
import { type Missing, type OpenedRow, type Peer, type PeerOptions, startPeer } from './peers/start-peer.ts';
import type { Opponents } from './run-kernels.ts';
import type { BenchPeer, KernelRow, PeerName, PeerRow } from './schema.ts';

/** How engines are raced. */
export interface RaceOptions extends PeerOptions {
  /** By what samples are told and compared: not by timestamps, which nobody else tells. */
  readonly meter: Pick<Meter, 'costOf'>;
}

/** One of the engines. */
interface Opponent {
  readonly name: PeerName;
  readonly peer: Peer | Missing;
  readonly rows: PeerRow[];
  /** Of the open row. */
  opened: OpenedRow | Missing | undefined;
  samples: Reading[];
}

/** All engines of a race. */
export class Race implements Opponents {
  readonly #all: readonly Opponent[];
  readonly #meter: RaceOptions['meter'];
  #row = '';

  private constructor(all: readonly Opponent[], meter: RaceOptions['meter']) {
    this.#all = all;
    this.#meter = meter;
  }

  /**
   * Fetches and starts the engines, one after the other.
   * @param names in the order of their samples
   * @throws LoadError where one cannot be fetched; the signal's reason
   */
  static async start(names: readonly PeerName[], options: RaceOptions): Promise<Race> {
    const all: Opponent[] = [];
    const race = new Race(all, options.meter);
    try {
      for (const name of names) {
        all.push({ name, peer: await startPeer(name, options), rows: [], opened: undefined, samples: [] });
      }
    } catch (error) {
      race.dispose();
      throw error;
    }
    return race;
  }

  async open(row: AskedRow): Promise<void> {
    this.#row = row.name;
    for (const one of this.#all) {
      one.samples = [];
      one.opened = 'missing' in one.peer ? undefined : await one.peer.open(row); // not at once: first runs are timed
    }
  }

  async sample(): Promise<void> {
    for (const one of this.#all) {
      const { peer, opened } = one;
      if ('missing' in peer || !opened || 'missing' in opened || opened.wrong) continue;
      const taken = await peer.sample();
      if ('missing' in taken) one.opened = taken;
      else one.samples.push(taken);
    }
  }

  close(ours: Pick<KernelRow, 'medianMs' | 'gflops'>): void {
    for (const { opened, samples, rows } of this.#all) {
      if (opened) rows.push(this.#rowOf(opened, samples, ours));
    }
  }

  /** What came of it. */
  get results(): BenchPeer[] {
    return this.#all.map(({ name, peer, rows }) => {
      if ('missing' in peer) {
        return { name, package: PEER_PACKAGES[name].package, version: null, missing: peer.missing, rows };
      }
      return { name, package: peer.package, version: peer.version, adapter: peer.adapter, rows };
    });
  }

  /** Ends all processes. */
  dispose(): void {
    for (const { peer } of this.#all) if (!('missing' in peer)) peer.close();
  }

  #rowOf(
    opened: OpenedRow | Missing,
    samples: readonly Reading[],
    ours: Pick<KernelRow, 'medianMs' | 'gflops'>,
  ): PeerRow {
    const name = this.#row;
    if ('missing' in opened) return { name, ...NOTHING, firstMs: null, error: null, missing: opened.missing };
    const { firstMs, error, form, wrong } = opened;
    const times = timesOf(wrong ? [] : samples, this.#meter);
    const flops = ours.gflops === null || ours.medianMs === null ? null : ours.gflops * ours.medianMs;
    const { medianMs } = times;
    return {
      ...{ name, ...times },
      gflops: medianMs === null || flops === null ? null : flops / medianMs,
      ...{ form, firstMs, error, ...(wrong && { wrong }) },
      ratio: medianMs === null || ours.medianMs === null ? null : medianMs / ours.medianMs,
    };
  }
}

const NOTHING = { minMs: null, medianMs: null, p90Ms: null, cpuMs: null, gflops: null, ratio: null };

/** Every peer of a race beside ours: rows opened on all of them, sampled in turn, told in the file's words. */
import { type Cost, medianOf } from '../cost.ts';
import type { AskedRow } from '../peer-protocol.ts';
import type { BenchClock, BenchPeer, KernelRow, PeerName, PeerRow } from '../schema.ts';
import { PEER_PACKAGES } from './packages.ts';
import { type Missing, type OpenedRow, type Peer, type PeerOptions, startPeer } from './start-peer.ts';

/** How a race is run. */
export interface RaceOptions extends PeerOptions {
  /** Whose times are told and compared: peers tell no timestamps of the device, so ours are none either. */
  readonly clock: Exclude<BenchClock, 'timestamps'>;
  /** Is told where a peer cannot run, and why. */
  readonly onMissing?: ((name: PeerName, why: string) => void) | undefined;
}

interface Entrant {
  readonly name: PeerName;
  readonly peer: Peer | Missing;
  readonly rows: PeerRow[];
  opened: OpenedRow | Missing | undefined;
  samples: Cost[];
}

/** The peers of a race. */
export class PeerRace {
  readonly #entrants: readonly Entrant[];
  readonly #clock: RaceOptions['clock'];
  #row = '';

  private constructor(entrants: readonly Entrant[], clock: RaceOptions['clock']) {
    this.#entrants = entrants;
    this.#clock = clock;
  }

  /**
   * Fetches and starts the peers, one after the other.
   * @throws LoadError where one cannot be fetched; the signal's reason
   */
  static async start(names: readonly PeerName[], options: RaceOptions): Promise<PeerRace> {
    const entrants: Entrant[] = [];
    try {
      for (const name of names) {
        const peer = await startPeer(name, options);
        if ('missing' in peer) options.onMissing?.(name, peer.missing);
        entrants.push({ name, peer, rows: [], opened: undefined, samples: [] });
      }
    } catch (error) {
      endAll(entrants);
      throw error;
    }
    return new PeerRace(entrants, options.clock);
  }

  /** Makes a row ready on all of them, one after the other. */
  async open(row: AskedRow): Promise<void> {
    this.#row = row.name;
    for (const entrant of this.#entrants) {
      entrant.samples = [];
      entrant.opened = 'missing' in entrant.peer ? undefined : await entrant.peer.open(row);
    }
  }

  /** One sample on each that has the row and has it right. */
  async sample(): Promise<void> {
    for (const entrant of this.#entrants) {
      const { peer, opened } = entrant;
      if ('missing' in peer || !opened || 'missing' in opened || opened.wrong) continue;
      const cost = await peer.sample();
      if ('missing' in cost) entrant.opened = cost;
      else entrant.samples.push(cost);
    }
  }

  /** Ends the row; `ours` is what they are compared with. */
  close(ours: Pick<KernelRow, 'medianMs' | 'gflops'>): void {
    for (const { opened, samples, rows } of this.#entrants) {
      if (opened) rows.push(rowOf(this.#row, opened, samples, ours, this.#clock));
    }
  }

  /** What the file holds of them. */
  peers(): BenchPeer[] {
    return this.#entrants.map(({ name, peer, rows }) => {
      if (!('missing' in peer)) return { name, package: peer.package, version: peer.version, rows };
      return { name, package: PEER_PACKAGES[name].package, version: null, missing: peer.missing, rows };
    });
  }

  /** Ends their processes. */
  end(): void {
    endAll(this.#entrants);
  }
}

function endAll(entrants: readonly Entrant[]): void {
  for (const { peer } of entrants) if (!('missing' in peer)) peer.close();
}

const NO_TIMES = { minMs: null, medianMs: null, p90Ms: null, cpuMs: null, gflops: null, ratio: null };

function rowOf(
  name: string,
  opened: OpenedRow | Missing,
  samples: readonly Cost[],
  ours: Pick<KernelRow, 'medianMs' | 'gflops'>,
  clock: RaceOptions['clock'],
): PeerRow {
  if ('missing' in opened) return { name, ...NO_TIMES, firstMs: null, error: null, missing: opened.missing };
  const { firstMs, error, wrong } = opened;
  if (wrong || samples.length === 0) return { name, ...NO_TIMES, firstMs, error, ...(wrong && { wrong }) };
  const all = samples.map(({ ms, cpu }) => (clock === 'processor' ? 1000 * cpu : ms)).sort((a, b) => a - b);
  const at = (share: number): number => all[Math.min(all.length - 1, Math.floor(share * all.length))];
  const medianMs = at(0.5);
  const flops = ours.gflops === null || ours.medianMs === null ? null : ours.gflops * ours.medianMs;
  return {
    ...{ name, minMs: at(0), medianMs, p90Ms: at(0.9), cpuMs: 1000 * medianOf(samples).cpu },
    ...{ gflops: flops === null ? null : flops / medianMs, firstMs, error },
    ratio: ours.medianMs === null ? null : medianMs / ours.medianMs,
  };
}

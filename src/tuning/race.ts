/** Which of several is the fastest: successive halving (Jamieson & Talwalkar 2016), with samples interleaved. */

/** Something that can be timed as often as wanted. */
export interface Runner {
  /** For messages. */
  readonly name: string;
  /** Runs so many times. @returns the cost of one run, in milliseconds */
  sample(times: number): Promise<number>;
}

/** What a runner took. */
export interface Timed<R extends Runner> {
  readonly runner: R;
  /** Median of its samples, in milliseconds. */
  readonly ms: number;
  /** All samples, in the order of the rounds. */
  readonly samples: readonly number[];
}

/** How long and how often. */
export interface RaceOptions {
  /** Milliseconds of a sample at least; shorter runs are repeated within it. */
  readonly sampleMs: number;
  /** Samples of the last round. */
  readonly samples: number;
  /** Times all as often as the last ones: to see what halving misses. */
  readonly exhaustive?: boolean | undefined;
}

/** Cost beyond the best one's from which on a runner is dropped at its first sample. */
const HOPELESS = 2.5;
/** So many times more where it ran once alone, which says little. */
const SINGLE_RUN = 2;
/** Runners of the last round, beside the one that stays. */
const FINALISTS = 2;

/** The middle of some numbers. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const [low = Number.NaN, high = Number.NaN] = [sorted[middle - 1], sorted[middle]];
  return sorted.length % 2 === 1 ? high : (low + high) / 2;
}

/**
 * Runs the rounds of a race.
 *
 * @param stays the runner that is in every round
 * @returns those of the last round, the fastest first
 */
export async function race<R extends Runner>(
  runners: readonly R[],
  stays: R,
  options: RaceOptions,
): Promise<Timed<R>[]> {
  const { sampleMs, samples, exhaustive = false } = options;
  const samplesOf = new Map<R, number[]>(runners.map(runner => [runner, []]));
  const timesOf = new Map<R, number>();
  const round = async (some: readonly R[]): Promise<void> => {
    for (const runner of some) samplesOf.get(runner)?.push(await runner.sample(timesOf.get(runner) ?? 1));
  };
  const cost = (runner: R): number => median(samplesOf.get(runner) ?? []);
  const ranked = (some: readonly R[]): R[] => [...some].sort((a, b) => cost(a) - cost(b));
  for (const runner of runners) {
    const first = await runner.sample(1);
    samplesOf.set(runner, [first]);
    timesOf.set(runner, Math.max(1, Math.min(10_000, Math.ceil(sampleMs / Math.max(1e-4, first)))));
  }
  const hopeful = (some: readonly R[], times: number): R[] => {
    const best = Math.min(...some.map(cost));
    return exhaustive ? [...some] : some.filter(runner => runner === stays || cost(runner) <= times * best);
  };
  let alive = hopeful(runners, SINGLE_RUN * HOPELESS);
  for (const runner of alive) samplesOf.set(runner, []);
  await round(alive);
  alive = hopeful(ranked(alive), HOPELESS);
  for (let each = 1; !exhaustive && alive.length > FINALISTS + 1; each = Math.min(each + 1, 3)) {
    for (let i = 0; i < each; i++) await round(alive);
    const kept = Math.max(FINALISTS, Math.ceil(alive.length / 2));
    const front = ranked(alive)
      .filter(runner => runner !== stays)
      .slice(0, kept);
    const next = alive.includes(stays) ? [...front, stays] : front;
    if (next.length >= alive.length) break;
    alive = next;
  }
  // The last round stands for itself: its samples stood beside each other.
  for (const runner of alive) samplesOf.set(runner, []);
  for (let i = 0; i < samples; i++) await round(alive);
  return ranked(alive).map(runner => ({ runner, ms: cost(runner), samples: samplesOf.get(runner) ?? [] }));
}

/** What one gains over another, sample by sample, and how sure that is. */
export interface Gain {
  /** Share of the other's time that is saved; below 0 where it is slower. */
  readonly share: number;
  /** Standard error of it: half of the middle of the ratios' spread, over the root of their number. */
  readonly error: number;
}

/** The gain of samples over those that stood beside them. */
export function gainOf(fast: readonly number[], slow: readonly number[]): Gain {
  const ratios = fast.map((ms, i) => ms / (slow[i] ?? Number.NaN)).sort((a, b) => a - b);
  const quartile = (share: number): number => ratios[Math.floor(share * (ratios.length - 1))] ?? Number.NaN;
  const spread = (quartile(0.75) - quartile(0.25)) / 1.35;
  return { share: 1 - median(ratios), error: (1.25 * spread) / Math.sqrt(ratios.length) };
}

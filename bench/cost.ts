/** What a piece of work takes: time, and the processor's. */
import process from 'node:process';

/** Of one run. */
export interface Cost {
  /** Milliseconds of the clock. */
  readonly ms: number;
  /** Seconds of the processor, over all threads: on a software adapter the device's too. */
  readonly cpu: number;
}

/** Runs `work` one time after another. */
export async function costs(times: number, work: () => Promise<unknown>): Promise<Cost[]> {
  const all: Cost[] = [];
  for (let i = 0; i < times; i++) {
    const [used, start] = [process.cpuUsage(), performance.now()];
    await work();
    const { user, system } = process.cpuUsage(used);
    all.push({ ms: performance.now() - start, cpu: (user + system) / 1e6 });
  }
  return all;
}

/** The least of both, each by itself. */
export function least(all: readonly Cost[]): Cost {
  return { ms: Math.min(...all.map(cost => cost.ms)), cpu: Math.min(...all.map(cost => cost.cpu)) };
}

/** The median of both, each by itself. */
export function medianOf(all: readonly Cost[]): Cost {
  const middle = (values: number[]): number => values.sort((a, b) => a - b)[values.length >> 1] ?? 0;
  return { ms: middle(all.map(cost => cost.ms)), cpu: middle(all.map(cost => cost.cpu)) };
}

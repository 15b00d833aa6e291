/** What a piece of work takes: time, and the processor's, which pages do not tell. */

/** Of one run. */
export interface Cost {
  /** Milliseconds of the clock. */
  readonly ms: number;
  /** Seconds of the processor, over all threads: on a software adapter the device's too. NaN in a page. */
  readonly cpu: number;
}

/** Runs `work` one time after another. */
export async function costs(times: number, work: () => Promise<unknown>): Promise<Cost[]> {
  const all: Cost[] = [];
  for (let i = 0; i < times; i++) {
    const [used, start] = [usedCpu(), performance.now()];
    await work();
    all.push({ ms: performance.now() - start, cpu: usedCpu() - used });
  }
  return all;
}

/** Seconds of the processor since the process began. */
function usedCpu(): number {
  const { process } = globalThis as { readonly process?: NodeJS.Process };
  if (!process) return Number.NaN;
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
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

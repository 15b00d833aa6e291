/** Time limits of the tests. They follow the speed that the machine has at the moment, so that a busy one fails nothing. */

/** What `probe` takes on an idle core of an ordinary machine, in milliseconds. */
const PROBE_MS = 50;
/** A test that hangs fails after this many milliseconds on a machine with nothing else to do: ten times the longest one's. */
const LIMIT_MS = 300_000;
/** A measurement is believed for so long, in milliseconds. */
const FRESH_MS = 20_000;

let measured = { at: Number.NEGATIVE_INFINITY, slowness: 1 };

/** Arithmetic that spans several of the scheduler's time slices; returns the milliseconds that it took. */
function probe(): number {
  const start = performance.now();
  let x = 1;
  for (let i = 0; i < 40_000_000; i++) x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
  return performance.now() - start + (x === 0 ? 1 : 0);
}

/** How many times slower than an idle ordinary one this machine works now; at least 1. */
function slowness(): number {
  if (performance.now() - measured.at > FRESH_MS)
    measured = { slowness: Math.max(1, probe() / PROBE_MS), at: performance.now() };
  return measured.slowness;
}

/** A limit in milliseconds: `ms` where the machine is idle, else twice as many times more as it is slower, since more load may come. */
export function patience(ms: number = LIMIT_MS): number {
  const now = slowness();
  return Math.round(now < 1.5 ? ms : 2 * now * ms);
}

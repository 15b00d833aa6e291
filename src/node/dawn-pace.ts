/**
 * Dawn's package for Node asks for news of the device in every turn of the event loop, by `setImmediate`. On a software driver that
 * takes a whole core from the work it waits for. Only programs do this to their own processes, the command line and the benchmark's of
 * other engines: a library leaves globals alone.
 */

/** Turns in vain before the first sleep. */
const TURNS = 2;
/** Turns that follow each other so closely, in milliseconds, belong to one wait. */
const GAP = 3;
const SLEEP_MS = 1;

const paced = Symbol.for('pentimento.dawn-pace');

/**
 * Lets Dawn sleep a millisecond between two looks at the device, in this process and from now on; a second call does nothing. How often
 * it asks changes no result: on two cores of lavapipe an edit takes two thirds of the processor time. Not for graphics cards,
 * whose steps may be shorter than a timer.
 */
export function paceDawn(): void {
  if (paced in globalThis) return;
  const { setImmediate: immediate, setTimeout: later } = globalThis;
  let turns = 0;
  let last = 0;
  const schedule = (task: (...args: unknown[]) => void, ...args: unknown[]) => {
    if (!isNative(task)) return immediate(task, ...args);
    const now = performance.now();
    turns = now - last > GAP ? 0 : turns + 1;
    last = now;
    return turns < TURNS ? immediate(task) : later(task, SLEEP_MS);
  };
  // `util.promisify(setImmediate)` is a property of it.
  globalThis.setImmediate = Object.assign(schedule, immediate) as unknown as typeof setImmediate;
  Object.assign(globalThis, { [paced]: true });
}

/** Dawn's callbacks are the only ones here that come from native code and have no name. */
function isNative(task: (...args: unknown[]) => void): boolean {
  return task.name === '' && Function.prototype.toString.call(task).includes('[native code]');
}

/**
 * Dawn's package for Node asks for news of the device in every turn of the event loop, by `setImmediate`. On a software driver that
 * takes a whole core from the work it waits for: half of the suite's processor time. Here it sleeps a millisecond between turns
 * once some have passed in vain. How often it asks changes no result.
 */
const TURNS = 2;
/** Turns that follow each other so closely, in milliseconds, belong to one wait. */
const GAP = 3;

const known = Symbol.for('pentimento.test.dawn-pace');
const { setImmediate: immediate, setTimeout: later } = globalThis;

if (!(known in globalThis)) {
  let turns = 0;
  let last = 0;
  const paced = (task: (...args: unknown[]) => void, ...args: unknown[]) => {
    if (!isNative(task)) return immediate(task, ...args);
    const now = performance.now();
    turns = now - last > GAP ? 0 : turns + 1;
    last = now;
    return turns < TURNS ? immediate(task) : later(task, 1);
  };
  // `util.promisify(setImmediate)` is a property of it.
  globalThis.setImmediate = Object.assign(paced, immediate) as unknown as typeof setImmediate;
  Object.assign(globalThis, { [known]: true });
}

/** Dawn's callbacks are the only ones here that come from native code and have no name. */
function isNative(task: (...args: unknown[]) => void): boolean {
  return task.name === '' && Function.prototype.toString.call(task).includes('[native code]');
}

import { tmpdir } from 'node:os';

// Mesa complains on stderr without it.
process.env.XDG_RUNTIME_DIR ??= tmpdir();

/**
 * Dawn asks for news of the device in every turn of the event loop, by `setImmediate`, which takes a whole core from the software
 * driver that does the work. After a few turns in a row it is made to sleep a millisecond between them.
 */
const TURNS = 16;
const immediate = globalThis.setImmediate;
const later = globalThis.setTimeout;
let turns = 0;
let last = 0;
globalThis.setImmediate = Object.assign(
  (task: (...args: unknown[]) => void, ...args: unknown[]) => {
    if (task.name !== '' || !/\[native code\]/.test(Function.prototype.toString.call(task))) return immediate(task, ...args);
    const now = performance.now();
    turns = now - last > 3 ? 0 : turns + 1;
    last = now;
    return turns < TURNS ? immediate(task) : later(task, 1);
  },
  immediate,
) as typeof setImmediate;

import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { paceDawn } from '../../src/node/dawn-pace.ts';

/** Turns of the event loop that a task takes which asks for the next one each time, for 40 ms. */
async function turnsOf(disguise: (task: () => void) => () => void): Promise<number> {
  let turns = 0;
  const end = performance.now() + 40;
  await new Promise<void>(done => {
    const task = disguise(() => {
      turns++;
      if (performance.now() < end) setImmediate(task);
      else done();
    });
    setImmediate(task);
  });
  return turns;
}

describe('the pace of Dawn', () => {
  paceDawn();

  it('lets what comes from native code without a name sleep between turns', async () => {
    // A bare proxy of a function reads as native code without a name, as Dawn's callbacks do.
    expect(await turnsOf(task => new Proxy(Object.defineProperty(task, 'name', { value: '' }), {}))).toBeLessThan(60);
  });

  it('leaves every other task alone', async () => {
    expect(await turnsOf(task => task)).toBeGreaterThan(100);
    expect(await promisify(setImmediate)('value')).toBe('value');
    await new Promise<void>(done => setImmediate((a: number, b: number) => (a + b === 3 ? done() : undefined), 1, 2));
  });

  it('is set once', () => {
    const now = globalThis.setImmediate;
    paceDawn();
    expect(globalThis.setImmediate).toBe(now);
  });
});

/** The suite itself: what names files or npm scripts names ones that exist, and no test sets a time limit by the clock alone. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it, vi } from 'vitest';
import { LONG } from './support/sequencer.ts';

const tests = readdirSync('test', { recursive: true, encoding: 'utf8' })
  .filter(name => name.endsWith('.test.ts'))
  .map(name => join('test', name));

it('the files that begin first exist', () => {
  expect(LONG.filter(name => !tests.includes(name))).toEqual([]);
});

it('the passes name files and folders that exist', () => {
  const named = readFileSync('scripts/test.mjs', 'utf8').match(/'test\/[^']*'/g) ?? [];
  expect(named.length).toBeGreaterThan(8);
  expect(named.map(name => name.slice(1, -1)).filter(name => !existsSync(name))).toEqual([]);
});

it('the checks are npm scripts', async () => {
  // @ts-expect-error plain Node, without types
  const { CHECKS } = await import('../scripts/checks.mjs');
  const { scripts } = JSON.parse(readFileSync('package.json', 'utf8'));
  expect((CHECKS as string[]).filter(name => !(name in scripts))).toEqual([]);
});

it('no test has a time limit of its own in seconds', () => {
  const fixed = tests.filter(name => /^\s*\},? *\d[\d_]*,?\s*\)?;?$|\btimeout: *\d/m.test(readFileSync(name, 'utf8')));
  expect(fixed).toEqual([]);
});

it.each([
  ['an idle machine', 40, 1000],
  ['one that is four times slower', 200, 8000],
  ['one that is thirty times slower', 1500, 60_000],
])('a limit of a second on %s', async (_, probeMs, limit) => {
  vi.resetModules();
  const { patience } = await import('./support/patience.ts');
  let calls = 0;
  // The second and the third look at the clock enclose the probe.
  const clock = vi.spyOn(performance, 'now').mockImplementation(() => (++calls < 3 ? 0 : probeMs));
  expect(patience(1000)).toBe(limit);
  clock.mockRestore();
});

it('no test mocks a module by vi.mock, which misses what other files of its process have loaded', () => {
  const mocked = tests.filter(name => /^vi\.mock\(/m.test(readFileSync(name, 'utf8')));
  expect(mocked).toEqual([]); // vi.resetModules(), vi.doMock() and import() do it
});

it('equal bytes are found equal at once, and no difference is lost to it', () => {
  const floats = (...values: number[]) => Float32Array.from(values);
  const unread = () => {
    const value = () => expect.fail('the elements were looked at one by one');
    return Object.defineProperty(floats(1, 2), Symbol.iterator, { value, enumerable: false });
  };
  expect({ data: unread() }).toEqual({ data: unread() });
  expect(floats(1, Number.NaN)).toEqual(floats(1, Number.NaN));
  expect(floats(1, 2)).not.toEqual(floats(1, 3));
  expect(floats(0)).not.toEqual(floats(-0));
  expect(floats(1, 2)).not.toEqual(floats(1));
  expect(floats(1)).not.toEqual(Uint32Array.from([0x3f800000]));
  expect(new Uint8Array(2)).not.toStrictEqual(Buffer.alloc(2));
  expect([floats(1, 2).subarray(1)]).toEqual([floats(2)]);
});

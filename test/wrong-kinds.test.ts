/** What programs without types pass by mistake is refused by name in every function of the public entries. */
import { describe, expect, it } from 'vitest';
import { PentimentoError } from '../src/core/errors.ts';
import * as index from '../src/index.ts';
import * as node from '../src/node/index.ts';
import * as page from '../src/page.ts';
import * as schedulers from '../src/schedulers/index.ts';
import * as tuning from '../src/tuning.ts';
import * as worker from '../src/worker/index.ts';

const VALUES: readonly unknown[] = [null, undefined, 5, 'x', {}, [], true, () => {}];
/** Without arguments these do their work: they open devices. */
const WORK = ['requestGpu', 'listAdapters'];

const inPages = Object.entries(tuning).map(([name, value]) => [`${name} of pentimento/tuning`, value] as const);
const functions = [
  ...Object.entries({ ...schedulers, ...node, ...page, ...worker, ...index }).filter(([name]) => !WORK.includes(name)),
  ...inPages,
].filter(([name, value]) => typeof value === 'function' && /^[a-z]/.test(name)) as [
  string,
  (...args: unknown[]) => unknown,
][];

/** The name of what a call throws that is no error of this library; undefined for a result or an error of its own. */
async function strangerOf(call: () => unknown): Promise<string | undefined> {
  try {
    await call();
  } catch (error) {
    return error instanceof PentimentoError ? undefined : String(error);
  }
}

describe('a value of the wrong kind', () => {
  it('goes into all of them', () => expect(functions.length).toBeGreaterThan(80));

  it.each(functions)('is no TypeError of %s', async (_, call) => {
    const strangers = new Set<string>();
    for (const value of VALUES) {
      for (const args of [[value], [value, value], [value, value, value]]) {
        const stranger = await strangerOf(() => call(...args));
        if (stranger !== undefined) strangers.add(`${String(value)} x ${args.length}: ${stranger}`);
      }
    }
    expect([...strangers]).toEqual([]);
  });
});

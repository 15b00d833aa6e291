/** Results of some parts in a file of bench:models that holds all. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, it } from 'vitest';
import { readResults, strangers, withRows } from '../../bench/model-results.ts';

const adapter = { description: 'llvmpipe: Mesa 25' };
const machine = { cpu: 'one' };
const kept = {
  ...{ adapter, machine },
  rows: ['a', 'b', 'c'].map(name => ({ name, ms: 1 })),
};

describe('a run of some rows', () => {
  it('replaces those and leaves the others where they are', () => {
    const rows = ['d', 'b'].map(name => ({ name, ms: 2 }));
    const { rows: all } = withRows(kept, { adapter, machine, rows });
    expect(all).toEqual([
      { name: 'a', ms: 1 },
      { name: 'b', ms: 2 },
      { name: 'c', ms: 1 },
      { name: 'd', ms: 2 },
    ]);
  });

  it('does not stand beside rows of another driver or processor', () => {
    expect(strangers(kept, { adapter, machine })).toBeUndefined();
    expect(strangers(kept, { adapter: { description: 'llvmpipe: Mesa 26' }, machine })).toBe(
      'its rows are of llvmpipe: Mesa 25, one, and this is llvmpipe: Mesa 26, one',
    );
    expect(strangers(kept, { adapter, machine: { cpu: 'two' } })).toContain('Mesa 25, two');
  });

  it('is all that there is where there was no file', () => {
    const folder = mkdtempSync(join(tmpdir(), 'results-'));
    const file = pathToFileURL(join(folder, 'lavapipe.json'));
    expect(readResults(file)).toBeUndefined();
    writeFileSync(file, JSON.stringify(kept));
    expect(readResults(file)).toEqual(kept);
    rmSync(folder, { recursive: true });
  });
});

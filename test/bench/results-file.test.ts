/** Results of some rows in a file that holds all. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, it } from 'vitest';
import { readResults, strangers, withRows } from '../../bench/results-file.ts';

const adapter = { description: 'llvmpipe: Mesa 25' };
const machine = { cpu: 'one' };
const kept = {
  ...{ adapter, machine },
  rows: ['a', 'b', 'c'].map(name => ({ name, ms: 1 })),
  peer: { name: 'peer', rows: [{ name: 'a', ms: 5 }] },
};

describe('a run of some rows', () => {
  it('replaces those and leaves the others where they are', () => {
    const rows = ['d', 'b'].map(name => ({ name, ms: 2 }));
    const { rows: all, peer } = withRows(kept, { adapter, machine, rows });
    expect(all).toEqual([
      { name: 'a', ms: 1 },
      { name: 'b', ms: 2 },
      { name: 'c', ms: 1 },
      { name: 'd', ms: 2 },
    ]);
    expect(peer).toEqual(kept.peer);
  });

  it('does the same with those of a peer', () => {
    const peer = { name: 'newer peer', rows: ['b', 'a'].map(name => ({ name, ms: 3 })) };
    expect(withRows(kept, { adapter, machine, rows: [], peer }).peer).toEqual({
      name: 'newer peer',
      rows: [
        { name: 'a', ms: 3 },
        { name: 'b', ms: 3 },
      ],
    });
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

/** What documents say of measurements is what the files of results hold. */
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { figuresOf, writtenDocuments } from '../../bench/figures/documents.ts';
import { withFigures } from '../../bench/figures/markers.ts';
import { networksTable, raceTable, standings } from '../../bench/figures/race.ts';
import { BENCH_FIXTURE } from '../support/bench-file.ts';

const ROOT = new URL('../../', import.meta.url);
const ALL = /(?:)/;

it('README, docs and pictures are what the script writes', () => {
  const written = writtenDocuments(ROOT);
  expect([...written.keys()].sort()).toEqual([
    ...['README.md', 'docs/images/race.svg', 'docs/images/roofline.svg', 'docs/performance.md'],
  ]);
  for (const [path, text] of written) expect(readFileSync(new URL(path, ROOT), 'utf8'), path).toBe(text);
});

it('README has no other figure of speed', () => {
  const rest = readFileSync(new URL('README.md', ROOT), 'utf8').replace(
    /<!-- figures: [\s\S]*?<!-- end of figures -->/g,
    '',
  );
  expect(rest.match(/[^.\n]*\d\s*(GFLOP|TFLOP|GB\/s|ms\b|tokens a|s of the processor|times as)[^.\n]*/g)).toBeNull();
});

it('writes between its comments and nowhere else, again and again to the same', () => {
  const text = 'before 1\n<!-- figures: sum 1 2 -->\nold\n<!-- end of figures -->\nafter <!-- a comment -->\n';
  const figures = { sum: (...words: readonly string[]) => String(words.reduce((sum, word) => sum + Number(word), 0)) };
  const once = withFigures(text, figures);
  expect(once).toBe('before 1\n<!-- figures: sum 1 2 -->\n3\n<!-- end of figures -->\nafter <!-- a comment -->\n');
  expect(withFigures(once, figures)).toBe(once);
  for (const wrong of [
    text.replace('sum', 'product'),
    text.replace('<!-- end of figures -->', ''),
    text.replace('old', text),
  ])
    expect(() => withFigures(wrong, figures)).toThrow(/figures: no place that can be written/);
});

it('tells a race by row: time, share, error, each peer, what is wrong or missing, and by how much ours is behind', () => {
  const lines = raceTable(BENCH_FIXTURE, ALL).split('\n');
  expect(lines[0]).toBe('|  | ms | GFLOP/s | of ceiling | error | onnxruntime 1.2.3 | tfjs 1.2.3 | jax-js 1.2.3 |');
  expect(lines).toHaveLength(2 + 8);
  expect(lines[2]).toBe(
    '| matmul 512×512×512 f32 · f32 | 2.08 | 48.0 | 60 % of f32 | 4e-7 | 8.33, 4.00 × | 12.5, 6.00 × | 2.29, 1.10 × |',
  );
  expect(lines[4]).toContain('| wrong: 0.42 |');
  expect(lines[6]).toMatch(/\| 2\.50 \(25 % behind\) \|/);
  expect(lines[8]).toMatch(/\| wrong \| {2}\| {2}\| 0\.31 \|/);
  expect(lines[9]).toMatch(/\| - \|/);
  expect(raceTable(BENCH_FIXTURE, /^conv/).split('\n')).toHaveLength(4);
  expect(standings(BENCH_FIXTURE)).toBe(
    'Ours is first in 6 of 7 rows; conv3×3 2×8×8×128 → 128 f32 · f32 is 25 % behind jax-js.',
  );
  const absent = { ...BENCH_FIXTURE.peers[0], version: null, missing: 'it is not installed', rows: [] };
  expect(raceTable({ ...BENCH_FIXTURE, peers: [absent] }, ALL)).toContain(
    'onnxruntime did not run: it is not installed.',
  );
  expect(networksTable(BENCH_FIXTURE)).toContain('| UNet, embedded, a guided step | 117 | 16.0 | 20 % | 240 | 4.2 |');
});

it('reads files of results by their names', () => {
  const asked: string[] = [];
  const figures = figuresOf(name => {
    asked.push(name);
    return name.startsWith('lab-')
      ? readFileSync(new URL(`bench/results/${name}.json`, ROOT), 'utf8')
      : JSON.stringify(BENCH_FIXTURE);
  });
  expect(figures.conditions('mine')).toContain(
    'Medians of 15 samples, samples of all engines in turn: time of the processor',
  );
  expect(figures.lab('navi31', 'ampere')).toMatch(
    /^\| card \|.*\n\|.*\n\| navi31 \|.* 9\d % \|[^\n]*\n\| ampere \|.* cycles \|/,
  );
  expect(asked).toEqual(['mine', 'lab-navi31', 'lab-ampere']);
});

/** The benchmark's file: what is committed is what the schema says, the documentation too, and wrong ones are refused by name. */
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { described } from '../../bench/fields.ts';
import { mergedWith, refuseStrangers } from '../../bench/results-file.ts';
import {
  BENCH_FILE,
  type BenchFile,
  type KernelRow,
  type NetworkRow,
  type PeerRow,
  parseBench,
  standingOf,
} from '../../bench/schema.ts';
import { InputError } from '../../src/core/errors.ts';

const ROOT = new URL('../../', import.meta.url);
const TIMES = { minMs: 1, medianMs: 2, p90Ms: 3, cpuMs: null };
const row = (name: string, change: Partial<KernelRow> = {}): KernelRow => ({
  ...{ name, op: 'matmul', shape: { rows: 8, k: 8, columns: 8 }, storage: { weights: 'f32', activations: 'f32' } },
  ...{ variant: 'gemm-tile', tiles: { ROWS: 64 }, ...TIMES, gflops: 4, gbs: 5, intensity: 6, bound: 'copy' },
  ...{ share: 0.5, compileMs: 7, error: 1e-7, maxError: 1e-6 },
  ...change,
});
const network = (name: string): NetworkRow => ({ name, ...TIMES, gflops: 1, share: 0.1, dispatches: 5, peakBytes: 10 });
const raced = (name: string, ratio: number | null, change: Partial<PeerRow> = {}): PeerRow => ({
  ...{ name, ...TIMES, gflops: 1, firstMs: 9, error: 1e-7, ratio },
  ...change,
});
const FILE: BenchFile = {
  ...{ version: 1, kind: 'pentimento-bench', made: '2026-01-01T00:00:00.000Z', library: '1.0.0', kernels: 'ab' },
  adapter: { vendor: 'mesa', architecture: 'software', device: 'llvmpipe', description: 'llvmpipe: Mesa 26' },
  ...{ caps: {}, driver: 'llvmpipe: Mesa 26', toggles: [], features: ['shader-f16'] },
  machine: { cpu: 'one', cores: 2, runtime: 'Node 20' },
  ...{ without: [], clock: 'processor', tuning: null },
  ceilings: { fmaF32: 40, fmaF16: null, matrix: null, copy: 20, copyBytes: 1024 },
  ...{ samples: 3, rows: [row('a'), row('b'), row('c')], networks: [network('n')] },
  peers: [{ name: 'tfjs', package: '@tensorflow/tfjs', version: '4', rows: [raced('a', 1), raced('b', 1)] }],
};

describe('a file of the benchmark', () => {
  it('is read as it was written', () => {
    expect(parseBench(JSON.stringify(FILE))).toEqual(FILE);
    expect(parseBench(FILE)).toEqual(FILE);
  });

  it.each<[string, unknown, string]>([
    ['version', { ...FILE, version: 2 }, 'a file of another version: expected 1, got 2 (version)'],
    ['kind', { version: 1 }, 'expected "pentimento-bench", got undefined (kind)'],
    [
      'rows[1].medianMs',
      { ...FILE, rows: [row('a'), { ...row('b'), medianMs: '2' }] },
      'expected number, got "2" (rows[1].medianMs)',
    ],
    ['rows[0].speed', { ...FILE, rows: [{ ...row('a'), speed: 1 }] }, 'got "speed" (rows[0].speed)'],
    [
      'ceilings.copy',
      { ...FILE, ceilings: { ...FILE.ceilings, copy: null } },
      'expected number, got null (ceilings.copy)',
    ],
    ['adapter.vendor', { ...FILE, adapter: { vendor: 1 } }, '(adapter.vendor)'],
    ['without[0]', { ...FILE, without: ['speed'] }, '(without[0])'],
    ['networks', { ...FILE, networks: {} }, 'expected a list'],
  ])('with a wrong %s is refused by its name', (path, file, message) => {
    const refused = () => parseBench(file);
    expect(refused).toThrow(InputError);
    expect(refused).toThrow(message);
    expect(refused).toThrow(path);
  });

  it('that is no JSON, or another file, is refused', () => {
    expect(() => parseBench('{')).toThrow('the file is no JSON');
    expect(() => parseBench('[]')).toThrow('expected an object');
    const older = { adapter: {}, machine: {}, samples: 15, rows: [] };
    expect(() => parseBench(older)).toThrow('not a file of the benchmark');
  });

  it('is documented field by field', () => {
    const text = readFileSync(new URL('docs/benchmark.md', ROOT), 'utf8');
    const lines = described(BENCH_FILE).map(
      ({ path, type, doc }) => `| \`${path}\` | ${type.replaceAll('|', '\\|')} | ${doc} |`,
    );
    expect(lines.length).toBeGreaterThan(70);
    expect(text.split('\n').filter(line => line.startsWith('| `'))).toEqual(lines);
  });

  const results = new URL('bench/results/', ROOT);
  const committed = readdirSync(results).filter(name => {
    const json = JSON.parse(readFileSync(new URL(name, results), 'utf8')) as { readonly kind?: string };
    return json.kind === 'pentimento-bench';
  });
  it('is what every committed result is', () => {
    expect(committed).toContain('lavapipe.json');
    for (const name of committed) {
      const { rows } = parseBench(readFileSync(new URL(name, results), 'utf8'));
      expect(rows.filter(({ wrong }) => wrong)).toEqual([]);
    }
  });
});

describe('a run of some rows', () => {
  it('replaces those, leaves the others where they are, and adds new ones behind them', () => {
    const again = [row('d', { medianMs: 9 }), row('b', { medianMs: 9 })];
    const merged = mergedWith(FILE, { ...FILE, rows: again, networks: [], peers: [] }, 'x.json');
    expect(merged.rows.map(({ name, medianMs }) => [name, medianMs])).toEqual([
      ['a', 2],
      ['b', 9],
      ['c', 2],
      ['d', 9],
    ]);
    expect(merged.networks).toEqual(FILE.networks);
  });

  it('compares the rows of peers that it did not measure with the new medians of ours', () => {
    const again = [row('b', { medianMs: 8 })];
    const ratios = (made: Partial<BenchFile>) =>
      mergedWith(FILE, { ...FILE, networks: [], peers: [], ...made }, 'x.json').peers[0].rows.map(({ ratio }) => ratio);
    expect(ratios({ rows: again })).toEqual([1, 0.25]);
    expect(ratios({ rows: [row('a', { medianMs: null, wrong: true })] })).toEqual([null, 1]);
  });

  it('leaves the rows of a peer that could not be started this time', () => {
    const absent = { ...FILE.peers[0], version: null, missing: 'no adapter', rows: [] };
    expect(mergedWith(FILE, { ...FILE, peers: [absent] }, 'x.json').peers).toEqual(FILE.peers);
    expect(mergedWith({ ...FILE, peers: [] }, { ...FILE, peers: [absent] }, 'x.json').peers).toEqual([absent]);
  });

  it('does the same with those of peers, by their version', () => {
    const [tfjs] = FILE.peers;
    const newer = { ...tfjs, rows: [raced('b', 9, { medianMs: 18 })] };
    const ratios = (peers: BenchFile['peers']) => peers.map(({ rows }) => rows.map(({ ratio }) => ratio));
    expect(ratios(mergedWith(FILE, { ...FILE, peers: [newer] }, 'x.json').peers)).toEqual([[1, 9]]);
    expect(ratios(mergedWith(FILE, { ...FILE, peers: [{ ...newer, version: '5' }] }, 'x.json').peers)).toEqual([[9]]);
  });

  it.each<[string, Partial<BenchFile>]>([
    ['adapter', { adapter: { ...FILE.adapter, description: 'llvmpipe: Mesa 25' } }],
    ['driver', { driver: 'Mesa 25' }],
    ['machine.cpu', { machine: { ...FILE.machine, cpu: 'two' } }],
    ['kernels', { kernels: 'cd' }],
    ['without', { without: ['f16'] }],
    ['clock', { clock: 'clock' }],
    ['tuning', { tuning: 'key' }],
  ])('does not stand beside rows of another %s', (name, change) => {
    const strange = { ...FILE, ...change };
    expect(() => refuseStrangers(FILE, strange, 'x.json')).toThrow(InputError);
    expect(() => mergedWith(FILE, strange, 'x.json')).toThrow(`another ${name}`);
  });
});

describe('the standing of a row', () => {
  const peers = (...ratios: (number | null)[]): BenchFile['peers'] =>
    ratios.map((ratio, i) => {
      const [tfjs] = FILE.peers;
      return { ...tfjs, name: (['tfjs', 'jax', 'onnxruntime'] as const)[i], rows: [raced('a', ratio)] };
    });

  it('counts the peers that ran it right', () => {
    expect(standingOf({ peers: peers(2, 0.8, 1.5) }, 'a')).toEqual({ place: 2, of: 4, fastest: 'jax', ratio: 0.8 });
    expect(standingOf({ peers: peers(2, null) }, 'a')).toEqual({ place: 1, of: 2, fastest: 'tfjs', ratio: 2 });
    expect(standingOf({ peers: peers(null) }, 'a')).toBeUndefined();
    expect(standingOf({ peers: peers(2) }, 'b')).toBeUndefined();
    const [tfjs] = FILE.peers;
    const wrong = [{ ...tfjs, rows: [raced('a', 0.1, { wrong: true })] }];
    expect(standingOf({ peers: wrong }, 'a')).toBeUndefined();
  });
});

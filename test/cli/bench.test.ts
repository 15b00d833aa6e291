/** `pentimento bench`: what it refuses before anything is measured, what it leaves when it ends early, and the file that it writes. */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { KernelCase } from '../../bench/kernels/kernel-case.ts';
import { checkModels } from '../../bench/networks.ts';
import { parseBench } from '../../bench/schema.ts';
import { chartsOf } from '../../bench/svg/charts.ts';
import { packageVersion } from '../../src/cli/package-root.ts';

const CEILINGS = '../../bench/ceilings.ts';
const ROWS = '../../bench/kernel-rows.ts';
/** Whether the next run's kernels compute something else. */
const planted = { wrong: false };
let folder: string;
let pentimento: typeof import('../support/command.ts').pentimento;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pentimento-bench-'));
  vi.resetModules();
  // Micro-kernels small and short: test/bench/ceilings.test.ts has them whole.
  vi.doMock(CEILINGS, async original => {
    const { measureCeilings } = await original<typeof import('../../bench/ceilings.ts')>();
    const quick: typeof measureCeilings = (gpu, meter, options) =>
      measureCeilings(gpu, meter, { ...options, samples: 1, leastMs: 1, copyBytes: 2 ** 20, chains: [2] });
    return { measureCeilings: quick };
  });
  vi.doMock(ROWS, async original => {
    const { kernelRows, ...rest } = await original<typeof import('../../bench/kernel-rows.ts')>();
    const wrong = (row: KernelCase): KernelCase => ({
      ...row,
      calls: row.calls.map(call => ({ ...call, params: { ...call.params, eps: 0.01 } })),
    });
    const rows: typeof kernelRows = how => (planted.wrong ? kernelRows(how).map(wrong) : kernelRows(how));
    return { ...rest, kernelRows: rows };
  });
  ({ pentimento } = await import('../support/command.ts'));
});
afterAll(async () => {
  vi.doUnmock(CEILINGS);
  vi.doUnmock(ROWS);
  vi.resetModules();
  await rm(folder, { recursive: true });
});

const ROW = 'rms-norm 64x1024 activations f32';
const bench = (...args: string[]) => pentimento(['bench', ...args, '--samples', '1', '--tuning', 'none']);

describe('bench', () => {
  it.each([
    [['speed'], "command-argument value 'speed' is invalid for argument 'part'. Give kernels or networks"],
    [['--against', 'tfjs,torch'], 'Give some of onnxruntime, tfjs, jax, comma between them.'],
    [['--without', 'speed'], 'Give some of timestamps, subgroups, f16, matrix, comma between them.'],
    [['--samples', '0'], 'Give a whole number of at least 1.'],
    [['--json', 'results.txt'], 'Let it end in .json.'],
    [['--svg', 'package.json'], 'the folder is a file'],
    [['--json', 'a.json', '--label', 'b'], 'two places for one file (--label). Give --json or --label.'],
    [['--label', '../b'], 'no name of a file: expected letters, digits, - and _, got "../b" (--label)'],
    [
      ['kernels', '--filter', 'no such row'],
      'no row has this in its name: got "no such row" (--filter). Leave it out to see all names.',
    ],
  ])('refuses %j', async (args, message) => {
    const { code, stdout, stderr } = await pentimento(['bench', ...args]);
    expect(stderr).toContain(message);
    expect([code, stdout]).toEqual([2, '']);
  });

  it('measures what is asked for into a file, beside whose rows others stand only if they were measured alike', async () => {
    const path = join(folder, 'results.json');
    const first = await bench('kernels', '--filter', ROW, '--json', path, '--svg', join(folder, 'charts'));
    expect([first.code, first.stderr]).toEqual([0, '']);
    expect((await readdir(join(folder, 'charts'))).sort()).toEqual(['bars.svg', 'roofline.svg']);
    const drawn = await readFile(join(folder, 'charts', 'roofline.svg'), 'utf8');
    expect(first.stdout).toContain(`\n${ROW}  `);
    expect(first.stdout).toMatch(/results\.json\n.*roofline\.svg\n.*bars\.svg\n$/);
    const text = await readFile(path, 'utf8');
    const { machine, clock, rows, library } = parseBench(text);
    expect(rows.map(({ name }) => name)).toEqual([ROW]);
    expect(drawn).toBe(chartsOf(parseBench(text))['roofline.svg']);
    expect([machine.cores > 0, library]).toEqual([true, packageVersion()]);
    const told = { processor: 'seconds of the processor', clock: 'wall clock', timestamps: 'own timestamps' };
    expect(first.stdout).toContain(told[clock]);
    const other = await bench('kernels', '--filter', ROW, '--json', path, '--without', 'f16');
    expect([other.code, other.stdout, await readFile(path, 'utf8')]).toEqual([2, '', text]);
    expect(other.stderr).toContain('the rows of the file were measured otherwise: another without');
  });

  it('ends with 1 for a wrong kernel, names it, and leaves a file that tells no speed of it', async () => {
    const path = join(folder, 'wrong.json');
    planted.wrong = true;
    const { code, stdout, stderr } = await bench('kernels', '--filter', ROW, '--json', path);
    planted.wrong = false;
    expect(stderr).toContain(`a row computes something else than it must: got ${ROW}. Report it with the adapter`);
    expect(stdout).toMatch(new RegExp(`\n${ROW} +wrong +.* 1\\.[0-9]e-2 `));
    const { rows } = parseBench(await readFile(path, 'utf8'));
    const none = { minMs: null, medianMs: null, p90Ms: null, cpuMs: null, gflops: null, gbs: null, share: null };
    expect(rows).toMatchObject([{ name: ROW, wrong: true, ...none }]);
    expect(code).toBe(1);
  });

  it("leaves another's file as it is", async () => {
    const path = join(folder, 'package.json');
    await writeFile(path, '{ "name": "mine" }');
    const { code, stderr } = await bench('kernels', '--filter', ROW, '--json', path);
    expect([code, await readFile(path, 'utf8')]).toEqual([2, '{ "name": "mine" }']);
    expect(stderr).toContain('a file is there that holds no results of this version');
  });

  it('says where the models of networks come from', () => {
    expect(() => checkModels(join(folder, 'orchard'))).toThrow(
      /^bench networks: the embedded models come with the repository, not with the npm package .* Clone the repository and run it there, or measure kernels, which need no model: pentimento bench kernels$/,
    );
  });
});

it('Ctrl-C ends the benchmark with code 130 and no file', async () => {
  const place = await mkdtemp(join(folder, 'interrupted-'));
  const controller = new AbortController();
  const args = ['bench', 'kernels', '--samples', '1000000', '--filter', ROW, '--json', join(place, 'results.json')];
  const onStdout = (text: string): void => {
    if (text.includes('samples a row')) setTimeout(() => controller.abort(), 20);
  };
  const { code, stderr } = await pentimento(args, { signal: controller.signal, onStdout });
  expect([code, stderr]).toEqual([130, 'interrupted, nothing was written\n']);
  expect(await readdir(place)).toEqual([]);
});

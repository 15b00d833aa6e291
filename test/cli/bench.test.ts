/** `pentimento bench`: what it refuses before anything is measured, what it leaves when it ends early, and the file that it writes. */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { checkModels } from '../../bench/networks.ts';
import { parseBench } from '../../bench/schema.ts';
import { chartsOf } from '../../bench/svg/charts.ts';
import { packageVersion } from '../../src/cli/package-root.ts';
import { pentimento } from '../support/command.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pentimento-bench-'));
});
afterAll(() => rm(folder, { recursive: true }));

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

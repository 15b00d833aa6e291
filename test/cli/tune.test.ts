/** `pentimento tune`, from the problems of a model to commands that use the table; and what becomes of tables in the cache. */
import { writeFileSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { encodeLatents, type LatentSettings, readLatents } from '../../src/cli/latents.ts';
import { readImage } from '../../src/node/images.ts';
import { keepTuning, removeKeptTuning } from '../../src/node/kept-tuning.ts';
import { parseTuningTable } from '../../src/tuning/read-table.ts';
import type { TuningTable } from '../../src/tuning/table.ts';
import { pentimento } from '../support/command.ts';
import { tableOf } from '../support/tuning.ts';

const T5 = 'models/orchard/t5';
/** The ops of T5 that are measured in a moment. */
const SHORT = ['tune', '--model', T5, '--op', 'rmsNorm'];
const PROMPTS = ['prompts', 'bowl', '--n', '1', '--max-new-tokens', '2', '--seed', '0', '--json'];

let cache: string;
beforeEach(async () => {
  cache = await mkdtemp(join(tmpdir(), 'pentimento-tune-'));
  vi.stubEnv('PENTIMENTO_CACHE', cache);
  vi.stubEnv('HF_HUB_CACHE', join(cache, 'hub'));
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(cache, { recursive: true });
});
const kept = () => readdir(join(cache, 'tuning')).catch(() => []);

describe('tune', () => {
  it('keeps a table for the adapter, which commands use and tell of, and measures no problem twice', async () => {
    const first = await pentimento([...SHORT, '--json']);
    expect([first.code, first.stderr.replace(/[\d.]+ s/, 'N s')]).toEqual([0, 'measuring kernels: N s\n']);
    const told = JSON.parse(first.stdout);
    const table: TuningTable = parseTuningTable(told.table);
    expect(told).toMatchObject({ command: 'tune', models: [T5], dtype: 'float32' });
    expect(await kept()).toEqual([`${told.name}.json`]);
    expect(told.files).toEqual({ table: join(cache, 'tuning', `${told.name}.json`) });
    expect(JSON.parse(await readFile(told.files.table, 'utf8'))).toEqual(told.table);
    expect(table.choices.map(({ op }) => op)).toEqual(['rmsNorm']);
    for (const { ms, defaultMs, gain, choice, shape } of told.figures) {
      expect(ms).toBeLessThanOrEqual(1.03 * defaultMs);
      expect(gain).toBeCloseTo(100 * (1 - ms / defaultMs));
      expect([choice, shape]).toEqual([expect.stringMatching(/^layer-norm-/), expect.stringMatching(/width 128/)]);
    }

    const again = await pentimento(SHORT);
    expect(again.stdout).toBe(`1 choice for ${told.name}: nothing was left to measure\n${told.files.table}\n`);
    const prompts = await pentimento(PROMPTS);
    expect(prompts.stderr).toContain(`Kernels are chosen by ${told.name}: 1 choice. --tuning none`);
    const report = { table: told.name, made: table.made, choices: 1 };
    const without = JSON.parse((await pentimento([...PROMPTS, '--tuning', 'none'])).stdout);
    expect(JSON.parse(prompts.stdout)).toMatchObject({ tuning: report, prompts: without.prompts });
    expect(without.tuning).toBeNull();

    const listed = await pentimento(['cache', 'list']);
    expect(listed.stdout).toContain(`${told.name}  tuning, `);
    expect(listed.stdout).toMatch(
      new RegExp(`  .*, ${table.made.slice(0, 10)}, 1 choice\\n1 tuning table, .* in ${cache}/tuning\\n$`),
    );
    const purged = await pentimento(['cache', 'purge', told.name, '--yes']);
    expect(purged.stderr).toMatch(new RegExp(`^Deleted ${told.name}: `));
    expect(await kept()).toEqual([]);
  });

  it('only says what it would measure, where asked', async () => {
    const { code, stdout } = await pentimento(['tune', '--model', T5, '--dry-run']);
    expect(code).toBe(0);
    const ops = stdout
      .trim()
      .split('\n')
      .map(line => line.split('  ')[0]);
    expect(new Set(ops)).toEqual(new Set(['linear', 'attention', 'rmsNorm']));
    const { stdout: json } = await pentimento([...SHORT, '--dry-run', '--json', '--dtype', 'float16']);
    expect(JSON.parse(json)).toMatchObject({
      dryRun: true,
      dtype: 'float16',
      problems: [
        { op: 'rmsNorm', problems: 2 },
        { op: 'rmsNorm', problems: 1 },
      ],
    });
    expect(await kept()).toEqual([]);
  });

  it('keeps what was measured before, with --force and where another process wrote meanwhile', async () => {
    const first = JSON.parse((await pentimento([...SHORT, '--json'])).stdout);
    const other: TuningTable = {
      ...first.table,
      choices: [{ op: 'softmax', where: { width: [64, 64] }, variant: 'softmax-tile' }],
    };
    await keepTuning({ ...first.table, choices: [...first.table.choices, ...other.choices] });
    const ops = (stdout: string): string[] => JSON.parse(stdout).table.choices.map(({ op }: { op: string }) => op);
    expect(ops((await pentimento([...SHORT, '--force', '--json'])).stdout)).toEqual(['rmsNorm', 'softmax']);
    await removeKeptTuning(first.name);
    const written = () => writeFileSync(first.files.table, JSON.stringify(other));
    const second = await pentimento([...SHORT, '--json'], { onStderr: written }); // told when all is measured
    expect(ops(second.stdout)).toEqual(['rmsNorm', 'softmax']);
    expect(await kept()).toEqual([`${first.name}.json`]);
  });

  it('says that nothing can be kept before it measures', async () => {
    await writeFile(join(cache, 'tuning'), '');
    const { code, stderr } = await pentimento(SHORT);
    expect([code, stderr]).toEqual([2, expect.stringMatching(/^error: output: the folder is a file: got .*tuning/)]);
  });

  it('ends on a signal with nothing written', async () => {
    for (const delay of [0, 150, 600]) {
      const controller = new AbortController();
      const out = delay === 150 ? [] : ['--out', join(cache, 'table.json')];
      setTimeout(() => controller.abort(), delay);
      const { signal } = controller;
      const { code, stdout, stderr } = await pentimento(['tune', '--model', T5, ...out], { signal });
      expect([code, stdout, stderr]).toEqual([130, '', 'interrupted, nothing was written\n']);
    }
    expect(await readdir(cache)).toEqual([]);
  });

  it.runIf(process.env['PENTIMENTO_FULL'])('tunes all embedded models, and nothing gets slower or wrong', async () => {
    const tasks = ['edit', 'prompts', 'caption'].flatMap(task => ['--task', task]);
    const { code, stdout } = await pentimento(['tune', ...tasks, '--json']);
    expect(code).toBe(0);
    const { figures, table, name } = JSON.parse(stdout);
    expect(table.choices.length).toBeGreaterThan(100);
    for (const { ms, defaultMs } of figures) expect(ms).toBeLessThanOrEqual(1.03 * defaultMs);
    const picture = 'models/orchard/samples/apples-bowl.png';
    const edit = async (...more: string[]) => {
      const output = join(cache, `edited-${more.length}.png`);
      const prompts = ['--source', 'a bowl of apples', '--target', 'a bowl of pears', '--seed', '0'];
      const made = await pentimento(['edit', picture, '-o', output, ...prompts, '--json', ...more]);
      expect(made.code).toBe(0);
      return { report: JSON.parse(made.stdout), image: await readImage(output) };
    };
    const [tuned, plain] = [await edit(), await edit('--tuning', 'none')];
    expect([tuned.report.tuning.table, plain.report.tuning]).toEqual([name, null]);
    const differences = Array.from(tuned.image.data, (byte, i) => Math.abs(byte - plain.image.data[i]));
    expect(differences.reduce((sum, byte) => sum + byte, 0) / differences.length).toBeLessThan(1);
  });

  it('refuses what cannot be, before anything is measured', async () => {
    const errorOf = async (...args: string[]) => {
      const { code, stdout, stderr } = await pentimento(args);
      expect([code, stdout]).toEqual([2, '']);
      return stderr.trim();
    };
    expect(await errorOf('tune', '--task', 'paint')).toMatchInlineSnapshot(
      `"error: option '--task <name>' argument 'paint' is invalid. Allowed choices are edit, prompts, caption."`,
    );
    expect(await errorOf('tune', '--op', 'lenear')).toContain('Allowed choices are linear, conv2d');
    expect(await errorOf('tune', '--model', T5, '--task', 'edit')).toMatchInlineSnapshot(
      `"error: tune: the model is for another task: expected edit, got prompts (models/orchard/t5). Leave --task out: what a named model is for its folder says."`,
    );
    expect(await errorOf('tune', '--model', join(cache, 'none'))).toContain('no such folder');
    expect(await errorOf('tune', '--out', join(cache, 'table.txt'))).toContain('Let it end in .json');
    await mkdir(join(cache, 'empty'));
    expect(await errorOf('tune', '--model', join(cache, 'empty'))).toContain(
      'the folder is of no model that runs here',
    );
  });
});

describe('--tuning', () => {
  it('takes a file, and refuses one that holds no tuning, or one of another adapter', async () => {
    const file = join(cache, 'mine.json');
    const using = async (text: string) => {
      await writeFile(file, text);
      return pentimento([...PROMPTS, '--tuning', file]);
    };
    const forced = await using(JSON.stringify({ force: { linear: 'gemm-tile' } }));
    expect(JSON.parse(forced.stdout).tuning).toEqual({ table: 'choices by hand', choices: 1 });
    const line = async (text: string) => {
      const { code, stderr } = await using(text);
      expect(code).toBe(2);
      return stderr.replaceAll(cache, 'CACHE').trim();
    };
    expect(await line('{')).toMatch(/^error: tuning: the file is no JSON: got .* \(CACHE\/mine\.json\)\. Name a file/);
    expect(await line('{"force": {"linear": "fast"}}')).toContain("error: tuning: 'linear' has no such variant");
    const { DEFAULT_CAPS } = await import('../../src/gpu/dry-device.ts');
    expect(await line(JSON.stringify(tableOf(DEFAULT_CAPS, [])))).toMatch(
      /^error: tuning: the table was measured on another adapter: .* Measure anew with `pentimento tune`\.$/,
    );
    const { stderr } = await pentimento([...PROMPTS, '--tuning', join(cache, 'none.json')]);
    expect(stderr.replaceAll(cache, 'CACHE').trim()).toMatchInlineSnapshot(
      `"error: tuning: the file cannot be read: got no such file or directory (CACHE/none.json). Name a file that \`pentimento tune --out\` wrote, or none."`,
    );
  });

  it('of the cache that is damaged is told and not used', async () => {
    const { stdout } = await pentimento([...SHORT, '--dry-run', '--json']);
    await mkdir(join(cache, 'tuning'));
    await writeFile(join(cache, 'tuning', `${JSON.parse(stdout).name}.json`), '{"version": 1');
    const { code, stderr, stdout: json } = await pentimento(PROMPTS);
    expect(code).toBe(0);
    expect(stderr).toContain(
      'A tuning table is not used: parseTuningTable: this is no JSON. Measure anew with `pentimento tune`',
    );
    expect(JSON.parse(json).tuning).toBeNull();
  });
});

describe('latents', () => {
  it('name the table that they were made by, and an edit by another one says so', async () => {
    const settings = {
      model: 'm',
      fingerprint: 'f',
      numInferenceSteps: 1,
      inpaintStrength: 1,
      width: 8,
      height: 8,
      picture: 'p',
    };
    const latents = { data: new Float32Array(4), shape: [1, 1, 4, 1, 1] };
    const path = join(cache, 'latents.safetensors');
    const notesOf = async (made: string | undefined, now: string) => {
      const more = made === undefined ? {} : { tuning: made };
      await writeFile(path, encodeLatents({ latents }, { ...settings, ...more } as unknown as LatentSettings));
      const notes: string[] = [];
      const needed = { ...settings, fit: 'nearest' as const };
      await readLatents(path, needed, { tuning: now }, line => void notes.push(line));
      return notes;
    };
    expect(await notesOf('card-1', 'card-1')).toEqual([]);
    expect(await notesOf(undefined, '')).toEqual([]);
    expect(await notesOf('card-1', '')).toEqual([
      'The latents were inverted with the tuning table (which changes last bits) "card-1", not none.',
    ]);
  });
});

describe('cache', () => {
  it('lists tables of other kernels and damaged ones, and purges all tables alone', async () => {
    const { DEFAULT_CAPS } = await import('../../src/gpu/dry-device.ts');
    const old = tableOf({ ...DEFAULT_CAPS, vendor: 'acme' }, [], { kernels: '0'.repeat(64) });
    await keepTuning(old);
    await writeFile(join(cache, 'tuning', 'broken.json'), '');
    const { stdout } = await pentimento(['cache', 'list']);
    expect(stdout.replaceAll(cache, 'CACHE')).toMatchInlineSnapshot(`
      "No model that can be opened here in CACHE/hub
      acme-webgpu-with-its-default-limits-f2c3e590-000000000000  tuning, 454 B
        WebGPU with its default limits, 2026-11-27, 0 choices; of other kernels, not used
      broken  tuning, 0 B, not used: this is no JSON
      2 tuning tables, 454 B, in CACHE/tuning
      "
    `);
    const json = JSON.parse((await pentimento(['cache', 'list', '--json'])).stdout);
    expect(json.tuning.tables).toMatchObject([
      { used: false, choices: 0, adapter: { vendor: 'acme' } },
      { name: 'broken' },
    ]);
    const { stderr } = await pentimento(['cache', 'purge', '--tuning', '--yes']);
    expect(stderr).toMatch(/^Deleted acme-.*, broken: /);
    expect(await kept()).toEqual([]);
    const none = await pentimento(['cache', 'purge', '--tuning']);
    expect([none.code, none.stderr.replaceAll(cache, 'CACHE')]).toEqual([
      0,
      'There is no tuning table in CACHE/tuning.\n',
    ]);
  });
});

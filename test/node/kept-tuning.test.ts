/** Tuning tables in the cache directory: whole or not there, and never in the way. */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { InputError } from '../../src/core/errors.ts';
import { DEFAULT_CAPS } from '../../src/gpu/dry-device.ts';
import { keepTuning, keptTuning, listKeptTuning, removeKeptTuning, tuningFolder } from '../../src/node/kept-tuning.ts';
import { tuningKey } from '../../src/tuning/table.ts';
import { tableOf } from '../support/tuning.ts';

const caps = { ...DEFAULT_CAPS, vendor: 'acme', description: 'Acme Rocket (TM) 9' };
const table = tableOf(caps, [{ op: 'linear', where: { k: [64, 64], 'a.storage': 'f32' }, variant: 'gemm-tile' }]);
const FILE = `${tuningKey(caps)}.json`;

let folder: string;
const warnings: string[] = [];
const onWarning = (message: string) => void warnings.push(message.replaceAll(folder, 'FOLDER'));
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pentimento-tuning-'));
  warnings.length = 0;
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(folder, { recursive: true });
});

describe('a tuning table', () => {
  it('is kept for its adapter and found again', async () => {
    expect(await keptTuning(caps, { folder })).toBeUndefined();
    expect(await keepTuning(table, { folder: join(folder, 'a', 'b') })).toBe(join(folder, 'a', 'b', FILE));
    expect(FILE).toMatch(/^acme-acme-rocket-tm-9-[0-9a-f]{8}-[0-9a-f]{12}\.json$/);
    expect(await keepTuning(table, { folder })).toBe(join(folder, FILE));
    expect(await keptTuning(caps, { folder, onWarning })).toEqual(table);
    expect(await keptTuning({ caps }, { folder })).toEqual(table);
    expect(await keptTuning({ ...caps, subgroupSize: 32 }, { folder, onWarning })).toBeUndefined();
    expect(warnings).toEqual([]);
    expect(await readdir(folder)).toEqual(['a', FILE].sort());
  });

  it('takes the place of the one before, and stays where another cannot be written', async () => {
    await keepTuning(table, { folder });
    await keepTuning({ ...table, made: 'later' }, { folder });
    expect((await keptTuning(caps, { folder }))?.made).toBe('later');
    await expect(keepTuning({ ...table, version: 2 } as never, { folder })).rejects.toThrow('of another version');
    await mkdir(join(folder, 'file'));
    await writeFile(join(folder, 'file', 'is'), '');
    await expect(keepTuning(table, { folder: join(folder, 'file', 'is') })).rejects.toThrow(
      /^keepTuning: the table cannot be written: got .*Make the folder writable/,
    );
    expect((await readdir(folder)).filter(name => name.endsWith('.part'))).toEqual([]);
  });

  it('that is damaged or foreign is named and not used', async () => {
    const reading = async (text: string) => {
      await writeFile(join(folder, FILE), text);
      expect(await keptTuning(caps, { folder, onWarning })).toBeUndefined();
      return warnings.pop()?.replace(/[0-9a-f]{12}(?=\.json)/, 'KERNELS');
    };
    const whole = JSON.stringify(table);
    expect(await reading(whole.slice(0, 100))).toMatchInlineSnapshot(
      `"A tuning table is not used: parseTuningTable: this is no JSON. Measure anew with \`pentimento tune\`, or tune(). (FOLDER/acme-acme-rocket-tm-9-d8b0749e-KERNELS.json)"`,
    );
    expect(await reading('[]')).toContain('this is no table');
    expect(await reading(JSON.stringify({ ...table, version: 7 }))).toContain('expected 1, got 7');
    const other = { ...table, adapter: { ...table.adapter, vendor: 'other' } };
    expect(await reading(JSON.stringify(other))).toMatch(/on another adapter: expected acme, got "other"/);
    expect(await reading(JSON.stringify({ ...table, kernels: '0'.repeat(64) }))).toContain('with other kernels');
    const gone = { ...table, choices: [{ op: 'linear', variant: 'gone' }] };
    expect(await reading(JSON.stringify(gone))).toContain("'linear' has no such variant");
    expect(await readdir(folder)).toEqual([FILE]);
    await rm(join(folder, FILE));
    await mkdir(join(folder, FILE));
    expect(await keptTuning(caps, { folder, onWarning })).toBeUndefined();
    expect(warnings.pop()).toBe(`A tuning table is not used: a folder (FOLDER/${FILE})`);
    const told = vi.spyOn(console, 'warn').mockImplementation(() => undefined);
    await keptTuning(caps, { folder });
    expect(told).toHaveBeenCalledTimes(1);
  });

  it('is listed and removed by its name, a damaged one too, and nothing else is', async () => {
    await keepTuning(table, { folder });
    await writeFile(join(folder, 'broken.json'), '{');
    await writeFile(join(folder, `${FILE}.1-x.part`), 'half');
    const listed = await listKeptTuning({ folder });
    expect(listed.map(({ name, table: own, problem }) => [name, own?.made, problem])).toEqual([
      [tuningKey(caps), table.made, undefined],
      ['broken', undefined, 'this is no JSON'],
    ]);
    expect(listed[0].bytes).toBe((await readFile(join(folder, FILE))).length);
    expect(await removeKeptTuning('../broken', { folder })).toBe(false);
    expect(await removeKeptTuning('none', { folder })).toBe(false);
    expect(await removeKeptTuning('broken', { folder })).toBe(true);
    expect(await removeKeptTuning(tuningKey(caps), { folder })).toBe(true);
    expect(await listKeptTuning({ folder })).toEqual([]);
    expect(await listKeptTuning({ folder: join(folder, 'none') })).toEqual([]);
  });

  it('lies where the platform keeps caches', () => {
    vi.stubEnv('PENTIMENTO_CACHE', '/own');
    expect(tuningFolder()).toBe('/own/tuning');
    vi.stubEnv('PENTIMENTO_CACHE', '');
    vi.stubEnv('XDG_CACHE_HOME', '/xdg');
    expect(tuningFolder()).toBe('/xdg/pentimento/tuning');
    vi.stubEnv('XDG_CACHE_HOME', undefined);
    vi.stubEnv('LOCALAPPDATA', '/local');
    const on = (platform: NodeJS.Platform): string => {
      const spy = vi.spyOn(process, 'platform', 'get').mockReturnValue(platform);
      const found = tuningFolder();
      spy.mockRestore();
      return found;
    };
    expect(on('linux')).toBe(join(homedir(), '.cache/pentimento/tuning'));
    expect(on('darwin')).toBe(join(homedir(), 'Library/Caches/pentimento/tuning'));
    expect(on('win32')).toBe('/local/pentimento/tuning');
  });

  it('is whole whoever writes at the same time', async () => {
    // Two processes write different tables again and again; whoever reads sees one of them, all of it.
    const script = `
      import { appendFileSync } from 'node:fs';
      const { keepTuning } = await import('${new URL('../../src/node/kept-tuning.ts', import.meta.url)}');
      const table = JSON.parse(process.argv[1]);
      for (let i = 0; i < 60; i++) await keepTuning(table, { folder: process.argv[2] });
    `;
    const run = (made: string) =>
      new Promise<void>((resolve, reject) => {
        const choices = Array.from({ length: made === 'first' ? 400 : 3 }, () => table.choices[0]);
        const runner = new URL('../support/run-typescript.mjs', import.meta.url).href;
        const args = ['--import', runner, '--input-type=module', '--eval', script];
        const done = (error: Error | null) => (error ? reject(error) : resolve());
        execFile(process.execPath, [...args, JSON.stringify({ ...table, made, choices }), folder], done);
      });
    let running = true;
    const both = Promise.all(['first', 'second'].map(run)).finally(() => {
      running = false;
    });
    const seen = new Set<string>();
    while (running) {
      const found = await keptTuning(caps, { folder, onWarning });
      if (found) seen.add(`${found.made} ${found.choices.length}`);
      await new Promise(resume => setTimeout(resume, 1));
    }
    await both;
    expect(warnings).toEqual([]);
    expect([...seen].every(text => ['first 400', 'second 3'].includes(text))).toBe(true);
    expect(seen.size).toBeGreaterThan(0);
    expect(await readdir(folder)).toEqual([FILE]);
  });

  it('that is a folder is listed as damaged, and cannot be deleted, which is said', async () => {
    await mkdir(join(folder, 'odd.json'));
    expect(await listKeptTuning({ folder })).toMatchObject([
      { name: 'odd', table: undefined, problem: 'this is no JSON' },
    ]);
    await expect(removeKeptTuning('odd', { folder })).rejects.toBeInstanceOf(InputError);
  });

  it('never leads out of the folder, whatever it calls its kernels', async () => {
    const outside = { ...table, kernels: '/../../up'.padEnd(64, 'x') };
    await expect(keepTuning(outside, { folder })).rejects.toThrow('(kernels)');
  });
});

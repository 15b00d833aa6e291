import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { readImage } from '../../src/node/images.ts';

it('the Node example edits a picture with the built package', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'pentimento-example-'));
  const out = join(folder, 'pears.png');
  const args = ['--import', './test/support/run-typescript.mjs', 'examples/node/edit.ts', out, '4'];
  await promisify(execFile)(process.execPath, args);
  const [before, after] = [await readImage('models/orchard/samples/apples-bowl.png'), await readImage(out)];
  expect([after.width, after.height]).toEqual([before.width, before.height]);
  const changed = before.data.filter((v, i) => Math.abs(v - after.data[i]) > 16).length / before.data.length;
  expect(changed).toBeGreaterThan(0.02);
  expect(changed).toBeLessThan(0.6);
  await rm(folder, { recursive: true });
});

it('the one that makes pictures shows four beside each other', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'pentimento-example-'));
  const out = join(folder, 'generated.png');
  const args = ['--import', './test/support/run-typescript.mjs', 'examples/node/generate.ts', out, '3'];
  await promisify(execFile)(process.execPath, args);
  const { width, height } = await readImage(out);
  expect(width).toBeGreaterThanOrEqual(4 * 128);
  expect(height).toBeGreaterThanOrEqual(128);
  await rm(folder, { recursive: true });
});

it('every example can be read on one screen', async () => {
  for (const name of await readdir('examples', { recursive: true })) {
    if (!/\.(ts|html)$/.test(name)) continue;
    const lines = (await readFile(join('examples', name), 'utf8')).split('\n').length - 1;
    expect(lines, name).toBeLessThanOrEqual(80);
  }
});

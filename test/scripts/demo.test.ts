import { execFile } from 'node:child_process';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { readImage } from '../../src/node/images.ts';

it('the demo makes its pictures with the built program, and says where they lie', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'pentimento-demo-'));
  const quick = ['--num-inference-steps', '4', '--num-maps-per-mask', '1', '-o', join(folder, 'out.png')];
  const { stdout, stderr } = await promisify(execFile)(process.execPath, ['scripts/demo.mjs', ...quick]);
  expect(stderr).toContain('a bowl of apples -> a bowl of pears');
  expect(stderr).toContain('a basket of pears -> a bowl of pears');
  expect(stdout.match(/^times .* total \d+\.\d s; the mask covers \d+ % of the picture$/gm)).toHaveLength(2);
  expect((await readdir(folder)).sort()).toEqual(['out.mask.png', 'out.png', 'out.sheet.png']);
  const picture = await readImage(join(folder, 'out.png'));
  expect([picture.width, picture.height]).toEqual([128, 128]);
  await rm(folder, { recursive: true });
});

/** A folder of small pictures for the command line, and the command as a process of its own that can be killed. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { resize } from '../../src/io/resize.ts';
import { readImage, saveImage } from '../../src/node/images.ts';

/** Writes so many pictures of 64x64, each other colours. */
export async function smallPictures(folder: string, count: number): Promise<void> {
  await mkdir(folder, { recursive: true });
  const { width, height, data } = resize(await readImage('models/orchard/samples/apples-bowl.png'), 64, 64, 'bicubic');
  for (let i = 0; i < count; i++) {
    await saveImage(join(folder, `p${i}.png`), { width, height, data: data.map(v => (v * (50 + (i % 50))) / 100) });
  }
}

/** Files below a folder and the hashes of their bytes. */
export async function hashesBelow(folder: string): Promise<Record<string, string>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const paths = entries.filter(entry => entry.isFile()).map(entry => join(entry.parentPath, entry.name));
  const hashed = paths.sort().map(async path => {
    const hash = createHash('sha256').update(await readFile(path));
    return [path.slice(folder.length + 1), hash.digest('hex')] as const;
  });
  return Object.fromEntries(await Promise.all(hashed));
}

/** Starts the command line as a process. */
export function startPentimento(args: readonly string[]): ChildProcess {
  return spawn(process.execPath, ['--import', './test/support/run-typescript.mjs', 'src/cli/main.ts', ...args]);
}

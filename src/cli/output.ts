/** Files that a command writes: named and checked before the work, written after it, all of them or none. */
import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { copyFile, readdir, rename, rm } from 'node:fs/promises';
import { dirname, extname, join, resolve } from 'node:path';
import { InputError } from '../core/errors.ts';
import type { GreyImage, RgbImage } from '../io/image.ts';
import { reason } from '../node/files.ts';
import { encodeJpeg, encodePng } from '../node/images.ts';
import { makeFolder } from '../node/make-folder.ts';
import { writeSynced } from '../node/write-synced.ts';

/** A file to be written. */
export interface OutputFile {
  readonly path: string;
  readonly bytes: Uint8Array;
}

/**
 * Refuses a path that cannot be written, before the work begins.
 * @param path to be written later; its folder may be missing, and is made then
 * @param extensions that are understood
 * @throws InputError
 */
export function checkOutput(path: string, extensions: readonly string[]): void {
  const extension = extname(path).toLowerCase();
  const fail = (problem: string, fix: string, received?: string): never => {
    throw new InputError({ op: 'output', problem, received, path, fix });
  };
  if (!extensions.includes(extension)) {
    fail(
      'the name does not say how to write the file',
      `Let it end in ${extensions.join(' or ')}.`,
      extension || 'no extension',
    );
  }
  if (existsSync(path) && statSync(path).isDirectory()) fail('a folder has this name', 'Name a file.');
  let folder = dirname(path);
  while (!existsSync(folder)) folder = dirname(folder);
  if (!statSync(folder).isDirectory()) fail('the folder is a file', 'Name another folder.', folder);
  try {
    accessSync(folder, constants.W_OK);
  } catch {
    fail('no permission to write into the folder', 'Name another folder.', folder);
  }
}

/** `dir/name.png` with something before the extension: `dir/name.mask.png`. */
export function besides(path: string, addition: string, extension: string = extname(path)): string {
  return `${path.slice(0, path.length - extname(path).length)}.${addition}${extension}`;
}

/** The picture as the path's extension says. */
export function encodeFor(path: string, image: RgbImage | GreyImage): OutputFile {
  return { path, bytes: extname(path).toLowerCase() === '.png' ? encodePng(image) : encodeJpeg(image) };
}

/**
 * Writes all files under temporary names, then renames them. Where one of them fails, what was there before is put back:
 * all of them appear, or none.
 * @throws InputError when a file cannot be written
 */
export async function writeAll(files: readonly OutputFile[]): Promise<void> {
  const paths = files.map(file => file.path);
  const placed: string[] = [];
  let path = '';
  try {
    for (const file of files) {
      path = file.path;
      await makeFolder(dirname(path));
      await writeSynced(part(path), file.bytes);
    }
    for (path of paths) {
      if (existsSync(path)) await copyFile(path, old(path));
      await rename(part(path), path);
      placed.push(path);
    }
  } catch (cause) {
    for (const done of placed) await (existsSync(old(done)) ? rename(old(done), done) : removed(done));
    await Promise.all(paths.map(name => removed(part(name))));
    const problem = 'the result cannot be written';
    throw new InputError({ op: 'output', problem, received: reason(cause), path, fix: 'Name another folder.', cause });
  } finally {
    await Promise.all(paths.map(name => removed(old(name))));
  }
}

/** Why nothing can be written tells more than why nothing can be removed. */
async function removed(path: string): Promise<void> {
  await rm(path, { force: true }).catch(() => undefined);
}

/**
 * Removes what a killed process left beside files that it was writing.
 * @param paths of the files
 */
export async function removeLeftovers(paths: readonly string[]): Promise<void> {
  const names = new Set(paths.map(path => resolve(path)));
  for (const folder of new Set([...names].map(path => dirname(path)))) {
    const entries = await readdir(folder).catch(() => []);
    for (const entry of entries) {
      const [, name] = LEFT_OVER.exec(entry) ?? [];
      if (name !== undefined && names.has(join(folder, name))) await rm(join(folder, entry), { force: true });
    }
  }
}

/** As `part` and `old` name files. */
const LEFT_OVER = /^(.+)\.\d+\.(?:part|old)$/;

function part(path: string): string {
  return `${path}.${process.pid}.part`;
}

/** What a file was before, until all are written. */
function old(path: string): string {
  return `${path}.${process.pid}.old`;
}

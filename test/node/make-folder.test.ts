import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeFolder } from '../../src/node/make-folder.ts';

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'pentimento-folder-'));
});
afterAll(() => rm(root, { recursive: true }));

describe('makeFolder', () => {
  it('makes what is missing, and names the first of it', async () => {
    expect(await makeFolder(join(root, 'a/b/c'))).toBe(join(root, 'a'));
    expect(existsSync(join(root, 'a/b/c'))).toBe(true);
    expect(await makeFolder(join(root, 'a/b/d/e'))).toBe(join(root, 'a/b/d'));
    expect(await makeFolder(join(root, 'a/b'))).toBeUndefined();
  });

  it('may be called twice at once', async () => {
    await Promise.all([makeFolder(join(root, 'x/y/z')), makeFolder(join(root, 'x/y/z'))]);
    expect(existsSync(join(root, 'x/y/z'))).toBe(true);
  });

  it('ends with an error where a file stands in the way', async () => {
    await writeFile(join(root, 'file'), '');
    await expect(makeFolder(join(root, 'file'))).rejects.toMatchObject({ code: 'EEXIST' });
    await expect(makeFolder(join(root, 'file/x/y'))).rejects.toMatchObject({ code: 'ENOTDIR' });
  });

  it.runIf(existsSync('/proc/self'))('ends with an error in file systems where nothing can be made', async () => {
    await expect(makeFolder('/proc/pentimento/x')).rejects.toMatchObject({ code: 'ENOENT' });
  });
});

import { mkdir, mkdtemp, readdir, rm, symlink, truncate, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openCheckpoint } from '../../src/io/checkpoint.ts';
import { writeSafetensors } from '../../src/io/safetensors.ts';
import { directory, fileSource } from '../../src/node/files.ts';

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'pentimento-files-'));
  await mkdir(join(root, 'unet'));
  await writeFile(join(root, 'unet', 'config.json'), '{}');
  await writeFile(
    join(root, 'ten'),
    Uint8Array.from({ length: 10 }, (_, i) => i),
  );
  const weights = writeSafetensors({ w: { dtype: 'F32', shape: [2], data: Float32Array.of(5, 6) } });
  await writeFile(join(root, 'model.safetensors'), weights);
});
afterAll(() => rm(root, { recursive: true }));

/** Open descriptors of this process that lead into the test's folder. */
async function openHandles(): Promise<number> {
  const { readlink } = await import('node:fs/promises');
  const fds = await readdir('/proc/self/fd');
  const targets = await Promise.all(fds.map(fd => readlink(`/proc/self/fd/${fd}`).catch(() => '')));
  return targets.filter(target => target.startsWith(root)).length;
}

describe('fileSource', () => {
  it('reads into the given view at any offset', async () => {
    const source = await fileSource(join(root, 'ten'));
    const into = new Uint8Array(6);
    await source.read(3, into.subarray(1, 5));
    expect([source.byteLength, ...into]).toEqual([10, 0, 3, 4, 5, 6, 0]);
    await expect(source.read(7, new Uint8Array(4))).rejects.toThrow(
      /bytes beyond the end: expected a range within 10 bytes, got 7 to 11/,
    );
    await source.close?.();
  });

  it('reads nothing more of a file that was written to since: its bytes would be of two states', async () => {
    const path = join(root, 'changing');
    await writeFile(path, new Uint8Array(8));
    await utimes(path, 1e9, 1e9);
    const source = await fileSource(path);
    await source.read(0, new Uint8Array(4));
    await writeFile(path, new Uint8Array(8).fill(1));
    await expect(source.read(4, new Uint8Array(4))).rejects.toThrow(
      /^read: the file was written to since it was opened \(.*changing\)\. Open the model again once the file is whole\.$/,
    );
    await source.close?.();
    await rm(path);
  });

  it('may be closed twice, and is closed for reading then', async () => {
    const source = await fileSource(join(root, 'ten'));
    expect(await openHandles()).toBe(1);
    await source.close?.();
    await source.close?.();
    expect(await openHandles()).toBe(0);
    await expect(source.read(0, new Uint8Array(1))).rejects.toThrow(/^read: the file is closed/);
  });

  it('notices a file that shrinks', async () => {
    const path = join(root, 'shrinks');
    await writeFile(path, new Uint8Array(10));
    const source = await fileSource(path);
    await truncate(path, 4);
    await expect(source.read(0, new Uint8Array(8))).rejects.toThrow(/expected a range within 4 bytes, got 0 to 8/);
    await source.close?.();
  });

  it('names what is no file', async () => {
    await expect(fileSource('no/such/file')).rejects.toThrowErrorMatchingInlineSnapshot(
      `[WeightsError: open: no such file or directory (no/such/file). Check the path.]`,
    );
    await expect(fileSource(root)).rejects.toThrow(/^open: not a file \(/);
    expect(await openHandles()).toBe(0);
  });
});

describe('directory', () => {
  it('lists the files of a folder, links among them, and none of a folder that is not there', async () => {
    const inside = join(root, 'linked');
    await mkdir(join(inside, 'deeper'), { recursive: true });
    await writeFile(join(inside, 'a.json'), '{}');
    await symlink(join(root, 'ten'), join(inside, 'b.bin'));
    const folder = await directory(root);
    expect([...((await folder.list?.('linked')) ?? [])].sort()).toEqual(['a.json', 'b.bin']);
    expect(await folder.list?.('')).toContain('model.safetensors');
    expect(await folder.list?.('none')).toEqual([]);
    await expect(folder.list?.('../..')).rejects.toThrow(/a path leads out of the folder/);
  });

  it('has files, not folders, and reads them', async () => {
    const folder = await directory(root);
    expect(folder.label).toBe(root);
    expect(await Promise.all(['ten', 'unet', 'unet/config.json', 'none', 'ten/x'].map(p => folder.has(p)))).toEqual([
      true,
      false,
      true,
      false,
      false,
    ]);
    expect(await folder.text('unet/config.json')).toBe('{}');
    const bytes = await folder.bytes('ten');
    expect(bytes.byteLength).toBe(10);
    await bytes.close?.();
  });

  it('names missing files, and refuses paths that lead out', async () => {
    const folder = await directory(root);
    await expect(folder.text('vae/config.json')).rejects.toThrow(/^folder: no file "vae\/config\.json" \(/);
    await expect(folder.bytes('none')).rejects.toThrow(/^folder: no file "none" \(/);
    for (const path of ['../x', 'unet/../../x', '/etc/passwd', '..']) {
      await expect(folder.text(path)).rejects.toThrow(/a path leads out of the folder/);
    }
    expect(await folder.text('unet/../unet/config.json')).toBe('{}');
  });

  it('says in words what the system says of a file that it does not show', async () => {
    const folder = await directory(root);
    const loop = join(root, 'loop.json');
    await symlink('loop.json', loop);
    for (const read of [() => folder.has('loop.json'), () => folder.text('loop.json'), () => folder.bytes('loop.json')])
      await expect(read()).rejects.toThrow(/^open: a link that leads round in a circle \(.*loop\.json\)/);
    await expect(folder.text('unet')).rejects.toThrow(/^open: a folder \(.*unet\)/);
    await rm(loop);
  });

  it('names what is no directory', async () => {
    await expect(directory('no/such/folder')).rejects.toThrowErrorMatchingInlineSnapshot(
      `[WeightsError: open: no such file or directory (no/such/folder). Check the path.]`,
    );
    await expect(directory(join(root, 'ten'))).rejects.toThrow(
      /^open: not a directory \(.*\)\. Name the model folder\./,
    );
  });

  it('carries a checkpoint, whose close closes the file', async () => {
    const source = await openCheckpoint(await directory(root), 'model');
    const into = new Uint8Array(4);
    await source.read('w', 4, into);
    expect(new Float32Array(into.buffer)[0]).toBe(6);
    expect(await openHandles()).toBe(1);
    await source.close?.();
    expect(await openHandles()).toBe(0);
  });
});

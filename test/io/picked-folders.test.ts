/** Folders as people pick and drop them: handles, entries, lists of files, and the folder around the model. */
import { describe, expect, it } from 'vitest';
import { WeightsError } from '../../src/core/errors.ts';
import type { FolderSource } from '../../src/core/tensor-source.ts';
import { loadImage } from '../../src/io/load-image.ts';
import { blobSource, fileListFolder } from '../../src/io/sources.ts';
import { type DroppedItemLike, directoryHandleFolder, droppedFolder } from '../../src/page.ts';
import { fakeStorage } from '../support/fake-storage.ts';

const MODEL = ['model_index.json', 'unet/config.json', 'unet/model.safetensors'];

async function handleOf(paths: readonly string[]) {
  const storage = fakeStorage();
  for (const path of paths) {
    const parts = path.split('/');
    let folder = await storage.getDirectoryHandle('picked', { create: true });
    for (const name of parts.slice(0, -1)) folder = await folder.getDirectoryHandle(name, { create: true });
    await folder.getFileHandle(parts.at(-1) as string, { create: true });
    storage.files.set(`picked/${path}`, new TextEncoder().encode(`of ${path}`));
  }
  return storage.getDirectoryHandle('picked', { create: true });
}

/** As WebKit gives it: a hundred entries at a time, by callbacks. */
function entryOf(name: string, paths: readonly string[]): object {
  const names = [...new Set(paths.map(path => path.split('/')[0]))];
  const children = names.map(child => {
    const below = paths.filter(path => path.startsWith(`${child}/`)).map(path => path.slice(child.length + 1));
    return below.length > 0 ? entryOf(child, below) : fileEntry(child);
  });
  const reader = () => {
    const left = [...children];
    return { readEntries: (done: (some: object[]) => void) => setTimeout(() => done(left.splice(0, 2))) };
  };
  return { name, isDirectory: true, createReader: reader };
}

const fileEntry = (name: string) => ({
  ...{ name, isDirectory: false },
  file: (done: (file: Blob) => void) => done(new Blob([`of ${name}`])),
});
const drop = (...entries: object[]) => ({
  items: entries.map((entry): DroppedItemLike => ({ kind: 'file', webkitGetAsEntry: () => entry })),
});
const fileOf = (path: string): File =>
  Object.assign(new File([`of ${path}`], path.split('/').at(-1) ?? ''), { webkitRelativePath: path });

const ways: [string, (paths: readonly string[]) => Promise<FolderSource>][] = [
  ['a handle', async paths => directoryHandleFolder(await handleOf(paths))],
  ['dropped', paths => droppedFolder(drop(entryOf('picked', paths)))],
  ['a list of files', async paths => fileListFolder(paths.map(path => fileOf(`picked/${path}`)))],
];

describe.each(ways)('a folder as %s', (_, open) => {
  it('is the model where it holds one', async () => {
    const folder = await open([...MODEL, 'notes/other/config.json']);
    expect(folder.label).toBe('picked');
    expect(await folder.text('unet/config.json')).toMatch(/^of .*config\.json$/);
    expect([await folder.has('unet/x.json'), await folder.has('unet'), await folder.has('vae/x')]).toEqual([
      ...[false, false, false],
    ]);
    expect(await folder.list?.('unet')).toEqual(['config.json', 'model.safetensors']);
    expect((await folder.bytes('unet/model.safetensors')).byteLength).toBeGreaterThan(5);
    await expect(folder.bytes('vae/config.json')).rejects.toThrow(/no file "vae\/config.json" \(picked\)/);
  });

  it('is the one model in it where the folder around it was picked', async () => {
    for (const around of ['sd', 'models/sd']) {
      const folder = await open([...MODEL.map(path => `${around}/${path}`), 'README.md']);
      expect(await folder.has('model_index.json')).toBe(true);
      expect(await folder.text('unet/config.json')).toMatch(/^of .*config\.json$/);
    }
    const single = await open(['t5/config.json', 't5/model.safetensors']);
    expect(await single.has('model.safetensors')).toBe(true);
  });

  it('names what it holds where that is several models, or none', async () => {
    const refusal = (paths: string[]) =>
      open(paths)
        .then(folder => folder.has('model_index.json'))
        .then(String, error => String(error).replace(/^InputError: \w+/, 'InputError: op'));
    expect(await refusal(['a/model_index.json', 'b/model_index.json'])).toBe(
      'InputError: op: there are several models in it: got a, b. Choose one of them.',
    );
    expect(await refusal(['1.png', '2.png', '3.png', '4.png', '5.png', '6.png', '7.png'])).toBe(
      'InputError: op: no model lies there: expected model_index.json, config.json or a file of weights, got 1.png, 2.png, ' +
        '3.png, 4.png, 5.png, 2 more. Choose the folder that holds model_index.json.',
    );
    // Parts of a pipeline: whoever opens it says what it lacks.
    expect(await refusal(['unet/config.json', 'vae/config.json'])).toBe('false');
  });
});

it('files that were chosen or dropped one by one lie beside each other', async () => {
  const plain = ['config.json', 'model.safetensors'].map(name => new File([`of ${name}`], name));
  for (const folder of [fileListFolder(plain), await droppedFolder(drop(...plain.map(file => fileEntry(file.name))))])
    expect(await folder.text('config.json')).toBe('of config.json');
  const withoutEntries = { items: plain.map(file => ({ kind: 'file', getAsFile: () => file })) };
  expect(await (await droppedFolder(withoutEntries)).text('config.json')).toBe('of config.json');
  expect(() => fileListFolder([...plain, new File([''], 'config.json')])).toThrowErrorMatchingInlineSnapshot(
    `[InputError: fileListFolder: two files have one name: got config.json. Choose the folder, not its files: <input type="file" webkitdirectory>.]`,
  );
});

it.each([
  [0, true],
  [3, true],
  [4, false],
])('a model that lies %i folders below what was dropped is whole, or not there', async (deep, there) => {
  const around = 'a/'.repeat(deep);
  const folder = await droppedFolder(drop(entryOf('picked', [...MODEL.map(path => around + path), 'notes.txt'])));
  for (const path of MODEL) expect(await folder.has(path)).toBe(there);
});

it('says which file cannot be read any more, and reads on where it can be again', async () => {
  const refused = new DOMException('The request is not allowed', 'NotAllowedError');
  let allowed = true;
  const guarded = (handle: object): object =>
    new Proxy(handle, {
      get: (target, name) => {
        const value = Reflect.get(target, name);
        if (typeof value !== 'function') return value;
        return (...args: unknown[]) => {
          if (!allowed) return name === 'keys' ? refusing() : Promise.reject(refused);
          const result = value.apply(target, args);
          return result instanceof Promise
            ? result.then(got => (typeof got?.getDirectoryHandle === 'function' || got?.getFile ? guarded(got) : got))
            : result;
        };
      },
    });
  const refusing = async function* () {
    yield* [];
    throw refused;
  };
  const folder = directoryHandleFolder(guarded(await handleOf(MODEL)) as never);
  allowed = false; // before the first file
  await expect(folder.has('model_index.json')).rejects.toThrow(WeightsError);
  allowed = true;
  expect(await folder.has('model_index.json')).toBe(true);
  allowed = false;
  const error = await folder.bytes('unet/config.json').catch(e => e);
  expect(error).toBeInstanceOf(WeightsError);
  expect(error.cause).toBe(refused);
  expect(error.message).toBe(
    'read: a file that was chosen cannot be read any more: got NotAllowedError: The request is not allowed ' +
      '(picked/unet/config.json). It was changed or moved, its disk is gone, or the permission to read it ended: choose it again.',
  );
  await expect(folder.list?.('unet')).rejects.toThrow(/cannot be read any more: .*\(picked\/unet\)/);
  allowed = true;
  expect(await folder.text('unet/config.json')).toBe('of unet/config.json');
  // One that was removed since its folder was read is one that is not there.
  const storage = fakeStorage();
  const gone = await storage.getFileHandle('config.json', { create: true });
  const removed = {
    name: 'm',
    keys: () => storage.keys?.(),
    getDirectoryHandle: () => Promise.reject(new TypeError()),
  };
  const left = directoryHandleFolder({ ...removed, getFileHandle: async () => gone } as never);
  expect(await left.has('config.json')).toBe(true);
  storage.files.clear();
  await expect(left.has('config.json')).resolves.toBe(false);
});

it('a file that changed since it was chosen or dropped is told by its name', async () => {
  const changed = new DOMException('could not be read', 'NotReadableError');
  const file = Object.assign(new File(['{}'], 'config.json'), {
    slice: () => ({ arrayBuffer: () => Promise.reject(changed) }),
    arrayBuffer: () => Promise.reject(changed),
  });
  const refusal = /cannot be read any more: got NotReadableError: could not be read \(files\/config\.json\)/;
  const error = await fileListFolder([file as never])
    .text('config.json')
    .catch(e => e);
  expect([error instanceof WeightsError, error.cause]).toEqual([true, changed]);
  expect(error.message).toMatch(refusal);
  await expect(blobSource(file).read(0, new Uint8Array(2))).rejects.toThrow(/NotReadableError.*\(config\.json\)/);
  await expect(loadImage(file)).rejects.toThrow(
    'loadImage: the file cannot be read: got NotReadableError: could not be read (config.json). It was changed or moved since it was chosen: choose it again.',
  );
  const unread = { name: 'x.bin', isDirectory: false, file: (_: unknown, fail: (e: unknown) => void) => fail(changed) };
  await expect(droppedFolder(drop(unread))).rejects.toThrow(/read: .*NotReadableError.*\(x\.bin\)/);
  const closed = {
    ...{ name: 'sd', isDirectory: true },
    createReader: () => ({ readEntries: (_: unknown, fail: (e: unknown) => void) => fail(changed) }),
  };
  await expect(droppedFolder(drop(closed))).rejects.toThrow(/read: .*NotReadableError.*\(sd\)/);
});

it('what is none is refused', async () => {
  expect(() => directoryHandleFolder({} as never)).toThrowErrorMatchingInlineSnapshot(
    `[InputError: directoryHandleFolder: no folder: expected a FileSystemDirectoryHandle, got an object]`,
  );
  await expect(droppedFolder({} as never)).rejects.toThrowErrorMatchingInlineSnapshot(
    `[InputError: droppedFolder: nothing dropped: expected a DataTransfer, got an object]`,
  );
  await expect(droppedFolder({ items: [{ kind: 'string' }] })).rejects.toThrowErrorMatchingInlineSnapshot(
    `[InputError: droppedFolder: no files were dropped. Drop the folder of a model.]`,
  );
});

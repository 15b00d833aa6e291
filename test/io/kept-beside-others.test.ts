/** What is kept while other tabs purge it at any moment; test/package/storage-page.test.ts does it in a browser. */
import { beforeEach, expect, it } from 'vitest';
import { WeightsError } from '../../src/core/errors.ts';
import type { StorageFolder } from '../../src/io/kept/storage.ts';
import { mapFolder, readText } from '../../src/io/sources.ts';
import { cachedFolder, listCache, purge } from '../../src/page.ts';
import { type FakeStorage, fakeStorage } from '../support/fake-storage.ts';

const WEIGHTS = 'unet/model.safetensors';
const content = Uint8Array.from({ length: 1000 }, (_, i) => i % 251);
const model = mapFolder({ 'config.json': '{"a": 1}', [WEIGHTS]: content });

let storage: FakeStorage;
beforeEach(() => {
  storage = fakeStorage();
});

const failure = (name: string): DOMException => new DOMException(`a ${name} of the storage`, name);

/** The storage as it is; `before` is told of each call, and may throw in its place. */
function watched(folder: StorageFolder, before: (call: string, name: string) => void | Promise<void>): StorageFolder {
  return new Proxy(folder, {
    get(target, call: string) {
      const value: unknown = Reflect.get(target, call);
      if (typeof value !== 'function') return value;
      if (call === 'keys') {
        return async function* () {
          await before(call, target.name);
          yield* value.call(target);
        };
      }
      return async (name: string, ...more: unknown[]) => {
        await before(call, name);
        const given = await value.call(target, name, ...more);
        if (!given || !('getFile' in given)) return given && watched(given, before);
        const getFile = async () => {
          await before('getFile', name);
          return given.getFile();
        };
        return { ...given, getFile };
      };
    },
  });
}

const kept = (root: StorageFolder) => cachedFolder(model, { name: 'mine', root, pieceBytes: 128, onWarning: () => {} });

async function read(root: StorageFolder): Promise<Uint8Array> {
  const folder = kept(root);
  if (!(await folder.has(WEIGHTS))) throw new Error('it is there');
  const source = await folder.bytes(WEIGHTS);
  try {
    const all = new Uint8Array(source.byteLength);
    await source.read(0, all);
    return all;
  } finally {
    await source.close?.();
  }
}

/** As another tab's purge does. */
function removeAll(): void {
  for (const path of [...storage.files.keys()]) storage.files.delete(path);
}

it('comes whole, whenever another tab takes it away', async () => {
  let calls = 0;
  await read(
    watched(storage, () => {
      calls++;
    }),
  );
  expect(calls).toBeGreaterThan(20);
  for (let at = 1; at <= calls; at++) {
    storage = fakeStorage();
    let n = 0;
    const root = watched(storage, () => {
      if (++n !== at) return;
      removeAll();
      throw failure('NotFoundError');
    });
    expect(await read(root), `purged before call ${at}`).toEqual(content);
    expect(await read(root)).toEqual(content);
  }
});

it('is told of as what the storage refuses, where another tab never lets go', async () => {
  const root = watched(storage, call => {
    if (call === 'getFile') throw failure('InvalidStateError');
  });
  const error = await read(root).catch((cause: unknown) => cause);
  expect(error).toBeInstanceOf(WeightsError);
  expect(String(error)).toMatch(
    /the browser's storage failed: got InvalidStateError: .*\(mine\/unet\/model\.safetensors\)/,
  );
});

it('purges and lists what another tab removes at the same time, or writes', async () => {
  await read(storage);
  let calls = 0;
  await listCache({
    root: watched(storage, () => {
      calls++;
    }),
  });
  for (let at = 2; at <= calls; at++) {
    let n = 0;
    const gone = watched(storage, () => {
      if (++n === at) throw failure('NotFoundError');
    });
    expect((await listCache({ root: gone })).bytes, `gone at call ${at}`).toBeLessThanOrEqual(content.length);
  }
  const written = watched(storage, call => {
    if (call === 'removeEntry') throw failure('NoModificationAllowedError');
  });
  expect(await purge({ root: written })).toEqual({ bytes: 0, inUse: 1 });
  expect(await purge({ root: storage })).toEqual({ bytes: content.length, inUse: 0 });
  expect([...storage.files.keys()]).toEqual([]);
});

it('a file that another tab begins while its model is purged stays', async () => {
  await read(storage);
  let begins = true;
  const begun = watched(storage, async (call, name) => {
    if (call !== 'removeEntry' || !begins) return;
    begins = false;
    const [path = ''] = [...storage.files.keys()].filter(file => file.endsWith('model.json'));
    const home = await storage.getDirectoryHandle('pentimento');
    const folder = await home.getDirectoryHandle(path.split('/').at(-2) ?? '');
    const other = await folder.getDirectoryHandle('other', { create: true });
    await other.getFileHandle('file.json', { create: true });
    expect(name).toMatch(/^[0-9a-f]{32}$/);
  });
  await purge({ root: begun });
  expect([...storage.files.keys()].filter(path => path.endsWith('other/file.json'))).toHaveLength(1);
});

it('a file without bytes is asked for again at the next visit', async () => {
  const files = new Map([['config.json', '']]);
  const open = () => cachedFolder(mapFolder(files), { name: 'ill', root: storage });
  expect(await readText(await open().bytes('config.json'))).toBe('');
  files.set('config.json', '{"a": 1}');
  expect(await readText(await open().bytes('config.json'))).toBe('{"a": 1}');
  files.set('config.json', '{}'); // what is kept is read
  expect(await readText(await open().bytes('config.json'))).toBe('{"a": 1}');
});

it('is called by its name, which ends in no slash', () => {
  expect(kept(storage).label).toBe('mine');
});

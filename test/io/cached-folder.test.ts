/** Weights kept in the browser's storage, against servers of every kind; test/package/storage-page.test.ts is the same in a browser. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { mapFolder, readText } from '../../src/io/sources.ts';
import { urlFolder } from '../../src/io/url-source.ts';
import { type CacheEvent, cachedFolder, hubUrlFolder, listCache, purge, StorageFullError } from '../../src/page.ts';
import { type FakeStorage, fakeStorage } from '../support/fake-storage.ts';
import { type FileServer, fileServer } from '../support/file-server.ts';
import { type FakeHub, fakeHub, UNET } from '../support/hub.ts';

const PIECE = 2 ** 16;
/** More than the beginning that is read without keeping: 1 MiB. */
const content = Uint8Array.from({ length: 20 * PIECE + 100 }, (_, i) => (i * 7 + (i >> 8)) % 251);
const WEIGHTS = 'unet/model.safetensors';

let home: string;
let server: FileServer;
let storage: FakeStorage;
let warnings: string[];
beforeAll(async () => {
  home = mkdtempSync(join(tmpdir(), 'pentimento-kept-'));
  mkdirSync(join(home, 'unet'));
  writeFileSync(join(home, 'unet/config.json'), '{"a": 1}');
  writeFileSync(join(home, WEIGHTS), content);
  server = await fileServer(home);
});
afterAll(() => {
  server.close();
  rmSync(home, { recursive: true });
});
beforeEach(() => {
  server.reset();
  storage = fakeStorage();
  warnings = [];
});

const open = (more: object = {}) =>
  cachedFolder(urlFolder(server.url), {
    ...{ root: storage, pieceBytes: PIECE, onWarning: (text: string) => void warnings.push(text), ...more },
  });

/** All bytes of the weights, by ranges in no order. */
async function readWeights(folder = open(), signal?: AbortSignal): Promise<Uint8Array> {
  const source = await folder.bytes(WEIGHTS);
  const all = new Uint8Array(source.byteLength);
  const cuts = [700_000, 0, 1_200_000, 300_001, source.byteLength].sort((a, b) => (a % 7) - (b % 7));
  const ends = [...cuts].sort((a, b) => a - b);
  const ranges = cuts
    .filter(offset => offset < all.length)
    .map(offset => ({
      offset,
      into: all.subarray(
        offset,
        ends.find(end => end > offset),
      ),
    }));
  try {
    await source.readMany?.(ranges, signal);
  } finally {
    await source.close?.();
  }
  return all;
}

const same = (bytes: Uint8Array) => Buffer.compare(bytes, content) === 0;
const pieces = () => [...storage.files].filter(([path]) => /\/\d+$/.test(path));

describe.each([
  ['in a page', false],
  ['in a worker, which writes in place', true],
])('weights that are kept %s', (_, inPlace) => {
  beforeEach(() => {
    storage.inPlace = inPlace;
  });

  it('are not asked for where the folder says that they are not there', async () => {
    const options = { root: storage, pieceBytes: PIECE };
    const folder = cachedFolder(urlFolder(server.url, { files: ['unet/config.json'] }), options);
    expect([await folder.has('unet/absent.json'), await folder.has(WEIGHTS)]).toEqual([false, false]);
    expect(await folder.text('unet/config.json')).toBe('{"a": 1}');
    expect(server.asked.map(({ path }) => path)).toEqual(['unet/config.json']);
  });

  it('are asked for once, by one request, and never again', async () => {
    const first = open();
    expect(await first.has('unet/absent.json')).toBe(false);
    expect(await first.has(WEIGHTS)).toBe(true);
    expect(await first.text('unet/config.json')).toBe('{"a": 1}');
    expect(same(await readWeights(first))).toBe(true);
    expect(server.asked.map(({ path, range }) => [path, range])).toEqual([
      ['unet/absent.json', undefined],
      [WEIGHTS, undefined],
      ['unet/config.json', undefined],
    ]);
    server.reset();
    const second = open();
    expect([await second.has('unet/absent.json'), await second.has(WEIGHTS)]).toEqual([false, true]);
    expect(await second.text('unet/config.json')).toBe('{"a": 1}');
    expect(same(await readWeights(second))).toBe(true);
    expect(server.asked).toEqual([]);
    await expect(second.bytes('unet/absent.json')).rejects.toThrow(/no file "unet\/absent.json"/);
  });

  it('never lie in memory whole: reads and writes are pieces', async () => {
    await readWeights();
    await readWeights();
    expect(storage.longestRead).toBe(PIECE);
    expect(pieces().map(([, bytes]) => bytes.length)).toEqual([...new Array(20).fill(PIECE), 100]);
  });

  it('arrive from a server that knows no ranges, by one request', async () => {
    server.ranges = false;
    expect(same(await readWeights())).toBe(true);
    expect(server.asked.length).toBe(1);
  });

  it('go on where the connection broke, within one call', async () => {
    let broken = false;
    server.mood = (request, response) => {
      if (broken || request.headers.range) return false;
      broken = true;
      response.writeHead(200, { 'content-length': content.length, etag: `"${WEIGHTS} ${content.length}"` });
      response.write(content.subarray(0, 5 * PIECE + 10), () => response.destroy());
      return true;
    };
    const ranged = vi.spyOn(server, 'mood');
    expect(same(await readWeights())).toBe(true);
    expect(server.asked.length).toBe(2);
    expect(server.asked[1].range).toMatch(/^bytes=\d+-$/);
    ranged.mockRestore();
  });

  it('go on behind the last whole piece after a call that was cut', async () => {
    const cut = new AbortController();
    const onProgress = ({ bytes }: CacheEvent) => void (bytes > 10 * PIECE && cut.abort(new Error('enough')));
    const folder = open({ onProgress, signal: cut.signal });
    server.mood = (_request, response) => {
      response.writeHead(200, { 'content-length': content.length, etag: `"${WEIGHTS} ${content.length}"` });
      response.write(content.subarray(0, 18 * PIECE)); // and hangs
      return true;
    };
    await expect(readWeights(folder)).rejects.toThrow('enough');
    const there = pieces().length;
    expect(there).toBeGreaterThan(9);
    const [model] = (await listCache({ root: storage })).models;
    expect(model.files).toMatchObject([{ path: WEIGHTS, of: content.length, whole: false }]);
    server.reset();
    expect(same(await readWeights())).toBe(true);
    const [{ range }] = server.asked;
    const from = Number(/^bytes=(\d+)-$/.exec(range ?? '')?.[1]);
    expect(from % PIECE).toBe(0);
    expect(from).toBeGreaterThan(9 * PIECE);
  });

  it('are fetched again in the piece that is damaged, and in one that is gone', async () => {
    await readWeights();
    const [, [path, bytes], , [gone]] = pieces();
    const damaged = bytes.slice();
    damaged[1000] ^= 1;
    storage.files.set(path, damaged);
    storage.files.delete(gone);
    server.reset();
    expect(same(await readWeights())).toBe(true);
    expect(server.asked.map(({ range }) => range)).toEqual([`bytes=${PIECE}-`, `bytes=${3 * PIECE}-`]);
    expect(warnings).toEqual([
      `${server.url}/${WEIGHTS}: what is kept is damaged; piece 2 of 21 is fetched again.`,
      `${server.url}/${WEIGHTS}: what is kept is damaged; piece 4 of 21 is fetched again.`,
    ]);
    server.reset();
    expect(same(await readWeights())).toBe(true);
    expect(server.asked).toEqual([]);
  });

  it('are told not to fit, with the numbers, and nothing half is taken for whole', async () => {
    vi.stubGlobal('navigator', { storage: { estimate: async () => ({ usage: 5e5, quota: 6e5 }) } });
    try {
      storage.quota = 7.5 * PIECE;
      const error = await readWeights().catch((e: unknown) => e);
      expect(error).toBeInstanceOf(StorageFullError);
      const left = content.length - 7 * PIECE;
      expect((error as StorageFullError).bytes).toEqual({ asked: expect.any(Number), held: 5e5, available: 1e5 });
      expect((error as StorageFullError).bytes.asked).toBeGreaterThanOrEqual(left);
      expect(String(error)).toMatch(/storage is full: expected at most 100000 bytes \(0 MB\), got \d+ bytes \(1 MB\)/);
      expect((error as StorageFullError).toJSON()).toMatchObject({ class: 'StorageFullError', bytes: { held: 5e5 } });
    } finally {
      vi.unstubAllGlobals();
    }
    storage.quota = Number.POSITIVE_INFINITY;
    expect(same(await readWeights())).toBe(true);
  });
});

describe('two tabs', () => {
  it('fetch a file once between them', async () => {
    const both = await Promise.all([readWeights(open()), readWeights(open())]);
    expect(both.map(same)).toEqual([true, true]);
    // Both had asked whether it is there; one of the answers was left at once.
    expect(server.asked.filter(({ range }) => range !== undefined)).toEqual([]);
    expect(storage.written).toBeLessThan(1.1 * content.length);
  });

  it('take nothing from each other: what is read stays when it is purged', async () => {
    const source = await open().bytes(WEIGHTS);
    await source.read(content.length - 10, new Uint8Array(10));
    expect(await purge({ root: storage })).toEqual({ bytes: 0, inUse: 1 });
    const into = new Uint8Array(50);
    await source.read(500, into);
    expect([...into]).toEqual([...content.subarray(500, 550)]);
    await source.close?.();
    expect(await purge({ root: storage })).toEqual({ bytes: content.length, inUse: 0 });
    expect(pieces()).toEqual([]);
  });
});

describe('what is written down', () => {
  it('is version 1, and another version is fetched anew', async () => {
    await readWeights();
    const records = [...storage.files].filter(([path]) => path.endsWith('.json'));
    const json = records.map(([, bytes]) => JSON.parse(new TextDecoder().decode(bytes)));
    expect(json.length).toBe(2);
    expect(json.map(({ version }) => version)).toEqual([1, 1]);
    for (const [path, bytes] of records)
      storage.files.set(path, new TextEncoder().encode(new TextDecoder().decode(bytes).replace(':1,', ':2,')));
    server.reset();
    expect(same(await readWeights())).toBe(true);
    expect(server.asked.length).toBe(1);
  });

  it('that is cut or no record at all is fetched anew', async () => {
    for (const text of ['', '{"version":1', '{"version":1,"path":5}', 'null']) {
      await readWeights();
      for (const path of [...storage.files.keys()].filter(name => name.endsWith('.json')))
        storage.files.set(path, new TextEncoder().encode(text));
      server.reset();
      expect(same(await readWeights()), text).toBe(true);
      expect(server.asked.length).toBe(1);
    }
  });

  it.each<[string, (record: Record<string, never> & { pieces: string[] }) => object]>([
    ['no pieces', () => ({ pieces: [] })],
    ['too few pieces', ({ pieces }) => ({ pieces: pieces.slice(3) })],
    ['a size below zero', () => ({ size: -5 })],
    ['pieces of half a byte', () => ({ pieceBytes: 0.5 })],
    ['no digests', ({ pieces }) => ({ pieces: pieces.map(() => 1) })],
  ])('whose record says that it is whole, of %s, is fetched anew', async (_, odd) => {
    await readWeights();
    const path = [...storage.files.keys()].find(name => name.endsWith('/file.json')) ?? '';
    const record = JSON.parse(new TextDecoder().decode(storage.files.get(path)));
    storage.files.set(path, new TextEncoder().encode(JSON.stringify({ ...record, ...odd(record) })));
    server.reset();
    expect(same(await readWeights())).toBe(true);
    expect(server.asked.map(({ range }) => range)).toEqual([undefined]);
    expect(warnings).toEqual([]);
  });

  it('is kept anew by a folder that was in use when it was purged', async () => {
    const folder = open();
    await readWeights(folder);
    await purge({ root: storage });
    server.reset();
    expect(same(await readWeights(folder))).toBe(true);
    const { models } = await listCache({ root: storage });
    expect(models).toMatchObject([{ name: server.url, files: [{ path: WEIGHTS, whole: true }] }]);
    expect(same(await readWeights())).toBe(true);
    expect(server.asked.length).toBe(1);
  });

  it('is listed by model, and purged one by one', async () => {
    await readWeights();
    await cachedFolder(mapFolder({ 'a.json': '{}' }), { name: 'mine', root: storage }).text('a.json');
    const listing = await listCache({ root: storage });
    expect(listing).toMatchObject({
      bytes: content.length + 2,
      models: [
        { name: server.url, bytes: content.length, files: [{ path: WEIGHTS, whole: true, bytes: content.length }] },
        { name: 'mine', bytes: 2, files: [{ path: 'a.json', whole: true, of: 2 }] },
      ],
    });
    expect(await purge({ root: storage, name: 'mine' })).toEqual({ bytes: 2, inUse: 0 });
    expect((await listCache({ root: storage })).models.map(({ name }) => name)).toEqual([server.url]);
  });

  it('is not read while more than the beginning is not wanted: headers cost no download', async () => {
    const source = await open().bytes(WEIGHTS);
    const into = new Uint8Array(1000);
    await source.read(8, into);
    expect([...into]).toEqual([...content.subarray(8, 1008)]);
    expect(pieces()).toEqual([]);
    await source.close?.();
  });
});

describe('a server that changes a file', () => {
  it('is not noticed unless asked; with revalidate it is, and the file comes anew', async () => {
    await readWeights();
    server.reset();
    let etag = `"${WEIGHTS} ${content.length}"`;
    server.mood = ({ method }, response) => {
      if (method !== 'HEAD') return false;
      response.writeHead(200, { etag, 'content-length': content.length }).end();
      return true;
    };
    expect(same(await readWeights(open({ revalidate: true })))).toBe(true);
    expect(server.asked.map(({ method }) => method)).toEqual(['HEAD']);
    etag = '"another"';
    await readWeights(open({ revalidate: true }));
    expect(server.asked.map(({ method }) => method)).toEqual(['HEAD', 'HEAD', 'GET']);
  });

  it('between a cut download and its rest begins anew', async () => {
    const headers = (etag: string) => ({ 'content-length': content.length, etag });
    let connections = 0;
    server.mood = (_, response) => {
      connections++;
      response.writeHead(200, headers('"old"'));
      response.write(content.subarray(0, 12 * PIECE), () => response.destroy());
      return true;
    };
    await expect(readWeights()).rejects.toThrow(/the connection broke/);
    expect(connections).toBe(3);
    server.mood = () => false; // other ETag
    expect(same(await readWeights())).toBe(true);
  });
});

it('what cannot be kept is refused', () => {
  expect(() => cachedFolder(mapFolder({}))).toThrowErrorMatchingInlineSnapshot(
    `[InputError: cachedFolder: the folder has no address to be kept under. Name it: cachedFolder(folder, { name: 'my-model' }).]`,
  );
  expect(() => open({ pieceBytes: 100 })).toThrowErrorMatchingInlineSnapshot(
    `[InputError: cachedFolder: no size of a piece: got 100 (pieceBytes)]`,
  );
  expect(() => cachedFolder('x' as never)).toThrowErrorMatchingInlineSnapshot(
    `[InputError: cachedFolder: no model folder: expected a FolderSource, got string. Make one with await directory(path) of 'pentimento/node', mapFolder() or urlFolder().]`,
  );
  expect(() => hubUrlFolder('../x')).toThrowErrorMatchingInlineSnapshot(
    `[InputError: hubUrlFolder: not a Hub id: expected owner/name, got "../x"]`,
  );
  expect(() => hubUrlFolder('a/b', { token: 'ä' })).toThrowErrorMatchingInlineSnapshot(
    `[InputError: hubUrlFolder: the token holds characters that no token has (token)]`,
  );
});

it('a page without storage says so', async () => {
  await expect(cachedFolder(urlFolder(server.url)).has('x')).rejects.toThrowErrorMatchingInlineSnapshot(
    `[WeightsError: cachedFolder: this page has no storage of its own (navigator.storage.getDirectory). Serve it over https or from localhost, outside of private windows; or read the model without keeping it.]`,
  );
});

describe('a repository of the Hub', () => {
  let hub: FakeHub;
  beforeAll(async () => {
    hub = await fakeHub();
  });
  afterAll(() => hub.close());
  beforeEach(() => hub.reset());
  const hubFolder = (more: object = {}) => hubUrlFolder('someone/small', { hubUrl: hub.url, ...more });
  const kept = (more: object = {}) =>
    cachedFolder(hubFolder(more), { root: storage, onWarning: text => void warnings.push(text) });
  const paths = () => hub.seen.map(({ path }) => path.replace(/^\/(api\/models\/)?someone\/small\//, ''));

  it('is listed, and read by range', async () => {
    const folder = hubFolder({ token: 'hf_x' });
    expect(await folder.has('unet/config.json')).toBe(true);
    expect(await folder.has('unet/absent.json')).toBe(false);
    expect(await folder.list?.('vae')).toEqual(['config.json', 'diffusion_pytorch_model.safetensors']);
    expect(await folder.text('unet/config.json')).toBe('{"a": 1}');
    expect(await readText(await folder.bytes(UNET))).toBe(hub.files[UNET]);
    expect(hub.seen.filter(({ server }) => server === 'hub').map(s => s.authorization)).toEqual(
      new Array(hub.seen.filter(({ server }) => server === 'hub').length).fill('Bearer hf_x'),
    );
    expect(hub.seen.filter(({ server }) => server === 'files').map(s => s.authorization)).toEqual([undefined]);
    await expect(folder.bytes('nowhere')).rejects.toThrow(/no file "nowhere"/);
  });

  it('is kept, checked by the hashes of its listing, and asked for its commit alone the next time', async () => {
    expect(await readText(await kept().bytes(UNET))).toBe(hub.files[UNET]);
    expect(await kept().text('unet/config.json')).toBe('{"a": 1}');
    hub.seen.length = 0;
    expect(await readText(await kept().bytes(UNET))).toBe(hub.files[UNET]);
    expect(paths()).toEqual(['revision/main', `tree/${hub.commit}`]);
    expect((await listCache({ root: storage })).models).toMatchObject([
      { name: `${hub.url}/someone/small@main`, commit: hub.commit },
    ]);
  });

  it('fetches of a new commit what has changed', async () => {
    await kept().text('unet/config.json');
    await readText(await kept().bytes(UNET));
    hub.commit = 'b'.repeat(40);
    hub.files['unet/config.json'] = '{"a": 22}';
    hub.seen.length = 0;
    const folder = kept();
    expect(await folder.text('unet/config.json')).toBe('{"a": 22}');
    expect(await readText(await folder.bytes(UNET))).toBe(hub.files[UNET]);
    expect(paths().filter(path => path.startsWith('resolve'))).toEqual([`resolve/${hub.commit}/unet/config.json`]);
  });

  it('is read from what is kept where the Hub does not answer', async () => {
    await readText(await kept().bytes(UNET));
    hub.mood = (_, response) => {
      response.writeHead(503).end();
      return true;
    };
    expect(await readText(await kept().bytes(UNET))).toBe(hub.files[UNET]);
    expect(warnings).toEqual([
      'hubUrlFolder: the model repository cannot be read: got status 503 (someone/small at main). Try again later, or download ' +
        `the folder and choose it by hand. What is kept of ${hub.url}/someone/small@main is used.`,
    ]);
  });

  it('refuses a file that arrives damaged, large or small', async () => {
    const damage: FakeHub['mood'] = (_, response, path) => {
      const text = hub.files[path.replace(/^.*resolve\/\w+\//, '')];
      if (typeof text !== 'string' || path.startsWith('/api')) return false;
      response.writeHead(200, { 'content-length': text.length }).end(text.replace(/.$/, '?'));
      return true;
    };
    [hub.mood, hub.filesMood] = [damage, damage];
    await expect(kept().bytes(UNET).then(readText)).rejects.toThrow(/the file arrived damaged: expected [0-9a-f]{64}/);
    await expect(kept().text('vae/config.json')).rejects.toThrow(/the file arrived damaged: expected [0-9a-f]{40}/);
    expect((await listCache({ root: storage })).bytes).toBe(0);
  });

  it('says what a refusal means', async () => {
    hub.mood = (_, response) => {
      response.writeHead(401, { 'x-error-code': 'RepoNotFound' }).end();
      return true;
    };
    await expect(hubFolder().has('x')).rejects.toThrow(/there is no such model, or not for everybody/);
    hub.mood = (_, response) => {
      response.end('<html>sign in');
      return true;
    };
    await expect(hubFolder().has('x')).rejects.toThrow(/something else/);
  });
});

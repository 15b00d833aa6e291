/** What of the kept weights is compared with its digest: what was written since, and all of it where that is asked for. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { urlFolder } from '../../src/io/url-source.ts';
import { type CacheEvent, cachedFolder } from '../../src/page.ts';
import { type FakeStorage, fakeStorage } from '../support/fake-storage.ts';
import { type FileServer, fileServer } from '../support/file-server.ts';

const PIECE = 2 ** 16;
const COUNT = 20;
const FILE = 'model.safetensors';
const content = Uint8Array.from({ length: COUNT * PIECE }, (_, i) => (i * 7 + (i >> 8)) % 251);

let home: string;
let server: FileServer;
let storage: FakeStorage;
let warnings: string[];
let digests = 0;
beforeAll(async () => {
  home = mkdtempSync(join(tmpdir(), 'pentimento-untouched-'));
  writeFileSync(join(home, FILE), content);
  server = await fileServer(home);
});
afterAll(() => {
  server.close();
  rmSync(home, { recursive: true });
});
beforeEach(() => {
  server.reset();
  storage = Object.assign(fakeStorage(), { times: new Map<string, number>() });
  warnings = [];
  const digest = crypto.subtle.digest.bind(crypto.subtle);
  vi.spyOn(crypto.subtle, 'digest').mockImplementation(async (algorithm, bytes) => {
    if (bytes.byteLength >= PIECE) digests++;
    return digest(algorithm, bytes);
  });
});
afterEach(() => vi.restoreAllMocks());

/** Reads all; how many pieces were compared. */
async function read(more: object = {}): Promise<number> {
  digests = 0;
  const onWarning = (text: string) => void warnings.push(text);
  const folder = cachedFolder(urlFolder(server.url), { root: storage, pieceBytes: PIECE, onWarning, ...more });
  const source = await folder.bytes(FILE);
  const all = new Uint8Array(source.byteLength);
  await source.read(0, all);
  await source.close?.();
  expect(Buffer.compare(all, content)).toBe(0);
  return digests;
}
const piece = (n: number): string => [...storage.files.keys()].find(path => path.endsWith(`/${n}`)) ?? '';
function damage(n: number): void {
  const bytes = storage.files.get(piece(n))?.slice() ?? new Uint8Array();
  bytes[77] ^= 1;
  storage.files.set(piece(n), bytes);
}

describe.each([
  ['in a page', false],
  ['in a worker', true],
])('pieces that are kept %s', (_, inPlace) => {
  beforeEach(() => {
    storage.inPlace = inPlace;
  });

  it('are not compared again while nobody has touched them', async () => {
    expect(await read()).toBe(COUNT); // as they arrived
    expect(await read()).toBe(0);
    expect(await read({ verify: true })).toBe(COUNT);
    expect([server.asked.length, warnings]).toEqual([1, []]);
  });

  it('are compared where they were touched; what is damaged is fetched again, and trusted from then on', async () => {
    await read();
    damage(3);
    storage.times?.set(piece(3), 7);
    storage.times?.set(piece(5), 8); // touched, and the same
    server.reset();
    expect(await read()).toBeGreaterThanOrEqual(3);
    expect(server.asked.map(({ range }) => range)).toEqual([`bytes=${3 * PIECE}-`]);
    expect(warnings).toEqual([expect.stringMatching(/piece 4 of 20 is fetched again/)]);
    expect(await read()).toBe(0);
  });

  it('are all compared where it is asked for: what rotted in place is found', async () => {
    await read();
    damage(2);
    server.reset();
    await read({ verify: true });
    expect(server.asked.map(({ range }) => range)).toEqual([`bytes=${2 * PIECE}-`]);
    expect(await read()).toBe(0);
  });

  it('are compared at every visit where the storage tells no times', async () => {
    storage.times = undefined;
    await read();
    expect(await read()).toBe(COUNT);
    storage.times = new Map(); // as by a newer browser: learned once
    expect(await read()).toBe(COUNT);
    expect(await read()).toBe(0);
  });
});

it('bytes are told with their rate and the time left', async () => {
  const events: CacheEvent[] = [];
  server.mood = (_request, response) => {
    response.writeHead(200, { 'content-length': content.length });
    const send = (at: number): void => {
      if (at >= content.length) return void response.end();
      response.write(content.subarray(at, at + 2 ** 19));
      setTimeout(() => send(at + 2 ** 19), 30);
    };
    send(0);
    return true;
  };
  const onProgress = (event: CacheEvent) => void events.push(event);
  await read({ onProgress });
  const last = events.at(-1);
  expect(last).toMatchObject({ file: FILE, bytes: content.length, of: content.length, secondsLeft: 0 });
  const later = events.filter(e => e.rate !== undefined && e.bytes < content.length);
  for (const { rate = 0, secondsLeft, bytes } of later)
    expect(secondsLeft).toBeCloseTo((content.length - bytes) / rate, 6);
  expect(last?.rate).toBeGreaterThan(1000);
});

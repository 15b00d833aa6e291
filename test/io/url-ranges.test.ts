/** Many ranges of one file behind a server: which requests they become, what ends them, and how much memory they take. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { ByteRange } from '../../src/core/tensor-source.ts';
import { readRanges } from '../../src/core/tensor-source.ts';
import { stretchesOf } from '../../src/io/url-ranges.ts';
import { urlFolder, urlSource } from '../../src/io/url-source.ts';
import { type FileServer, fileServer } from '../support/file-server.ts';

const KIB = 2 ** 10;
const MIB = 2 ** 20;
const LARGE = 300 * MIB;
const range = (offset: number, length: number): ByteRange => ({ offset, into: new Uint8Array(length) });
/** The file that the server makes up. */
const NUMBERS = new Uint8Array(12 * MIB);
for (let i = 0; i < NUMBERS.length; i++) NUMBERS[i] = Math.imul(i, 2654435761) >>> 24;
const isRight = ({ offset, into }: ByteRange): boolean =>
  Buffer.compare(NUMBERS.subarray(offset, offset + into.byteLength), into) === 0;

let server: FileServer;
beforeAll(async () => {
  server = await fileServer('/nowhere', { zeros: LARGE, numbers: NUMBERS.length });
});
afterAll(() => server.close());
beforeEach(() => {
  server.reset();
  server.mood = (request, response, path) => {
    const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
    if (path !== 'numbers' || from === undefined) return false;
    const range = `bytes ${from}-${to}/${NUMBERS.length}`;
    response.writeHead(206, { etag: '"1"', 'content-range': range });
    response.end(NUMBERS.subarray(Number(from), Number(to) + 1));
    return true;
  };
});

describe('stretchesOf', () => {
  const spans = (ranges: ByteRange[]) => stretchesOf(ranges).map(({ begin, end }) => [begin, end - begin]);

  it('puts neighbours together, in whatever order they come, and asks around large gaps', () => {
    expect(spans([range(600 * KIB, 5), range(0, 10), range(10, 20), range(100 * KIB, 1)])).toEqual([
      [0, 100 * KIB + 1],
      [600 * KIB, 5],
    ]);
    expect(spans([range(7, 0), range(3, 0)])).toEqual([]);
  });

  it('cuts what is long into shares of 1 to 8 MiB', () => {
    expect(spans([range(5, 100 * MIB)]).map(([, length]) => length)).toEqual([...Array(12).fill(8 * MIB), 4 * MIB]);
    expect(spans([range(0, 10 * MIB), range(10 * MIB, 2 * MIB)])).toEqual([0, 3, 6, 9].map(n => [n * MIB, 3 * MIB]));
    expect(spans([range(0, 3 * MIB)]).length).toBe(3);
  });

  it('fills every view, also such as overlap', async () => {
    const source = await urlSource(`${server.url}/numbers`);
    let seed = 7;
    const random = (below: number): number => {
      seed = (seed * 1103515245 + 12345) % 2 ** 31;
      return seed % below;
    };
    const ranges = Array.from({ length: 60 }, () => range(random(11 * MIB), 1 + random(random(4) === 0 ? MIB : 2000)));
    ranges.push(range(0, 300 * KIB), range(100, 50), range(NUMBERS.length - 1, 1), ranges[3] as ByteRange);
    await readRanges(source, ranges);
    expect(ranges.filter(wanted => !isRight(wanted))).toEqual([]);
    expect(server.asked.length).toBeLessThan(ranges.length);
  });
});

describe('readMany', () => {
  it('keeps at most six requests of a file on their way, also those of several calls', async () => {
    const source = await urlSource(`${server.url}/zeros`);
    // The first answers wait for the sixth request, however busy the machine is.
    const waiting: (() => void)[] = [];
    server.mood = (request, response) => {
      const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
      response.writeHead(206, { etag: `"zeros ${LARGE}"`, 'content-range': `bytes ${from}-${to}/${LARGE}` });
      waiting.push(() => void response.end(new Uint8Array(Number(to) - Number(from) + 1)));
      if (server.asked.length > 6) for (const answer of waiting.splice(0)) answer();
      return true;
    };
    await Promise.all([0, 1, 2].map(i => readRanges(source, [range(i * 40 * MIB + MIB, 16 * MIB)])));
    expect([server.most, server.asked.length]).toEqual([6, 1 + 12]);
  });

  it('the first failure ends the other requests, and none of them is left behind', async () => {
    const source = await urlSource(`${server.url}/zeros`);
    let count = 0;
    server.mood = (_request, response) => {
      if (++count < 4) response.writeHead(206, { etag: `"zeros ${LARGE}"`, 'content-range': 'bytes */*' }).write('x');
      else response.writeHead(503).end();
      return true;
    };
    await expect(readRanges(source, [range(MIB, 16 * MIB)])).rejects.toThrow(/the server refuses: got status 503/);
    await expect.poll(() => server.left).toBe(3);
  });

  it('a signal ends all requests in the middle, and nothing is written afterwards', async () => {
    const source = await urlSource(`${server.url}/numbers`);
    const controller = new AbortController();
    const rest: (() => void)[] = [];
    server.mood = (request, response) => {
      const from = Number(/\d+/.exec(request.headers.range ?? '')?.[0]);
      const headers = { etag: '"1"', 'content-range': `bytes ${from}-${NUMBERS.length - 1}/${NUMBERS.length}` };
      response.writeHead(206, headers).write(new Uint8Array(1000).fill(1));
      rest.push(() => void response.end(new Uint8Array(MIB).fill(2)));
      if (rest.length === 4) setTimeout(() => controller.abort(new Error('enough')), 20);
      return true;
    };
    const into = new Uint8Array(4 * MIB);
    await expect(readRanges(source, [{ offset: MIB, into }], controller.signal)).rejects.toThrow('enough');
    const then = into.slice();
    for (const end of rest) end();
    await new Promise(resolve => setTimeout(resolve, 20));
    expect(Buffer.compare(into, then)).toBe(0);
    expect(rest.length).toBe(4);
    await expect(readRanges(source, [range(0, 1)], controller.signal)).rejects.toThrow('enough');
  });

  it('asks for the rest of each range whose connection breaks', async () => {
    const source = await urlSource(`${server.url}/numbers`);
    const { mood } = server;
    const broken = new Set<number>();
    server.mood = (request, response, path) => {
      const [from = 0, to = 0] = (/^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? []).slice(1).map(Number);
      if (to - from < MIB / 2 || broken.has(to)) return mood(request, response, path);
      broken.add(to);
      const length = to - from + 1;
      const headers = {
        etag: '"1"',
        'content-range': `bytes ${from}-${to}/${NUMBERS.length}`,
        'content-length': length,
      };
      response.writeHead(206, headers).write(NUMBERS.subarray(from, from + 5000), () => response.destroy());
      return true;
    };
    const wanted = range(MIB, 4 * MIB);
    await readRanges(source, [wanted]);
    expect(isRight(wanted)).toBe(true);
    expect([broken.size, server.asked.length]).toEqual([4, 1 + 8]);
  });

  it('a connection that is gone before the answer is tried again, twice in a row', async () => {
    const source = await urlSource(`${server.url}/numbers`);
    const { mood } = server;
    let gone = 2;
    server.mood = (request, response, path) => {
      if (gone-- <= 0) return mood(request, response, path);
      response.destroy();
      return true;
    };
    const wanted = range(MIB, 1000);
    await readRanges(source, [wanted]);
    expect([isRight(wanted), server.asked.length]).toEqual([true, 1 + 3]);
    gone = 3;
    await expect(readRanges(source, [range(MIB, 1000)])).rejects.toThrow(/^fetch: no answer/);
  });

  it('a server that ends every connection after a byte is given up soon', async () => {
    const source = await urlSource(`${server.url}/numbers`);
    server.mood = (request, response) => {
      const [from = 0, to = 0] = (/^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? []).slice(1).map(Number);
      const range = `bytes ${from}-${to}/${NUMBERS.length}`;
      response.writeHead(206, { etag: '"1"', 'content-range': range, 'content-length': to - from + 1 });
      response.write(NUMBERS.subarray(from, from + 1), () => response.destroy());
      return true;
    };
    await expect(readRanges(source, [range(MIB, 1000)])).rejects.toThrow(/^fetch: (the connection broke|no answer)/);
    expect(server.asked.length).toBe(1 + 3);
  });

  it('a folder asks anew for a file that has changed', async () => {
    const folder = urlFolder(server.url);
    const source = await folder.bytes('zeros');
    server.mood = (_request, response) => {
      response.writeHead(206, { etag: '"another"', 'content-range': 'bytes 0-9/10' }).end('0123456789');
      return true;
    };
    await expect(source.read(MIB, new Uint8Array(10))).rejects.toThrow(/the file changed while it was read/);
    expect((await folder.bytes('zeros')).byteLength).toBe(10);
  });

  const OFTEN_MS = 1;

  it('300 MiB take less than 100 MB of the heap', async () => {
    const source = await urlSource(`${server.url}/zeros`);
    const staging = new Uint8Array(32 * MIB).fill(1);
    const used = (): number => process.memoryUsage().heapUsed + process.memoryUsage().arrayBuffers;
    const before = used();
    let peak = 0;
    const watch = setInterval(() => {
      peak = Math.max(peak, used());
    }, OFTEN_MS);
    for (let at = 0; at < LARGE; at += staging.length) {
      await readRanges(source, [{ offset: at, into: staging.subarray(0, LARGE - at) }]);
    }
    clearInterval(watch);
    expect(staging.subarray(0, 12 * MIB).every(byte => byte === 0)).toBe(true);
    expect(peak).toBeGreaterThan(0);
    expect(peak - before).toBeLessThan(100e6);
  });
});

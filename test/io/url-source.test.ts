import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { openSafetensors, writeSafetensors } from '../../src/io/safetensors.ts';
import { urlFolder, urlSource } from '../../src/io/url-source.ts';

/** Longer than the first request, which brings the beginning. */
const content = Uint8Array.from({ length: 400_000 }, (_, i) => i % 251);
const FIRST = `bytes=0-${2 ** 17 - 1}`;
const small = content.subarray(0, 1000);
/** Its header alone is longer than the first request. */
const many = writeSafetensors(
  Object.fromEntries(
    Array.from({ length: 3000 }, (_, i) => [`tensor.${i}`, { dtype: 'F32', shape: [1], data: Float32Array.of(i) }]),
  ),
);
const weights = writeSafetensors({ w: { dtype: 'F32', shape: [3], data: Float32Array.of(1, 2, 3) } });
let server: Server;
let base: string;
let requests: { method: string; url: string; range: string | undefined; token: string | undefined }[] = [];
let etag: string | undefined;

/** A server of one's own moods: each path misbehaves in its way. */
function answer(request: IncomingMessage, response: ServerResponse): void {
  const { method = '', url = '' } = request;
  const range = request.headers.range;
  requests.push({ method, url, range, token: request.headers.authorization });
  const named = [
    ['many.safetensors', many],
    ['.safetensors', weights],
    ['/empty', new Uint8Array()],
  ] as const;
  const data = named.find(([end]) => url.endsWith(end))?.[1] ?? (/small/.test(url) ? small : content);
  if (url === '/start-page') return void response.setHeader('content-type', 'text/html; charset=utf-8').end('<html>');
  if (url === '/secret') return void response.writeHead(403).end();
  if (url.startsWith('/missing')) return void response.writeHead(404).end();
  if (url === '/hidden-hopeless' && method === 'HEAD')
    return void response.writeHead(200, { 'content-encoding': 'gzip' }).end();
  if (method === 'HEAD') return void response.writeHead(200, { 'content-length': data.length }).end();
  const [, from, to] = /bytes=(\d+)-(\d+)/.exec(range ?? '') ?? [];
  if (url === '/chunked')
    return void response.writeHead(200).write(data.subarray(0, 500), () => response.end(data.subarray(500)));
  const turned = url === '/turns' && requests.length > 1;
  if (url.startsWith('/whole') || turned || from === undefined)
    return void response.writeHead(200, { 'content-length': data.length }).end(data);
  if (Number(from) >= data.length)
    return void response.writeHead(416, { 'content-range': `bytes */${data.length}` }).end();
  const part = data.subarray(Number(from), Math.min(data.length, Number(to) + 1));
  const headers: Record<string, string> = url.startsWith('/hidden')
    ? {}
    : { 'content-range': `bytes ${from}-${Math.min(Number(to), data.length - 1)}/${data.length}` };
  if (etag !== undefined) headers['etag'] = etag;
  const length = Number(to) - Number(from) + 1;
  const later = Number(from) > 0;
  if (url.startsWith('/breaks') && later && (url !== '/breaks-once' || length === 300)) {
    response.writeHead(206, { ...headers, 'content-length': part.length });
    return void response.write(url === '/breaks-always' ? '' : part.subarray(0, 100), () => response.destroy());
  }
  if (url === '/short' && later) return void response.writeHead(206, headers).end(part.subarray(0, 5));
  if (url === '/long' && later) return void response.writeHead(206, headers).end(content);
  response.writeHead(206, headers).end(part);
}

beforeAll(async () => {
  server = createServer(answer);
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => void server.close());
beforeEach(() => {
  requests = [];
  etag = undefined;
});

describe('urlSource', () => {
  it('asks for size and beginning at once and then only for the ranges that are read', async () => {
    const source = await urlSource(`${base}/file`);
    const into = new Uint8Array(300);
    await source.read(200_123, into);
    await source.read(5, new Uint8Array(0));
    expect(source.byteLength).toBe(400_000);
    expect(into).toEqual(content.slice(200_123, 200_423));
    expect(requests.map(r => r.range)).toEqual([FIRST, 'bytes=200123-200422']);
    await expect(source.read(399_990, new Uint8Array(11))).rejects.toThrow(/beyond the end/);
  });

  it('reads what the first answer held from memory, and only the rest of a range by another', async () => {
    const source = await urlSource(`${base}/file`);
    const into = new Uint8Array(300);
    await source.read(100, into);
    expect(into).toEqual(content.slice(100, 400));
    expect(requests.length).toBe(1);
    await source.read(2 ** 17 - 100, into);
    expect(into).toEqual(content.slice(2 ** 17 - 100, 2 ** 17 + 200));
    expect(requests[1]?.range).toBe(`bytes=${2 ** 17}-${2 ** 17 + 199}`);
    const whole = await urlSource(`${base}/small`);
    await whole.read(500, into);
    expect([whole.byteLength, requests.length]).toEqual([1000, 3]);
    expect(into).toEqual(content.slice(500, 800));
  });

  it('sends the headers and uses the fetch that it is given', async () => {
    let calls = 0;
    const counting: typeof fetch = (input, init) => {
      calls++;
      return fetch(input, init);
    };
    await urlSource(`${base}/file`, { headers: { Authorization: 'Bearer x' }, fetch: counting });
    expect([calls, requests[0]?.token]).toEqual([1, 'Bearer x']);
  });

  it('asks HEAD where another origin hides Content-Range, and explains when that does not help', async () => {
    expect((await urlSource(`${base}/hidden-small`)).byteLength).toBe(1000);
    expect(requests.map(r => r.method)).toEqual(['GET']); // all of it came
    const hidden = await urlSource(`${base}/hidden`);
    expect(hidden.byteLength).toBe(400_000);
    expect(requests.map(r => r.method)).toEqual(['GET', 'GET', 'HEAD']);
    const end = new Uint8Array(10);
    await hidden.read(399_990, end);
    expect(end).toEqual(content.slice(-10));
    await expect(urlSource(`${base}/hidden-hopeless`)).rejects.toThrow(
      /the size of the file is hidden \(http.*\)\. Let the server send "Access-Control-Expose-Headers: Content-Range"\./,
    );
  });

  it('reads the file once into memory where the server ignores Range', async () => {
    const messages: string[] = [];
    const source = await urlSource(`${base}/whole`, { onWholeRead: message => messages.push(message) });
    const into = new Uint8Array(10);
    await source.read(500, into);
    await source.read(0, new Uint8Array(10));
    expect(into).toEqual(content.slice(500, 510));
    expect(requests.length).toBe(1);
    expect(messages).toEqual([
      `${base}/whole: the server ignores Range; the whole file (400000 bytes) is read into memory`,
    ]);
  });

  it('refuses to read whole what is larger than the limit', async () => {
    await expect(urlSource(`${base}/whole`, { maxWholeBytes: 399_999 })).rejects.toThrow(
      /the server ignores Range and the file is too large to read whole: expected at most 399999 bytes, got 400000 /,
    );
  });

  it('counts while it reads where the server does not tell the length', async () => {
    const messages: string[] = [];
    const source = await urlSource(`${base}/chunked`, { onWholeRead: message => messages.push(message) });
    expect(source.byteLength).toBe(400_000);
    expect(messages).toEqual([
      `${base}/chunked: the server ignores Range; the whole file (of unknown size) is read into memory`,
    ]);
    await expect(urlSource(`${base}/chunked`, { maxWholeBytes: 399_999 })).rejects.toThrow(
      'at most 399999 bytes, got more',
    );
  });

  it('names a missing file by an address relative to the page', async () => {
    const fetch = async () => new Response(null, { status: 404 });
    await expect(urlSource('/models/unet/config.json', { fetch })).rejects.toThrow(
      'folder: no file "config.json" (/models/unet/)',
    );
  });

  it('knows an empty file', async () => {
    expect((await urlSource(`${base}/empty`)).byteLength).toBe(0);
  });

  it('names a missing file, a refusal and a server that is not there', async () => {
    await expect(urlSource(`${base}/missing.json`)).rejects.toThrow(
      /^folder: no file "missing\.json" \(http:\/\/127.*\/\)$/,
    );
    await expect(urlSource(`${base}/secret`)).rejects.toThrow(
      /^fetch: the server refuses: got status 403 Forbidden \(http/,
    );
    await expect(urlSource('http://127.0.0.1:9/x')).rejects.toThrow(
      /^fetch: no answer \(http:\/\/127\.0\.0\.1:9\/x\)\. Check the address/,
    );
  });

  it('refuses answers of another length than asked for', async () => {
    const short = await urlSource(`${base}/short`);
    await expect(short.read(200_000, new Uint8Array(10))).rejects.toThrow(
      /another number of bytes than asked for: expected 10, got 5/,
    );
    const long = await urlSource(`${base}/long`);
    await expect(long.read(200_000, new Uint8Array(10))).rejects.toThrow(
      /another number of bytes than asked for: expected 10, got \d{4,}/,
    );
  });

  it('asks for the rest of a range whose connection breaks, and says so where nothing more comes', async () => {
    const into = new Uint8Array(300);
    await (await urlSource(`${base}/breaks-once`)).read(200_050, into);
    expect(into).toEqual(content.slice(200_050, 200_350));
    expect(requests.map(r => r.range)).toEqual([FIRST, 'bytes=200050-200349', 'bytes=200150-200349']);
    await (await urlSource(`${base}/breaks-often`)).read(200_050, into.fill(0));
    expect(into).toEqual(content.slice(200_050, 200_350));
    const source = await urlSource(`${base}/breaks-always`);
    await expect(source.read(200_000, into)).rejects.toThrow(
      /^fetch: the connection broke \(http.*\/breaks-always\)\. Try again\.$/,
    );
    expect(requests.filter(r => r.url === '/breaks-always').length).toBe(4);
  });

  it('notices a server that stops giving ranges, and a file that changes', async () => {
    const turns = await urlSource(`${base}/turns`);
    await expect(turns.read(200_000, new Uint8Array(10))).rejects.toThrow(
      /the server stopped giving ranges: got status 200/,
    );
    etag = '"one"';
    const source = await urlSource(`${base}/file`);
    await source.read(200_000, new Uint8Array(10));
    etag = '"two"';
    await expect(source.read(200_000, new Uint8Array(10))).rejects.toThrow(/the file changed while it was read/);
  });

  it('stops on the caller’s signal', async () => {
    const controller = new AbortController();
    const source = await urlSource(`${base}/file`, { signal: controller.signal });
    controller.abort();
    await expect(source.read(200_000, new Uint8Array(10))).rejects.toMatchObject({ name: 'AbortError' });
  });

  it('carries a safetensors file', async () => {
    const source = await openSafetensors(await urlSource(`${base}/model.safetensors`));
    const into = new Uint8Array(4);
    await source.read('w', 8, into);
    expect(new Float32Array(into.buffer)[0]).toBe(3);
    expect(requests.length).toBe(1); // it is small
  });
});

describe('urlFolder', () => {
  it('asks once for what has, text and bytes want to know of a file, also all at the same time', async () => {
    const folder = urlFolder(base);
    await Promise.all([folder.has('small.json'), folder.text('small.json'), folder.has('small.json')]);
    const source = await folder.bytes('small.json');
    await source.read(0, new Uint8Array(1000));
    expect([await folder.has('missing'), await folder.has('missing')]).toEqual([false, false]);
    await expect(folder.bytes('missing')).rejects.toThrow('no file "missing"');
    expect(requests.map(r => r.url)).toEqual(['/small.json', '/missing']);
  });

  it('reads a whole text by one request, and the header of large weights by two', async () => {
    const folder = urlFolder(base);
    expect((await folder.text('long.json')).length).toBe(400_000);
    expect(requests.map(r => r.range)).toEqual([`bytes=0-${2 ** 21 - 1}`]);
    await openSafetensors(await folder.bytes('many.safetensors'));
    expect(requests.slice(1).map(r => r.range)).toEqual([FIRST, expect.stringMatching(/^bytes=131072-\d+$/)]);
  });

  it('asks a server without ranges once a file, also where the answer has to wait for its reader', async () => {
    const folder = urlFolder(base);
    for (const name of ['whole', 'chunked', 'whole-small']) {
      requests = [];
      expect(await folder.has(name)).toBe(true);
      const source = await folder.bytes(name);
      const into = new Uint8Array(source.byteLength);
      await source.read(0, into);
      expect(Buffer.compare(into, name === 'whole-small' ? small : content)).toBe(0);
      expect(requests.length).toBe(1);
    }
    await folder.bytes('whole-small'); // is kept
    expect(requests.length).toBe(1);
    await folder.bytes('whole'); // is not: it is long
    expect(requests.length).toBe(2);
  });

  it('asks for no file that is not among those that are there', async () => {
    const folder = urlFolder(base, { files: ['small.json', 'unet/small'] });
    expect([await folder.has('small.json'), await folder.has('absent.json')]).toEqual([true, false]);
    await expect(folder.text('absent.json')).rejects.toThrow('no file "absent.json"');
    await folder.text('small.json');
    expect(requests.map(r => r.url)).toEqual(['/small.json']);
    for (const files of ['small', [3]] as never[])
      expect(() => urlFolder(base, { files })).toThrow('urlFolder: no list of files: expected paths within the folder');
  });

  it('does not keep failures', async () => {
    let fails = true;
    const flaky: typeof fetch = async (input, init) => {
      if (fails) throw new TypeError('fetch failed');
      return fetch(input, init);
    };
    const folder = urlFolder(base, { fetch: flaky });
    await expect(folder.has('small')).rejects.toThrow('no answer');
    fails = false;
    expect(await folder.has('small')).toBe(true);
  });

  it('joins base and path, keeping odd names whole', async () => {
    const folder = urlFolder(`${base}/models/sd?token=1`);
    expect(folder.label).toBe(`${base}/models/sd/`);
    expect(await folder.has('unet/a b#1.json')).toBe(true);
    expect(requests[0]?.url).toBe('/models/sd/unet/a%20b%231.json');
    expect(await folder.text('x')).toBe(new TextDecoder().decode(content));
    expect((await folder.bytes('x')).byteLength).toBe(400_000);
  });

  it('takes 404 and a start page for absence, and other refusals for errors', async () => {
    const folder = urlFolder(base);
    expect([await folder.has('missing'), await folder.has('start-page'), await folder.has('file')]).toEqual([
      false,
      false,
      true,
    ]);
    await expect(folder.has('secret')).rejects.toThrow(/status 403/);
  });
});

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { openSafetensors, writeSafetensors } from '../../src/io/safetensors.ts';
import { urlFolder, urlSource } from '../../src/io/url-source.ts';

const content = Uint8Array.from({ length: 1000 }, (_, i) => i % 251);
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
  const data = url.endsWith('.safetensors') ? weights : url === '/empty' ? new Uint8Array() : content;
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
  if (url === '/whole' || turned || from === undefined)
    return void response.writeHead(200, { 'content-length': data.length }).end(data);
  if (Number(from) >= data.length)
    return void response.writeHead(416, { 'content-range': `bytes */${data.length}` }).end();
  const part = data.subarray(Number(from), Math.min(data.length, Number(to) + 1));
  const headers: Record<string, string> = url.startsWith('/hidden')
    ? {}
    : { 'content-range': `bytes ${from}-${to}/${data.length}` };
  if (etag !== undefined) headers['etag'] = etag;
  const length = Number(to) - Number(from) + 1;
  if (url.startsWith('/breaks') && length > 1 && (url !== '/breaks-once' || length === 300)) {
    response.writeHead(206, { ...headers, 'content-length': part.length });
    return void response.write(url === '/breaks-always' ? '' : part.subarray(0, 100), () => response.destroy());
  }
  if (url === '/short' && length > 1) return void response.writeHead(206, headers).end(part.subarray(0, 5));
  if (url === '/long' && length > 1) return void response.writeHead(206, headers).end(content);
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
  it('asks for the size once and then only for the ranges that are read', async () => {
    const source = await urlSource(`${base}/file`);
    const into = new Uint8Array(300);
    await source.read(123, into);
    await source.read(5, new Uint8Array(0));
    expect(source.byteLength).toBe(1000);
    expect(into).toEqual(content.slice(123, 423));
    expect(requests.map(r => r.range)).toEqual(['bytes=0-0', 'bytes=123-422']);
    await expect(source.read(990, new Uint8Array(11))).rejects.toThrow(/beyond the end/);
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
    expect((await urlSource(`${base}/hidden`)).byteLength).toBe(1000);
    expect(requests.map(r => r.method)).toEqual(['GET', 'HEAD']);
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
      `${base}/whole: the server ignores Range; the whole file (1000 bytes) is read into memory`,
    ]);
  });

  it('refuses to read whole what is larger than the limit', async () => {
    await expect(urlSource(`${base}/whole`, { maxWholeBytes: 999 })).rejects.toThrow(
      /the server ignores Range and the file is too large to read whole: expected at most 999 bytes, got 1000 /,
    );
  });

  it('counts while it reads where the server does not tell the length', async () => {
    const messages: string[] = [];
    const source = await urlSource(`${base}/chunked`, { onWholeRead: message => messages.push(message) });
    expect(source.byteLength).toBe(1000);
    expect(messages).toEqual([
      `${base}/chunked: the server ignores Range; the whole file (of unknown size) is read into memory`,
    ]);
    await expect(urlSource(`${base}/chunked`, { maxWholeBytes: 999 })).rejects.toThrow('at most 999 bytes, got more');
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
    await expect(short.read(0, new Uint8Array(10))).rejects.toThrow(
      /another number of bytes than asked for: expected 10, got 5/,
    );
    const long = await urlSource(`${base}/long`);
    await expect(long.read(0, new Uint8Array(10))).rejects.toThrow(
      /another number of bytes than asked for: expected 10, got 1000/,
    );
  });

  it('asks for the rest of a range whose connection breaks, and says so where nothing more comes', async () => {
    const into = new Uint8Array(300);
    await (await urlSource(`${base}/breaks-once`)).read(50, into);
    expect(into).toEqual(content.slice(50, 350));
    expect(requests.map(r => r.range)).toEqual(['bytes=0-0', 'bytes=50-349', 'bytes=150-349']);
    await (await urlSource(`${base}/breaks-often`)).read(50, into.fill(0));
    expect(into).toEqual(content.slice(50, 350));
    const source = await urlSource(`${base}/breaks-always`);
    await expect(source.read(0, into)).rejects.toThrow(
      /^fetch: the connection broke \(http.*\/breaks-always\)\. Try again\.$/,
    );
    expect(requests.filter(r => r.url === '/breaks-always').length).toBe(4);
  });

  it('notices a server that stops giving ranges, and a file that changes', async () => {
    const turns = await urlSource(`${base}/turns`);
    await expect(turns.read(0, new Uint8Array(10))).rejects.toThrow(/the server stopped giving ranges: got status 200/);
    etag = '"one"';
    const source = await urlSource(`${base}/file`);
    await source.read(0, new Uint8Array(10));
    etag = '"two"';
    await expect(source.read(0, new Uint8Array(10))).rejects.toThrow(/the file changed while it was read/);
  });

  it('stops on the caller’s signal', async () => {
    const controller = new AbortController();
    const source = await urlSource(`${base}/file`, { signal: controller.signal });
    controller.abort();
    await expect(source.read(0, new Uint8Array(10))).rejects.toMatchObject({ name: 'AbortError' });
  });

  it('carries a safetensors file', async () => {
    const source = await openSafetensors(await urlSource(`${base}/model.safetensors`));
    const into = new Uint8Array(4);
    await source.read('w', 8, into);
    expect(new Float32Array(into.buffer)[0]).toBe(3);
    expect(requests.length).toBe(4); // size, length, header, tensor
  });
});

describe('urlFolder', () => {
  it('joins base and path, keeping odd names whole', async () => {
    const folder = urlFolder(`${base}/models/sd?token=1`);
    expect(folder.label).toBe(`${base}/models/sd/`);
    expect(await folder.has('unet/a b#1.json')).toBe(true);
    expect(requests[0]?.url).toBe('/models/sd/unet/a%20b%231.json');
    expect((await folder.text('x')).length).toBe(1000);
    expect((await folder.bytes('x')).byteLength).toBe(1000);
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

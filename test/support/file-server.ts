/** A server on 127.0.0.1 that gives a folder's files by range, as slowly as a test wants, and counts. */
import { createReadStream, existsSync, statSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';

export interface Asked {
  readonly method: string;
  /** Without the slash at its beginning. */
  readonly path: string;
  readonly range: string | undefined;
  /** Of the answer; 0 while there is none. */
  status: number;
}

export interface FileServer {
  /** Address without a slash at its end. */
  readonly url: string;
  /** All requests since `reset`. */
  readonly asked: Asked[];
  /** So many answers were on their way at once at most. */
  most: number;
  /** Connections that the other side left before the answer was whole. */
  left: number;
  /** Milliseconds before each answer begins. */
  latencyMs: number;
  /** False: Range is ignored. */
  ranges: boolean;
  /** In place of the file: true where it has answered. */
  mood: (request: IncomingMessage, response: ServerResponse, path: string) => boolean;
  reset(): void;
  close(): void;
}

/**
 * @param folder served as it is
 * @param sizes files of zeros beside those of the folder, by path
 */
export async function fileServer(folder: string, sizes: Readonly<Record<string, number>> = {}): Promise<FileServer> {
  let now = 0;
  const server = createServer(async (request, response) => {
    const path = decodeURIComponent(new URL(request.url ?? '', 'http://x').pathname).slice(1);
    const { range } = request.headers;
    const asked: Asked = { method: request.method ?? '', path, range, status: 0 };
    self.asked.push(asked);
    self.most = Math.max(self.most, ++now);
    response.on('close', () => {
      now--;
      if (!response.writableFinished) self.left++;
    });
    if (self.latencyMs > 0) await sleep(self.latencyMs);
    response.on('finish', () => {
      asked.status = response.statusCode;
    });
    if (!self.mood(request, response, path)) answer(path, range, response);
  });
  const answer = (path: string, range: string | undefined, response: ServerResponse): void => {
    const file = join(folder, path);
    const size = sizes[path] ?? (existsSync(file) && statSync(file).isFile() ? statSync(file).size : undefined);
    if (size === undefined) return void response.writeHead(404).end();
    response.setHeader('etag', `"${path} ${size}"`);
    const [, from, to] = (self.ranges && /^bytes=(\d+)-(\d+)$/.exec(range ?? '')) || [];
    const [begin, end] = [Number(from ?? 0), Math.min(Number(to ?? size - 1), size - 1)];
    if (begin >= size) return void response.writeHead(416, { 'content-range': `bytes */${size}` }).end();
    const headers = { 'content-length': end - begin + 1 };
    if (from === undefined) response.writeHead(200, headers);
    else response.writeHead(206, { ...headers, 'content-range': `bytes ${begin}-${end}/${size}` });
    if (sizes[path] === undefined) createReadStream(file, { start: begin, end }).pipe(response);
    else Readable.from(zeros(end - begin + 1)).pipe(response);
  };
  await new Promise<void>(done => server.listen(0, '127.0.0.1', done));
  const self: FileServer = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    ...{ asked: [], most: 0, left: 0, latencyMs: 0, ranges: true, mood: () => false },
    reset(): void {
      self.asked.length = 0;
      Object.assign(self, { most: 0, left: 0, latencyMs: 0, ranges: true, mood: () => false });
    },
    close(): void {
      server.closeAllConnections();
      server.close();
    },
  };
  return self;
}

function* zeros(count: number): Generator<Uint8Array> {
  const block = new Uint8Array(2 ** 18);
  for (let left = count; left > 0; left -= block.length) yield left < block.length ? block.subarray(0, left) : block;
}

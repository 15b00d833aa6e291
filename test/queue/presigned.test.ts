/** Results that go to addresses of the job's own, as a store of objects signs them. */
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { decodeImage } from '../../src/node/images.ts';
import { jobOf } from '../../src/queue/job.ts';
import { type FleetQueue, openQueue } from '../../src/queue/queue.ts';
import { UriRules } from '../../src/queue/uri-rules.ts';
import { type FleetEvent, startFleetWorker } from '../../src/queue/worker.ts';
import { jobsFor, pictures, stubModel } from '../support/fleet.ts';
import { type QueueServer, startQueueServer } from '../support/queue-server.ts';

let server: QueueServer;
let store: Server;
let base: string;
let root: string;
let queue: FleetQueue;
/** What lies there, in the order in which it came. */
const objects = new Map<string, Buffer>();
let refusals = 0;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'pentimento-presigned-'));
  server = await startQueueServer();
  queue = await openQueue({ queue: 'objects', redis: server.url });
  store = createServer((request, response) => {
    const parts: Buffer[] = [];
    const [path = '', query = ''] = (request.url ?? '').split('?');
    request.on('data', part => parts.push(part));
    request.on('end', () => {
      if (query !== 'signature=secret') response.writeHead(403).end();
      else if (request.method === 'GET') response.writeHead(objects.has(path) ? 200 : 404).end(objects.get(path));
      else if (refusals-- > 0) response.writeHead(503).end();
      else {
        objects.set(path, Buffer.concat(parts));
        response.writeHead(200).end();
      }
    });
  });
  await new Promise<void>(done => store.listen(0, '127.0.0.1', done));
  base = `http://127.0.0.1:${(store.address() as { port: number }).port}`;
});
afterAll(async () => {
  await queue.close();
  await new Promise(done => store.close(done));
  await server.stop();
  await rm(root, { recursive: true });
});

it('are sent by PUT, the JSON last, again where the store could not, and their signatures are told to nobody', async () => {
  const [{ picture, model }] = await jobsFor(await pictures(join(root, 'in'), 1));
  const signed = (name: string): string => `${base}/${name}?signature=secret`;
  const edit = { sourcePrompt: 'a', targetPrompt: 'b' };
  const results = {
    images: [signed('a.png')],
    mask: signed('a.mask.png'),
    json: signed('a.json'),
    existing: signed('a.json'),
  };
  const job = jobOf({ picture, model, edit, results });
  const short = jobOf({ picture, model, edit: { ...edit, numImagesPerPrompt: 2 }, results });
  refusals = 1;
  const events: FleetEvent[] = [];
  const start = () =>
    startFleetWorker({
      ...{ queue: 'objects', redis: server.url, models: [stubModel()], output: join(root, 'out'), program: '0' },
      rules: new UriRules({ allow: [pathToFileURL(root).href, `${base}/`], privateAddresses: true }),
      onEvent: event => events.push(event),
    });
  const worker = await start();
  await queue.submit([job, short], { backoffMs: 10 });
  const failed = await queue.wait([job, short]);
  await worker.close();
  expect([...objects.keys()]).toEqual(['/a.png', '/a.mask.png', '/a.json']);
  expect(decodeImage(objects.get('/a.png') as Buffer)).toMatchObject({ width: 8, height: 8 });
  const json = JSON.parse(String(objects.get('/a.json')));
  expect(json).toMatchObject({ version: 1, id: job.id, attempts: 2, files: [`${base}/a.png`, `${base}/a.mask.png`] });
  expect(failed.map(({ error }) => error?.problem)).toEqual(['an address for each picture is needed']);
  expect(events.map(({ type }) => type)).toContain('again');
  expect(JSON.stringify([json, events, failed])).not.toContain('secret');

  // A queue that has forgotten: what is there is found.
  const other = await openQueue({ queue: 'objects-2', redis: server.url });
  await other.submit([job]);
  const again: FleetEvent[] = [];
  const second = await startFleetWorker({
    ...{ queue: 'objects-2', redis: server.url, models: [stubModel()], output: join(root, 'out'), program: '0' },
    rules: new UriRules({ allow: [pathToFileURL(root).href, `${base}/`], privateAddresses: true }),
    onEvent: event => again.push(event),
  });
  await other.wait([job]);
  await second.close();
  await other.close();
  expect(again.map(({ type }) => type)).toEqual(['begun', 'already done']);
});

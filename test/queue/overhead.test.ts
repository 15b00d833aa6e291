/** What a queue costs a job, and that a worker's memory does not grow with them. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Queue, Worker } from 'bullmq';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { encodePng, readImage } from '../../src/node/images.ts';
import { connect } from '../../src/queue/connection.ts';
import { makeEdit } from '../../src/queue/fleet-edit.ts';
import type { FleetJob } from '../../src/queue/job.ts';
import { LoadedModel } from '../../src/queue/models.ts';
import { NextPicture } from '../../src/queue/next-picture.ts';
import { openQueue } from '../../src/queue/queue.ts';
import { folderResults } from '../../src/queue/result-store.ts';
import { UriRules } from '../../src/queue/uri-rules.ts';
import { startFleetWorker } from '../../src/queue/worker.ts';
import { jobsFor, pictures, stubModel } from '../support/fleet.ts';
import { type QueueServer, startQueueServer } from '../support/queue-server.ts';

const FULL = Boolean(process.env['PENTIMENTO_FULL']);
const COUNT = FULL ? 10_000 : 300;
/** Milliseconds of the processor a job, beyond what the same edits take without a queue: submitting, taking, checking, telling. */
const MOST_MS = 5;
/** The same as multiples of what BullMQ takes for a job of nothing, whose time a busy machine stretches as well; of few jobs the first ones weigh more. */
const MOST_TIMES = FULL ? 8 : 12;

let server: QueueServer;
let root: string;
beforeAll(async () => {
  server = await startQueueServer();
  root = await mkdtemp(join(tmpdir(), 'pentimento-overhead-'));
});
afterAll(async () => {
  await server.stop();
  await rm(root, { recursive: true });
});

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;
const held = (): number => {
  collect();
  return process.memoryUsage().heapUsed;
};

/** Milliseconds of the processor since then. */
const spent = (since: NodeJS.CpuUsage): number => {
  const { user, system } = process.cpuUsage(since);
  return (user + system) / 1000;
};

/** Milliseconds of the processor a job, where a loop makes them. */
async function withoutQueue(jobs: readonly FleetJob[], rules: UriRules): Promise<number> {
  const store = await folderResults(join(root, 'alone'));
  const { signal } = new AbortController();
  const [model, loaded] = [stubModel(), new LoadedModel()];
  const pictures = new NextPicture(rules, bytes => readImage(bytes));
  const ignore = (): void => undefined;
  const begun = process.cpuUsage();
  for (const job of jobs) {
    const { files } = await makeEdit(job, {
      ...{ model, loaded, pictures, signal, encode: async image => encodePng(image) },
      ...{ onProgress: ignore, onStart: ignore },
    });
    await store.write(job.id, [...files, { suffix: '.json', bytes: Buffer.from('{}'), type: 'application/json' }]);
  }
  return spent(begun) / jobs.length;
}

/** Milliseconds of the processor a job, of BullMQ alone. */
async function bareQueue(count: number): Promise<number> {
  const connection = { connection: await connect({ redis: server.url }) };
  const queue = new Queue('bare', connection);
  const data = Array.from({ length: count }, (_, i) => ({ name: 'nothing', data: { i } }));
  const begun = process.cpuUsage();
  await queue.addBulk(data);
  const worker = new Worker('bare', async () => 0, connection);
  await new Promise<void>(done => worker.on('drained', done));
  const taken = spent(begun);
  await worker.close();
  await queue.close();
  connection.connection.disconnect();
  return taken / count;
}

it(`costs at most ${MOST_MS} ms a job over ${COUNT} jobs, and holds no more at the end than on the way`, async () => {
  // Few files, many seeds: each a job of its own.
  const paths = await pictures(join(root, 'in'), 10);
  const jobs = (await Promise.all(Array.from({ length: COUNT / 10 }, (_, seed) => jobsFor(paths, { seed })))).flat();
  const queue = await openQueue({ queue: 'overhead', redis: server.url });
  const rules = new UriRules({ allow: [pathToFileURL(root).href] });
  const submitting = process.cpuUsage();
  expect((await queue.submit(jobs)).every(({ state }) => state === 'added')).toBe(true);
  const submitted = spent(submitting) / COUNT;
  const heap: number[] = [];
  let done = 0;
  let collecting = 0;
  let warm = process.cpuUsage();
  const worker = await startFleetWorker({
    ...{ queue: 'overhead', redis: server.url, output: join(root, 'out'), program: '0', models: [stubModel()] },
    rules,
    onEvent({ type }) {
      if (type !== 'done') return;
      done++;
      if (done % (COUNT / 5) !== 0) return;
      const begun = process.cpuUsage();
      heap.push(held());
      collecting += spent(begun);
      if (done < COUNT / 2) [warm, collecting] = [process.cpuUsage(), 0]; // the first jobs are compiled
    },
  });
  await worker.empty();
  const queued = submitted + (spent(warm) - collecting) / (COUNT * 0.6);
  await worker.close();
  await queue.close();
  await withoutQueue(jobs.slice(0, 20), rules);
  const alone = await withoutQueue(jobs.slice(0, COUNT / 5), rules);
  expect(done).toBe(COUNT);
  await bareQueue(20);
  const bare = await bareQueue(COUNT / 5);
  const ms = queued - alone;
  if (FULL) {
    const megabytes = heap.map(bytes => (bytes / 1e6).toFixed(1));
    console.log(
      `a job: ${queued.toFixed(2)} ms, ${alone.toFixed(2)} without a queue, ${bare.toFixed(2)} of BullMQ alone; heap in MB: ${megabytes}`,
    );
  }
  expect(ms / bare).toBeLessThanOrEqual(MOST_TIMES);
  if (FULL) expect(ms).toBeLessThanOrEqual(MOST_MS);
  // From the second fifth on nothing is new; a leak of a job's data would be 2 kB a job.
  expect((heap[4] - heap[1]) / (COUNT * 0.6)).toBeLessThan(FULL ? 500 : 5000);
});

/** A worker and its queue, with stub pipelines: what becomes of jobs, whatever happens. */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { InputError } from '../../src/core/errors.ts';
import { DeviceLostError } from '../../src/gpu/device-lost.ts';
import { OutOfMemoryError } from '../../src/gpu/out-of-memory.ts';
import { type FleetQueue, openQueue } from '../../src/queue/queue.ts';
import { UriRules } from '../../src/queue/uri-rules.ts';
import {
  type FleetEvent,
  type FleetWorker,
  type FleetWorkerOptions,
  startFleetWorker,
} from '../../src/queue/worker.ts';
import { jobsFor, pictures, stubModel } from '../support/fleet.ts';
import { type QueueServer, startQueueServer } from '../support/queue-server.ts';

let server: QueueServer;
let root: string;
let queue: FleetQueue;
let name = 0;
const workers: FleetWorker[] = [];

beforeAll(async () => {
  server = await startQueueServer();
});
afterAll(() => server.stop());
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'pentimento-fleet-'));
  queue = await openQueue({ queue: `q${++name}`, redis: server.url });
});
afterEach(async () => {
  await Promise.all(workers.splice(0).map(worker => worker.close({ graceMs: 0 })));
  await queue.close();
  await rm(root, { recursive: true });
});

const out = () => join(root, 'out');
async function work(options: Partial<FleetWorkerOptions> = {}): Promise<{ worker: FleetWorker; events: FleetEvent[] }> {
  const events: FleetEvent[] = [];
  const rules = new UriRules({ allow: [pathToFileURL(root).href] });
  const worker = await startFleetWorker({
    ...{ queue: `q${name}`, redis: server.url, models: [stubModel()], output: out(), rules, program: '0' },
    onEvent: event => events.push(event),
    ...options,
  });
  workers.push(worker);
  return { worker, events };
}
const types = (events: readonly FleetEvent[]) => events.map(({ type }) => type).filter(type => type !== 'begun');

describe('a worker', () => {
  it('makes each job once, writes picture, mask and JSON, and does nothing for jobs that are submitted again', async () => {
    const paths = await pictures(join(root, 'in'), 5);
    const jobs = await jobsFor(paths);
    expect((await queue.submit(jobs)).map(({ state }) => state)).toEqual(Array(5).fill('added'));
    const { events } = await work();
    expect(await queue.wait(jobs)).toEqual([]);
    expect(types(events)).toEqual(Array(5).fill('done'));
    const names = jobs.flatMap(({ id }) => [`${id}.json`, `${id}.mask.png`, `${id}.png`]);
    expect((await readdir(out())).sort()).toEqual(names.sort());
    const json = JSON.parse(await readFile(join(out(), `${jobs[0].id}.json`), 'utf8'));
    expect(json).toMatchObject({
      version: 1,
      id: jobs[0].id,
      picture: jobs[0].picture,
      edit: jobs[0].edit,
      attempts: 1,
      device: 'stub',
    });

    expect((await queue.submit(jobs)).map(({ state }) => state)).toEqual(Array(5).fill('completed'));
    expect(types(events)).toHaveLength(5);
  });
});

/** A worker and its queue, with stub pipelines: what becomes of jobs, whatever happens. */
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { WeightsError } from '../../src/core/errors.ts';
import { DeviceLostError } from '../../src/gpu/device-lost.ts';
import { OutOfMemoryError } from '../../src/gpu/out-of-memory.ts';
import type { RgbImage } from '../../src/io/image.ts';
import { readImage } from '../../src/node/images.ts';
import type { RunArgs } from '../../src/pipeline/diffedit/types.ts';
import type { Decode } from '../../src/queue/next-picture.ts';
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
    expect((await readdir(out())).sort()).toEqual(['.parts', ...names].sort());
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

describe('a result', () => {
  it('whose JSON is torn or of another job is made anew', async () => {
    const jobs = await jobsFor(await pictures(join(root, 'in'), 3));
    await mkdir(out());
    await writeFile(join(out(), `${jobs[0].id}.json`), '');
    await writeFile(join(out(), `${jobs[1].id}.json`), JSON.stringify({ version: 1, id: jobs[0].id }));
    await writeFile(join(out(), `${jobs[2].id}.json`), JSON.stringify({ version: 1, id: jobs[2].id }));
    await queue.submit(jobs);
    const { events } = await work();
    expect(await queue.wait(jobs)).toEqual([]);
    expect(types(events)).toEqual(['done', 'done', 'already done']);
  });
});

/** Waits until something is so. */
async function until(so: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await so())) await new Promise(done => setTimeout(done, 20));
}

describe('the next picture', () => {
  it('is read while the one before is edited, once, in the order of the queue', async () => {
    const jobs = await jobsFor(await pictures(join(root, 'in'), 4));
    await queue.submit(jobs);
    const order: string[] = [];
    const numberOf = (image: { data: Uint8Array | Uint8ClampedArray }): number | undefined => image.data[3];
    const run = async ({ image }: RunArgs): Promise<void> => {
      const n = numberOf(image as RgbImage) ?? 0;
      order.push(`edit ${n}`);
      if (n < 3) await until(() => order.includes(`read ${n + 1}`));
      order.push(`done ${n}`);
    };
    const decode: Decode = async bytes => {
      const image = await readImage(bytes);
      order.push(`read ${numberOf(image)}`);
      return image;
    };
    await work({ models: [stubModel('stub', run)], decode });
    expect(await queue.wait(jobs)).toEqual([]);
    const whole = [0, 1, 2, 3].flatMap(n => [`edit ${n}`, ...(n < 3 ? [`read ${n + 1}`] : []), `done ${n}`]);
    expect(order).toEqual(['read 0', ...whole]);
  });
});

describe('a job that fails', () => {
  it('ends at once for bad input, with the fields of the error, and the rest goes on', async () => {
    const paths = await pictures(join(root, 'in'), 3);
    const jobs = await jobsFor(paths);
    await writeFile(paths[1], 'no picture');
    await queue.submit(jobs);
    const { events } = await work();
    const failed = await queue.wait(jobs);
    expect(types(events).sort()).toEqual(['done', 'done', 'failed']);
    expect(failed).toHaveLength(1);
    expect(failed[0]).toMatchObject({ id: jobs[1].id, parked: false, attempts: 1 });
    expect(failed[0].error).toMatchObject({ class: 'InputError', op: 'job', expected: jobs[1].picture.sha256 });
    expect(failed[0].reason).toMatch(/another one than was submitted/);
  });

  it('is tried three times where the device was lost, and once more when asked', async () => {
    const jobs = await jobsFor(await pictures(join(root, 'in'), 1));
    let runs = 0;
    let lost = true;
    const run = (): void => {
      runs++;
      if (lost) throw new DeviceLostError('run', { reason: 'unknown', message: 'reset', losses: 3 });
    };
    const { events } = await work({ models: [stubModel('stub', run)] });
    await queue.submit(jobs, { backoffMs: 20 });
    const [failed] = await queue.wait(jobs);
    expect(runs).toBe(3);
    expect(types(events)).toEqual(['again', 'again', 'failed']);
    expect(failed).toMatchObject({ attempts: 3, error: { class: 'DeviceLostError' } });

    lost = false;
    expect(await queue.retry()).toEqual([jobs[0].id]);
    expect(await queue.wait(jobs)).toEqual([]);
    expect(runs).toBe(4);
  });

  it('is tried again where it is submitted with another address, and left as it is where it is not', async () => {
    const [job] = await jobsFor(await pictures(join(root, 'in'), 1));
    const wrong = { ...job, picture: { ...job.picture, uri: `${job.picture.uri}.gone` } };
    await work();
    await queue.submit([wrong]);
    expect(await queue.wait([job])).toMatchObject([{ id: job.id, picture: wrong.picture.uri }]);
    expect(await queue.submit([wrong, wrong])).toEqual(Array(2).fill({ id: job.id, state: 'failed' }));
    expect(await queue.submit([job, job])).toEqual(Array(2).fill({ id: job.id, state: 'added' }));
    expect(await queue.wait([job])).toEqual([]);
  });

  it('is tried once more with offload where memory ran out, in the same attempt; offload stays on', async () => {
    const jobs = await jobsFor(await pictures(join(root, 'in'), 2));
    let offloads = 0;
    let runs = 0;
    const run = (): void => {
      runs++;
      if (offloads === 0) throw new OutOfMemoryError('run', 'weights', { asked: 9, held: 1 });
    };
    const offload = (): void => {
      offloads++;
    };
    const { events } = await work({ models: [stubModel('stub', run, { offload })] });
    await queue.submit(jobs);
    expect(await queue.wait(jobs)).toEqual([]);
    expect([offloads, runs, ...types(events)]).toEqual([1, 3, 'done', 'done']);
  });

  it('that was forged is refused: another id, another version, an unknown name', async () => {
    const [job] = await jobsFor(await pictures(join(root, 'in'), 1));
    const forged = [
      { ...job, edit: { ...job.edit, seed: 7 } },
      { ...job, version: 2, id: 'b'.repeat(64) },
      { ...job, id: 'c'.repeat(64), shell: 'rm' },
    ];
    await queue.submit(forged as (typeof job)[]);
    const { events } = await work();
    const failed = await queue.wait(forged as (typeof job)[]);
    expect(types(events)).toEqual(['failed', 'failed', 'failed']);
    expect(failed.map(({ error }) => error?.problem).sort()).toEqual([
      'a job of another version',
      'the id is not that of the job',
      'there is no such argument',
    ]);
    expect(await readdir(root)).not.toContain('out');
  });

  it('that is garbage fails at once and is told of, with nothing of its address that may be a key', async () => {
    const [job] = await jobsFor(await pictures(join(root, 'in'), 1));
    const signed = { ...job.picture, uri: 'https://user:secret@example.com/a.png?signature=secret' };
    const garbage = [
      { id: 'g1' },
      { id: 'g2', picture: null },
      { id: 'g3', picture: { uri: { toString: 1 } } },
      { ...job, id: 'g4', picture: signed },
      { ...job, id: 'g5', results: 'somewhere' },
      { ...job, id: 'g6', results: null },
    ].map(data => ({ model: job.model, ...data })) as unknown as (typeof job)[];
    await queue.submit(garbage);
    const { events } = await work();
    await queue.wait(garbage);
    const failed = await queue.failed();
    expect(types(events)).toEqual(Array(6).fill('failed'));
    expect(failed.map(({ error }) => error?.class)).toEqual(Array(6).fill('InputError'));
    const pictureOf = (id: string) => failed.find(each => each.id === id)?.picture;
    expect(['g1', 'g2', 'g3', 'g4'].map(pictureOf)).toEqual(['', '', '', 'https://example.com/a.png']);
    expect(JSON.stringify([events, failed])).not.toContain('secret');
  });

  it('names no file outside of what is allowed: none is opened', async () => {
    const [job] = await jobsFor(await pictures(join(root, 'in'), 1));
    const { jobOf } = await import('../../src/queue/job.ts');
    const uris = [
      'file:///etc/passwd',
      'http://169.254.169.254/latest/meta-data/',
      `${pathToFileURL(root).href}/../../etc/passwd`,
    ];
    const jobs = uris.map((uri, i) =>
      jobOf({
        picture: { uri, sha256: job.picture.sha256 },
        model: job.model,
        edit: { sourcePrompt: 'a', targetPrompt: 'b', seed: i },
      }),
    );
    await queue.submit(jobs);
    await work();
    const failed = await queue.wait(jobs);
    expect(failed.map(({ error }) => [error?.class, error?.problem])).toEqual(
      Array(3).fill(['InputError', 'the worker does not allow this URI']),
    );
  });
});

describe('a model that cannot be opened', () => {
  it('ends its worker, and fails no job that another worker can make', async () => {
    const jobs = await jobsFor(await pictures(join(root, 'in'), 3));
    const refusal = new WeightsError({ op: 'open', problem: 'no such file or directory' });
    const model = { ...stubModel(), open: () => Promise.reject(refusal) };
    const { worker, events } = await work({ models: [model] });
    await queue.submit(jobs);
    await until(() => worker.broken.aborted);
    await worker.close();
    expect(worker.broken.reason).toBe(refusal);
    expect(types(events)).toEqual(['handed back']);
    expect((await queue.status())[0].jobs).toMatchObject({ waiting: 3, active: 0, failed: 0 });
    await work();
    expect(await queue.wait(jobs)).toEqual([]);
  });

  it('because memory ran out fails its job after three attempts, as an edit would', async () => {
    const jobs = await jobsFor(await pictures(join(root, 'in'), 1));
    const model = {
      ...stubModel(),
      open: () => Promise.reject(new OutOfMemoryError('open', 'weights', { asked: 9, held: 1 })),
    };
    const { worker } = await work({ models: [model] });
    await queue.submit(jobs, { backoffMs: 20 });
    expect(await queue.wait(jobs)).toMatchObject([{ attempts: 3, error: { class: 'OutOfMemoryError' } }]);
    expect(worker.broken.aborted).toBe(false);
  });
});

describe('an end', () => {
  it('hands an edit back that would take long, as it was, and another worker makes it', async () => {
    const jobs = await jobsFor(await pictures(join(root, 'in'), 1));
    let begun = false;
    const run = (args: RunArgs): Promise<void> => {
      begun = true;
      return new Promise(done => args.signal?.addEventListener('abort', () => done()));
    };
    const { worker, events } = await work({ models: [stubModel('stub', run)] });
    await queue.submit(jobs);
    await until(() => begun);
    await worker.close();
    expect(types(events)).toEqual(['handed back']);
    expect((await queue.status())[0].jobs).toMatchObject({ waiting: 1, active: 0, failed: 0 });
    await work();
    expect(await queue.wait(jobs)).toEqual([]);
    const json = JSON.parse(await readFile(join(out(), `${jobs[0].id}.json`), 'utf8'));
    expect(json.attempts).toBe(1);
  });

  it('finishes an edit whose last phase is nearly done', async () => {
    const jobs = await jobsFor(await pictures(join(root, 'in'), 1));
    let finish = (): void => undefined;
    const run = (args: RunArgs): Promise<void> => {
      args.onProgress?.({
        phase: 'edit',
        step: 9,
        of: 10,
        ms: 9,
        bytes: 0,
        secondsLeft: 0.01,
      });
      return new Promise(done => {
        finish = done;
      });
    };
    const { worker, events } = await work({ models: [stubModel('stub', run)] });
    await queue.submit(jobs);
    await until(() => events.length === 1);
    await new Promise(done => setTimeout(done, 50));
    const closed = worker.close();
    finish();
    await closed;
    expect(types(events)).toEqual(['done']);
    expect(await queue.wait(jobs)).toEqual([]);
  });
});

describe('several models', () => {
  it('are opened one at a time, and the queue of the one that is loaded is emptied first', async () => {
    const paths = await pictures(join(root, 'in'), 4);
    const [a, b] = [await jobsFor(paths, { model: 'a' }), await jobsFor(paths, { model: 'b' })];
    await queue.submit([a[0], b[0], a[1], b[1], a[2], b[2], a[3], b[3]]);
    const models = [stubModel('a'), stubModel('b')];
    const { events } = await work({ models });
    expect(await queue.wait([...a, ...b])).toEqual([]);
    const order = events
      .filter(({ type }) => type === 'done')
      .map(({ id }) => (a.some(job => job.id === id) ? 'a' : 'b'));
    expect(order.join('')).toBe('aaaabbbb');
    expect(models.map(({ opened }) => opened)).toEqual([1, 1]);
    expect(models[0].disposed).toBe(1);
  });
});

describe('a server', () => {
  it('that is killed and started again loses no job and doubles none', async () => {
    const own = await startQueueServer();
    const other = await openQueue({ queue: 'again', redis: own.url });
    try {
      const jobs = await jobsFor(await pictures(join(root, 'in'), 20));
      await other.submit(jobs);
      let made = 0;
      const run = async (): Promise<void> => {
        made++;
        if (made === 7) {
          await own.kill();
          await own.start();
        }
      };
      const { events } = await work({ queue: 'again', redis: own.url, models: [stubModel('stub', run)] });
      expect(await other.wait(jobs)).toEqual([]);
      expect(made).toBe(20);
      expect(types(events).filter(type => type === 'done')).toHaveLength(20);
    } finally {
      await Promise.all(workers.splice(0).map(worker => worker.close({ graceMs: 0 })));
      await other.close();
      await own.stop();
    }
  });

  it('that forgets its jobs has not done them', async () => {
    const own = await startQueueServer();
    const other = await openQueue({ queue: 'lost', redis: own.url });
    try {
      const [job] = await jobsFor(await pictures(join(root, 'in'), 1));
      await other.submit([job]);
      const raw = new Redis(own.port);
      await raw.flushall();
      raw.disconnect();
      expect(await other.wait([job])).toMatchObject([{ id: job.id, reason: expect.stringContaining('lost') }]);
      expect(await other.submit([job])).toEqual([{ id: job.id, state: 'added' }]);
    } finally {
      await other.close();
      await own.stop();
    }
  });

  it('that does not answer, or refuses the password, is told of without the password', async () => {
    const own = await startQueueServer({ password: 'correct-horse' });
    const wrong = own.url.replace('correct-horse', 'battery-staple');
    const refusals = [
      await openQueue({ queue: 'x', redis: wrong }).catch(error => error),
      await openQueue({ queue: 'x', redis: own.url.replace(':correct-horse@', '') }).catch(error => error),
      await openQueue({ queue: 'x', redis: 'redis://user:battery-staple@127.0.0.1:1' }).catch(error => error),
      await openQueue({ queue: 'x', redis: 'http://user:battery-staple@host' }).catch(error => error),
    ];
    for (const url of ['redis://:battery%staple@127.0.0.1:1', 'redis://user:1234#battery@127.0.0.1:1']) {
      const error = await openQueue({ queue: 'x', redis: url }).catch(refusal => refusal);
      expect(error.message).toMatch(/^queue: no URL of a Redis or Valkey server: .* Write % /);
      expect(JSON.stringify(error) + error.stack).not.toMatch(/battery|1234/);
    }
    const good = await openQueue({ queue: 'x', redis: own.url });
    await good.close();
    await own.stop();
    expect(refusals.map(error => error.problem)).toEqual([
      'the server refuses user or password',
      'the server refuses user or password',
      'the server does not answer',
      'no URL of a Redis or Valkey server',
    ]);
    for (const error of refusals) expect(JSON.stringify(error) + error.stack).not.toMatch(/battery|correct-horse/);
  });
});

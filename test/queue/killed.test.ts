/** Workers that die: no job is lost, none is made twice, and one that kills its workers is set aside. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openQueue } from '../../src/queue/queue.ts';
import { jobsFor, pictures } from '../support/fleet.ts';
import { type QueueServer, startQueueServer } from '../support/queue-server.ts';

let server: QueueServer;
let root: string;
beforeAll(async () => {
  server = await startQueueServer();
  root = await mkdtemp(join(tmpdir(), 'pentimento-killed-'));
});
afterAll(async () => {
  await server.stop();
  await rm(root, { recursive: true });
});

it('a job that kills its worker twice is parked, and the rest is made once each', async () => {
  const queue = await openQueue({ queue: 'poison', redis: server.url });
  const jobs = await jobsFor(await pictures(join(root, 'in'), 8));
  await queue.submit(jobs);
  let deaths = 0;
  let child: ChildProcess;
  const begin = (): void => {
    const script = ['--import', './test/support/run-typescript.mjs', 'test/support/stub-worker.ts'];
    child = spawn(process.execPath, [...script, server.url, 'poison', root, '3'], { stdio: 'inherit' });
    child.on('exit', (_, signal) => {
      if (signal !== 'SIGKILL') return;
      deaths++;
      begin(); // as whatever keeps workers alive does
    });
  };
  begin();
  const failed = await queue.wait(jobs);
  child!.kill('SIGTERM');
  expect(deaths).toBe(2);
  expect(failed).toMatchObject([{ id: jobs[3].id, parked: true }]);
  const made = (await readdir(join(root, 'out'))).filter(name => name.endsWith('.json'));
  expect(made.sort()).toEqual(
    jobs
      .filter((_, i) => i !== 3)
      .map(({ id }) => `${id}.json`)
      .sort(),
  );
  expect((await queue.status())[0].jobs).toMatchObject({ completed: 7, failed: 1, waiting: 0, active: 0 });

  expect(await queue.retry([jobs[3].id])).toEqual([jobs[3].id]);
  await queue.close();
});

/** What Prometheus reads of a worker. */
import { get } from 'node:http';
import { afterEach, expect, it } from 'vitest';
import { FleetMetrics } from '../../src/queue/metrics.ts';

const open: { close(): void }[] = [];
afterEach(() => {
  for (const server of open.splice(0)) server.close();
});

const fetched = (port: number, path: string) =>
  new Promise<{ status: number | undefined; type: string | undefined; text: string }>((done, failed) => {
    get({ host: '127.0.0.1', port, path, agent: false }, response => {
      let text = '';
      response.on('data', part => {
        text += part;
      });
      response.on('end', () => done({ status: response.statusCode, type: response.headers['content-type'], text }));
    }).on('error', failed);
  });

it('is jobs by outcome, seconds by phase, device memory and the queue, on loopback alone', async () => {
  const metrics = await FleetMetrics.create();
  metrics.counts = async () => ({ waiting: 3, active: 1 });
  metrics.job('done');
  metrics.job('done');
  metrics.job('failed');
  metrics.phases({ mask: 500, edit: 2000, decode: undefined });
  metrics.device(1000, 2000);
  const listening = await metrics.listen(0);
  open.push(listening);
  const { port } = listening;
  const { status, type, text } = await fetched(port, '/metrics');
  expect([status, type]).toEqual([200, expect.stringContaining('text/plain')]);
  for (const line of [
    ...['pentimento_jobs_total{outcome="done"} 2', 'pentimento_jobs_total{outcome="failed"} 1'],
    ...['pentimento_phase_seconds_sum{phase="mask"} 0.5', 'pentimento_phase_seconds_count{phase="edit"} 1'],
    ...['pentimento_device_bytes{kind="held"} 1000', 'pentimento_device_bytes{kind="peak"} 2000'],
    ...['pentimento_queue_jobs{state="waiting"} 3', 'pentimento_queue_jobs{state="active"} 1'],
  ])
    expect(text.split('\n')).toContain(line);
  expect(text).not.toContain('decode');
  expect((await fetched(port, '/')).status).toBe(404);
  await expect(metrics.listen(port)).rejects.toThrow('the port cannot be opened');
});

it('is told without the jobs of the queue while its server is away, which is asked once', async () => {
  const metrics = await FleetMetrics.create();
  let asked = 0;
  metrics.counts = () => {
    asked++;
    return new Promise(() => undefined);
  };
  metrics.job('done');
  const texts = [await metrics.text(), await metrics.text()];
  for (const text of texts) {
    expect(text).toContain('pentimento_jobs_total{outcome="done"} 1');
    expect(text).not.toContain('pentimento_queue_jobs{');
  }
  expect(asked).toBe(1);
});

/** The commands of a fleet, with the embedded model: submit, worker, queue. */
import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { resize } from '../../src/io/resize.ts';
import { readImage, saveImage } from '../../src/node/images.ts';
import { pentimento } from '../support/command.ts';
import { type QueueServer, startQueueServer } from '../support/queue-server.ts';

const COUNT = process.env['PENTIMENTO_FULL'] ? 40 : 4;
const EDIT = ['--source', 'a bowl of apples', '--target', 'a bowl of pears', '--seed', '1'];
const QUICK = ['--num-inference-steps', '2', '--num-maps-per-mask', '1', '--size', '64x64'];

let server: QueueServer;
let root: string;
const at = (...names: string[]) => join(root, ...names);
beforeAll(async () => {
  server = await startQueueServer();
  root = await mkdtemp(join(tmpdir(), 'pentimento-commands-'));
  await mkdir(at('in'));
  const apples = await readImage('models/orchard/samples/apples-bowl.png');
  for (let i = 0; i < COUNT; i++) {
    const small = resize(apples, 64, 64, 'box');
    small.data[0] = i;
    await saveImage(at('in', `p${String(i).padStart(2, '0')}.png`), small);
  }
});
afterAll(async () => {
  await server.stop();
  await rm(root, { recursive: true });
});

const queueArgs = (queue: string) => ['--queue', queue, '--redis', server.url];
const worker = (queue: string, output: string, ...more: string[]) => [
  ...[
    'worker',
    ...queueArgs(queue),
    '-o',
    at(output),
    '--allow',
    pathToFileURL(at('in')).href,
    '--until-empty',
    '--lock',
    '3',
  ],
  ...more,
];
const submit = (queue: string, ...more: string[]) => [
  ...['submit', at('in'), ...queueArgs(queue), ...EDIT, ...QUICK, '--json'],
  ...more,
];

/** Pictures by their submitted names, as base64. */
async function results(
  jobs: readonly { id: string; picture: string }[],
  output: string,
): Promise<Record<string, string>> {
  const made: Record<string, string> = {};
  for (const { id, picture } of jobs) {
    const name = picture.slice(-7);
    made[name] = await readFile(at(output, `${id}.png`), 'base64');
    made[name.replace('.png', '.mask.png')] = await readFile(at(output, `${id}.mask.png`), 'base64');
  }
  return made;
}

describe('a fleet', () => {
  it(`makes of ${COUNT} pictures in two workers what one process makes, and nothing when they are submitted again`, async () => {
    const submitted = JSON.parse((await pentimento(submit('two'))).stdout);
    expect(submitted.jobs.map(({ state }: { state: string }) => state)).toEqual(Array(COUNT).fill('added'));
    const runs = await Promise.all([pentimento(worker('two', 'two')), pentimento(worker('two', 'two'))]);
    expect(runs.map(({ code }) => code)).toEqual([0, 0]);
    // Opened for its key and for its work, and told of once.
    for (const { stderr } of runs) expect(stderr.match(/^Using the embedded model\./gm)).toHaveLength(1);
    const alone = await pentimento(['edit', at('in'), '-o', at('alone'), ...EDIT, ...QUICK]);
    expect(alone.code).toBe(0);
    const made = await results(submitted.jobs, 'two');
    for (const [name, bytes] of Object.entries(made))
      expect(await readFile(at('alone', name), 'base64'), name).toBe(bytes);
    const done = runs.flatMap(({ stderr }) => stderr.match(/^done: /gm) ?? []);
    expect(done).toHaveLength(COUNT);

    const again = await pentimento(submit('two', '--wait'));
    expect(again.code).toBe(0);
    expect(again.stderr).toContain(`${COUNT} done before`);
    const { stdout } = await pentimento(['queue', ...queueArgs('two')]);
    expect(stdout).toMatch(
      new RegExp(
        `^orchard \\(embedded\\), key [0-9a-f]{64}: 0 waiting, 0 active, 0 delayed, ${COUNT} completed, 0 failed$`,
        'm',
      ),
    );
  });

  it('loses no job and doubles none where a worker is killed in the middle of an edit', async () => {
    const submitted = JSON.parse((await pentimento(submit('killed'))).stdout);
    const args = [
      '--import',
      './test/support/run-typescript.mjs',
      'src/cli/main.ts',
      ...worker('killed', 'killed', '--json'),
    ];
    // As the bin starts itself: with a channel, so that no process stands between the test and the worker.
    const child = spawn(process.execPath, args, {
      stdio: ['ignore', 'pipe', 'ignore', 'ignore', 'ipc'],
      env: { ...process.env, PENTIMENTO_CHILD: 'pipe' },
    });
    let said = '';
    child.stdout?.on('data', (text: Buffer) => {
      said += text.toString();
      // In the second edit, so that one is done.
      if ((said.match(/"type":"begun"/g) ?? []).length === 2) child.kill('SIGKILL');
    });
    await new Promise(done => child.once('exit', done));
    const before = (await readdir(at('killed'))).filter(name => name.endsWith('.json'));
    expect(before).toHaveLength(1);
    const { code, stderr } = await pentimento(worker('killed', 'killed'));
    expect(code).toBe(0);
    expect(stderr.match(/^done: /gm)).toHaveLength(COUNT - 1);
    expect(await results(submitted.jobs, 'killed')).toEqual(await results(submitted.jobs, 'two'));
    const { stdout } = await pentimento(['queue', ...queueArgs('killed'), '--json']);
    expect(JSON.parse(stdout).models[0].jobs).toMatchObject({ completed: COUNT, failed: 0, waiting: 0, active: 0 });
  });

  it('is told what is left out of a jobs file, and refuses what workers cannot find', async () => {
    await writeFile(at('jobs.jsonl'), `${JSON.stringify({ image: 'in/p00.png', output: 'a.png' })}\n`);
    const common = [...queueArgs('told'), ...EDIT, ...QUICK, '--model-key', 'a'.repeat(64)];
    const { code, stderr } = await pentimento(['submit', '--jobs', at('jobs.jsonl'), ...common]);
    expect([code, stderr]).toEqual([0, expect.stringContaining('names outputs, which are left out')]);
    const data = await pentimento(['submit', 'data:image/png;base64,aaaa', ...common]);
    expect([data.code, data.stderr]).toEqual([
      2,
      'error: submit: workers cannot find this picture: expected file, http or https, got data. Save it as a file first.\n',
    ]);
  });

  it('tells which failed and why, and tries them again when asked', async () => {
    await writeFile(at('in', 'broken.png'), 'no picture');
    const lines = [{ picture: 'in/broken.png', source: 'a', target: 'b' }];
    await writeFile(at('jobs.jsonl'), lines.map(line => JSON.stringify(line)).join('\n'));
    const again = ['submit', '--jobs', at('jobs.jsonl'), ...queueArgs('broken'), ...QUICK];
    expect((await pentimento(again)).code).toBe(0);
    expect((await pentimento(worker('broken', 'broken'))).code).toBe(0);
    const waited = await pentimento([...again, '--wait']);
    await rm(at('in', 'broken.png'));
    expect(waited.code).toBe(3);
    expect(waited.stderr).toMatch(/^failed: [0-9a-f]{12} file:.*broken\.png: /m);
    const retried = await pentimento(['queue', ...queueArgs('broken'), '--retry']);
    expect(retried.stdout).toMatch(/1 waiting.*\n1 wait once more/);
  });
});

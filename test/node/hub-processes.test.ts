/** Several processes and one cache: whoever is killed, what lands is whole. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { fetchModel } from '../../src/node/hub.ts';
import { COMMIT, type FakeHub, fakeHub, HUB_VARIABLES, sha256, UNET } from '../support/hub.ts';

const WEIGHTS = Array.from({ length: 20_000 }, (_, i) => `line ${i}\n`).join('');
let hub: FakeHub;
let cacheDir: string;
beforeAll(async () => {
  hub = await fakeHub();
  cacheDir = await mkdtemp(join(tmpdir(), 'pentimento-hub-'));
});
afterAll(async () => {
  hub.close();
  await rm(cacheDir, { recursive: true });
});

/** A process that fetches the model. */
function fetching(): { child: ChildProcess; ended: Promise<string> } {
  const script = `import { fetchModel } from './src/node/hub.ts';
    const options = { hubUrl: '${hub.url}', cacheDir: '${cacheDir}', onWarning: () => {} };
    console.log(await fetchModel('someone/small', options));`;
  const args = ['--import', './test/support/run-typescript.mjs', '--input-type=module', '--eval', script];
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !HUB_VARIABLES.includes(name)));
  const child = spawn(process.execPath, args, { env: { ...env, HF_HOME: join(cacheDir, 'home') } });
  const said: string[] = [];
  child.stdout.on('data', text => said.push(String(text)));
  child.stderr.on('data', text => said.push(String(text)));
  return { child, ended: new Promise(done => child.on('close', () => done(said.join('')))) };
}

it('processes that fetch one model at once, one of them killed in the middle, leave it whole and fetch it once', async () => {
  hub.files[UNET] = WEIGHTS;
  let first: (() => void) | undefined;
  const begun = new Promise<void>(done => {
    first = done;
  });
  hub.filesMood = (request, response, path) => {
    if (path !== UNET || request.headers.range !== undefined) return false;
    // The first to ask gets half, and then nothing.
    response.writeHead(200, { 'content-length': WEIGHTS.length }).write(WEIGHTS.slice(0, WEIGHTS.length / 2));
    setTimeout(() => first?.(), 200);
    return true;
  };
  const all = [fetching(), fetching(), fetching()];
  await begun;
  const part = (await readdir(join(cacheDir, 'models--someone--small', 'blobs'))).find(name =>
    name.startsWith(sha256(WEIGHTS)),
  );
  const owner = all.find(({ child }) => part?.includes(`-${child.pid}-`));
  owner?.child.kill('SIGKILL');
  const folder = join(cacheDir, 'models--someone--small', 'snapshots', COMMIT);
  const said = await Promise.all(all.map(({ ended }) => ended));
  expect(said.filter(text => text === `${folder}\n`)).toHaveLength(2);
  expect(await readFile(join(folder, UNET), 'utf8')).toBe(WEIGHTS);
  const asked = hub.seen.filter(r => r.path === `/${UNET}`);
  expect(asked.map(r => r.range)).toEqual([undefined, expect.stringMatching(/^bytes=[1-9]\d*-$/)]);
  const blobs = await readdir(join(cacheDir, 'models--someone--small', 'blobs'));
  expect(blobs.filter(name => name.includes('incomplete'))).toEqual([]);
  expect(await fetchModel('someone/small', { hubUrl: hub.url, cacheDir })).toBe(folder);
});

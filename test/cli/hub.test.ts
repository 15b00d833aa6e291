/** Models of the Hub on the command line: what a person sees when it does not work out. */
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it, vi } from 'vitest';
import { pentimento } from '../support/command.ts';
import { type FakeHub, fakeHub, HUB_VARIABLES } from '../support/hub.ts';

const APPLES = 'models/orchard/samples/apples-bowl.png';
let hub: FakeHub;
let root: string;
beforeAll(async () => {
  hub = await fakeHub();
});
afterAll(() => hub.close());
beforeEach(async () => {
  hub.reset();
  for (const name of HUB_VARIABLES) vi.stubEnv(name, undefined);
  root = await mkdtemp(join(tmpdir(), 'pentimento-cli-hub-'));
  vi.stubEnv('HF_HOME', root);
  vi.stubEnv('HF_ENDPOINT', hub.url);
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(root, { recursive: true });
});

const edit = (options: Parameters<typeof pentimento>[1] = {}) =>
  pentimento(
    [
      'edit',
      APPLES,
      '--source',
      'apples',
      '--target',
      'pears',
      '-o',
      join(root, 'out.png'),
      '--model',
      'someone/small',
    ],
    options,
  );

it('a refusal is one line with the next thing to do, and the environment is heeded', async () => {
  vi.stubEnv('HF_TOKEN', 'hf_secret');
  hub.mood = (_request, response) => {
    response.writeHead(403, { 'x-error-code': 'GatedRepo' }).end();
    return true;
  };
  const { code, stdout, stderr } = await edit();
  expect([code, stdout]).toEqual([2, '']);
  expect(stderr).toMatch(/^error: fetchModel: the model is gated, and the account of the token \(HF_TOKEN\).*\n$/);
  expect(stderr).not.toContain('hf_secret');
  expect(hub.seen[0].authorization).toBe('Bearer hf_secret');
  vi.stubEnv('HF_HUB_OFFLINE', '1');
  expect((await edit()).stderr).toMatch(
    /^error: fetchModel: the cache does not hold the whole model, and HF_HUB_OFFLINE=1/,
  );
  expect(hub.seen.length).toBe(1);
});

it('a Hub that is down is a line of warning where the cache is whole', async () => {
  await edit(); // the weights are none, but they are in the cache
  hub.mood = (_request, response) => {
    response.writeHead(503).end();
    return true;
  };
  const { stderr } = await edit();
  expect(stderr).toMatch(
    /^fetchModel: the Hub is out of order: got status 503 .* What the cache holds of someone\/small at main is used/,
  );
});

it('Ctrl-C ends a download', async () => {
  const controller = new AbortController();
  hub.filesMood = () => {
    controller.abort();
    return true;
  };
  const { code, stderr } = await edit({ signal: controller.signal });
  expect([code, stderr]).toEqual([130, 'interrupted, nothing was written\n']);
  expect(await readdir(root)).toEqual(['hub']);
});

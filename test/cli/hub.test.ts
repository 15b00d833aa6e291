/** Models of the Hub on the command line: what a person sees when it does not work out. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, expect, it, vi } from 'vitest';
import { pentimento } from '../support/command.ts';
import { embeddedFiles, hubScene } from '../support/hub.ts';

const APPLES = 'models/orchard/samples/apples-bowl.png';
const scene = await hubScene();
const { hub } = scene;
beforeEach(() => void vi.stubEnv('HF_ENDPOINT', hub.url));

const edit = (options: Parameters<typeof pentimento>[1] = {}, ...more: string[]) =>
  pentimento(
    [
      'edit',
      APPLES,
      '--source',
      'apples',
      '--target',
      'pears',
      '-o',
      join(scene.home, 'out.png'),
      '--model',
      'someone/small',
      ...more,
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
  await scene.fetchSmall(); // the weights are none, but they are in the cache
  hub.mood = (_request, response) => {
    response.writeHead(503).end();
    return true;
  };
  const { stderr } = await edit();
  expect(stderr).toMatch(
    /^fetchModel: the Hub is out of order: got status 503 .* What the cache holds of someone\/small at main is used/,
  );
});

it.each([
  ['a size that does not fit', ['--size', '100x128'], /Pass --size 96x128\./],
  ['a strength that leaves no step', ['--inpaint-strength', '0.01'], /leave no step/],
  ['more steps than were trained', ['--num-inference-steps', '1001'], /from 1 to 1000, got 1001/],
])('%s is refused before weights are downloaded', async (_what, more, said) => {
  hub.files = embeddedFiles();
  const { code, stderr } = await edit({}, ...more);
  expect([code, stderr]).toEqual([2, expect.stringMatching(said)]);
  const ranges = hub.seen.filter(r => r.server === 'files').map(r => /^bytes=(\d+)-(\d+)$/.exec(r.range ?? ''));
  const bytes = ranges.map(range => (range ? Number(range[2]) - Number(range[1]) + 1 : Number.POSITIVE_INFINITY));
  expect(bytes.reduce((sum, length) => sum + length, 0)).toBeLessThan(1.5 * 2 ** 20);
  expect(hub.seen.length).toBeLessThan(30);
});

it('a plan reads configs and headers by a few requests, and keeps nothing', async () => {
  hub.files = embeddedFiles();
  const kept = await readdir(scene.home, { recursive: true });
  const { code, stdout } = await pentimento(['plan', '--model', 'someone/small', '--default-limits', '--json']);
  expect(code).toBe(0);
  expect(JSON.parse(stdout).plan.peakBytes).toBeGreaterThan(2 ** 24);
  expect(hub.seen.length).toBeLessThanOrEqual(20);
  expect(await readdir(scene.home, { recursive: true })).toEqual(kept);
});

it('Ctrl-C ends the reading of headers, and a download', async () => {
  hub.files = embeddedFiles();
  let files = 0;
  for (const wanted of [1, 7]) {
    const controller = new AbortController();
    hub.filesMood = () => {
      if (++files < wanted) return false;
      controller.abort();
      return true;
    };
    const { code, stderr } = await edit({ signal: controller.signal });
    expect([code, stderr.replace(/^.*(MB|the model recommends).*\n/gm, '')]).toEqual([
      130,
      'interrupted, nothing was written\n',
    ]);
    expect(files).toBe(wanted);
    files = 0;
  }
  expect(await readdir(scene.home)).toEqual(['hub']);
});

import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { fetchModel } from '../../src/node/hub.ts';
import { COMMIT, hubScene, type Mood, nowhere, UNET } from '../support/hub.ts';

const scene = await hubScene();
const { hub, fetchSmall, warnings } = scene;
const messageOf = async (options = {}) =>
  (await fetchSmall(options).catch(e => e)).message
    .replaceAll(hub.url, 'HUB')
    .replaceAll(/127\.0\.0\.1:\d+/g, 'NOWHERE');
const refuse =
  (status: number, headers: Record<string, string | number> = {}): Mood =>
  (_request, response) => {
    response.writeHead(status, headers).end('{}');
    return true;
  };

describe('a refusal says what to do', () => {
  it('401 without a token, and with one', async () => {
    hub.mood = refuse(401);
    expect(await messageOf()).toMatchInlineSnapshot(
      `"fetchModel: the Hub asks for a login: got status 401 (someone/small at main). The model is private or gated, or there is none of this name: check it at HUB/someone/small, accept its terms if it has some, and set HF_TOKEN to a token of your account, or run \`hf auth login\`."`,
    );
    vi.stubEnv('HF_TOKEN', 'hf_x');
    expect(await messageOf()).toMatchInlineSnapshot(
      `"fetchModel: the Hub does not accept the token (HF_TOKEN): got status 401 (someone/small at main). Make a new one at HUB/settings/tokens; public models need none."`,
    );
  });

  it('a gated model, whose files alone are refused', async () => {
    hub.mood = (request, response, path) =>
      path.includes('/resolve/') &&
      refuse(request.headers.authorization ? 403 : 401, { 'x-error-code': 'GatedRepo' })(request, response, path);
    expect(await messageOf()).toMatchInlineSnapshot(
      `"fetchModel: the model is gated: got status 401 (someone/small at main). Accept its terms at HUB/someone/small, then set HF_TOKEN to a token of your account, or run \`hf auth login\`."`,
    );
    vi.stubEnv('HF_TOKEN', 'hf_x');
    expect(await messageOf()).toMatchInlineSnapshot(
      `"fetchModel: the model is gated, and the account of the token (HF_TOKEN) has no access: got status 403 (someone/small at main). Accept its terms at HUB/someone/small with that account and wait where its owner decides by hand; a fine-grained token needs the right to read gated models too."`,
    );
  });

  it('403 for other reasons', async () => {
    hub.mood = refuse(403);
    expect(await messageOf()).toMatchInlineSnapshot(
      `"fetchModel: the Hub refuses access to the model: got status 403 (someone/small at main). See HUB/someone/small: accept its terms if it has some, and set HF_TOKEN; or a proxy refuses in the Hub's place."`,
    );
    vi.stubEnv('HF_TOKEN', 'hf_x');
    expect(await messageOf()).toMatchInlineSnapshot(
      `"fetchModel: the token (HF_TOKEN) may not read the model: got status 403 (someone/small at main). Give it the right to read someone/small at HUB/settings/tokens."`,
    );
  });

  it('404: no such model, no such revision', async () => {
    hub.mood = refuse(404, { 'x-error-code': 'RepoNotFound' });
    expect(await messageOf()).toMatchInlineSnapshot(
      `"fetchModel: there is no such model: got status 404 (someone/small at main). Check the name at HUB/someone/small. A private one is shown only to those who may read it: set HF_TOKEN to a token of your account, or run \`hf auth login\`."`,
    );
    hub.mood = refuse(404, { 'x-error-code': 'RevisionNotFound' });
    expect(await messageOf({ revision: 'v9' })).toMatchInlineSnapshot(
      `"fetchModel: the model has no such revision: got status 404 (someone/small at v9). Name a branch, tag or commit that is listed at HUB/someone/small/commits/main."`,
    );
  });

  it('429 and 503 after waiting as long as they say', async () => {
    hub.mood = refuse(429, { 'retry-after': 0 });
    expect(await messageOf()).toMatchInlineSnapshot(
      `"fetchModel: the Hub was asked too often: got status 429 (someone/small at main). Try again in 1 s; users with a token (HF_TOKEN) may ask more often."`,
    );
    expect(hub.seen.length).toBe(4);
    hub.mood = refuse(503, { 'retry-after': new Date(Date.now() - 1000).toUTCString() });
    expect(await messageOf()).toMatchInlineSnapshot(
      `"fetchModel: the Hub is out of order: got status 503 (someone/small at main). Try again in 1 s."`,
    );
    hub.seen.length = 0;
    hub.mood = refuse(429, { ratelimit: '"api";r=0;t=3600' }); // longer than anyone waits unasked
    expect(await messageOf()).toContain('Try again in 3600 s');
    expect(hub.seen.length).toBe(1);
  });

  it('waits and goes on where the Hub was busy for a moment', async () => {
    let busy = 2;
    hub.mood = (request, response, path) => busy-- > 0 && refuse(503, { 'retry-after': 0.01 })(request, response, path);
    expect(await fetchSmall()).toContain(COMMIT);
  });

  it('an address where nothing listens, and one that never answers', async () => {
    expect(await messageOf({ hubUrl: await nowhere() })).toMatchInlineSnapshot(
      `"fetchModel: http://NOWHERE cannot be reached: got connect ECONNREFUSED NOWHERE (someone/small at main). Check the connection, or download the folder yourself and name it."`,
    );
    vi.stubEnv('HF_HUB_ETAG_TIMEOUT', '0.1');
    hub.mood = () => true;
    expect(await messageOf()).toMatchInlineSnapshot(
      `"fetchModel: HUB is silent: got nothing for 0.1 s (someone/small at main). Check the connection, or download the folder yourself and name it."`,
    );
  });

  it('what a proxy between needs', async () => {
    const failed = (code: string) => () =>
      Promise.reject(
        Object.assign(new TypeError('fetch failed'), { cause: Object.assign(new RangeError(`is ${code}`), { code }) }),
      );
    try {
      vi.stubGlobal('fetch', failed('SELF_SIGNED_CERT_IN_CHAIN'));
      expect(await messageOf()).toMatchInlineSnapshot(
        `"fetchModel: HUB cannot be reached: got is SELF_SIGNED_CERT_IN_CHAIN (someone/small at main). Set NODE_EXTRA_CA_CERTS to the certificate of the proxy between, or download the folder yourself and name it."`,
      );
      vi.stubGlobal('fetch', failed('ENOTFOUND'));
      vi.stubEnv('HTTPS_PROXY', 'http://proxy.example:8080');
      expect(await messageOf()).toMatchInlineSnapshot(
        `"fetchModel: HUB cannot be reached: got is ENOTFOUND (someone/small at main). HTTPS_PROXY is set, which Node heeds from version 24 on with NODE_USE_ENV_PROXY=1: set that too, or download the folder yourself and name it."`,
      );
    } finally {
      vi.unstubAllGlobals();
    }
  });

  it('a page of a proxy in the place of the Hub, and endless redirects', async () => {
    hub.mood = (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/html' }).end('<html>Please sign in</html>');
      return true;
    };
    expect(await messageOf()).toMatchInlineSnapshot(
      `"fetchModel: what answers in the place of the Hub is something else: got a web page (someone/small at main). Open HUB in a browser: a proxy may ask you to sign in. Check HF_ENDPOINT if it is set."`,
    );
    hub.mood = (_request, response) => {
      response.writeHead(302, { location: '/again' }).end();
      return true;
    };
    expect(await messageOf()).toContain('something else: got more than 10 redirects');
    hub.mood = (_request, response) => {
      response.end('{"sha": 7');
      return true;
    };
    expect(await messageOf()).toContain('something else: got text that is no listing');
  });

  it('a server of files that refuses', async () => {
    hub.filesMood = refuse(403);
    expect(await messageOf()).toMatchInlineSnapshot(
      `"fetchModel: the server that holds the file refuses it: got status 403 (someone/small at main). Try again; what has arrived is kept."`,
    );
  });
});

describe('a complete cache stands in', () => {
  const moods: [string, Mood][] = [
    ['401', refuse(401)],
    ['403', refuse(403, { 'x-error-code': 'GatedRepo' })],
    ['404', refuse(404, { 'x-error-code': 'RepoNotFound' })],
    ['429', refuse(429, { 'retry-after': 30 })],
    ['500', refuse(500)],
    ['503', refuse(503)],
    ['silence', () => true],
    ['a broken connection', (_request, response) => response.destroy() !== undefined],
    ['silence in the middle', (_request, response) => response.writeHead(200).write('{"sha"') || true],
    [
      'a web page',
      (_request, response) => {
        response.setHeader('content-type', 'text/html').end('<p>');
        return true;
      },
    ],
  ];
  it.each(moods)('for a Hub that answers with %s, at once and with a warning', async (_name, mood) => {
    const folder = await fetchSmall();
    vi.stubEnv('HF_HUB_ETAG_TIMEOUT', '0.1');
    vi.stubEnv('HF_HUB_DOWNLOAD_TIMEOUT', '0.1');
    hub.mood = mood;
    expect(await fetchSmall()).toBe(folder);
    expect(warnings).toEqual([
      expect.stringMatching(/^fetchModel: .* What the cache holds of someone\/small at main is used/),
    ]);
  });

  it('for no network, and for a file that does not come', async () => {
    const folder = await fetchSmall();
    expect(await fetchSmall({ hubUrl: await nowhere() })).toBe(folder);
    hub.commit = 'b'.repeat(40);
    hub.files[UNET] = 'newer weights';
    vi.stubEnv('HF_HUB_ETAG_TIMEOUT', '0.1');
    hub.filesMood = () => true;
    expect(await fetchSmall()).toBe(folder);
    expect(warnings.length).toBe(2);
  });

  it('but not where the revision does not exist, nor where a network is missing', async () => {
    const folder = await fetchSmall();
    hub.mood = refuse(404, { 'x-error-code': 'RevisionNotFound' });
    await expect(fetchSmall()).rejects.toThrow(/no such revision/);
    await rm(join(folder, UNET));
    hub.mood = refuse(401);
    await expect(fetchSmall()).rejects.toThrow(/asks for a login/);
  });
});

describe('without asking', () => {
  it('HF_HUB_OFFLINE takes the cache, or names what it lacks', async () => {
    const folder = await fetchSmall();
    hub.seen.length = 0;
    vi.stubEnv('HF_HUB_OFFLINE', '1');
    expect(await fetchSmall()).toBe(folder);
    await rm(join(folder, UNET));
    await rm(join(folder, 'tokenizer', 'merges.txt'));
    expect((await messageOf()).replace(scene.cacheDir, 'CACHE')).toMatchInlineSnapshot(
      `"fetchModel: the cache does not hold the whole model, and HF_HUB_OFFLINE=1 forbids to ask the Hub: got no tokenizer/merges.txt; no unet/weights (someone/small at main, CACHE). Take the variable out of the environment, or name a folder."`,
    );
    const nothing = await fetchModel('someone/other', { cacheDir: scene.cacheDir, hubUrl: hub.url }).catch(e => e);
    expect(nothing.message.replace(scene.cacheDir, 'CACHE')).toMatchInlineSnapshot(
      `"fetchModel: the cache does not hold the whole model, and HF_HUB_OFFLINE=1 forbids to ask the Hub (someone/other at main, CACHE). Take the variable out of the environment, or name a folder."`,
    );
    expect(hub.seen).toEqual([]);
    expect(await readdir(scene.cacheDir)).toEqual(['models--someone--small']);
  });

  it('HF_HUB_OFFLINE knows branches, tags, whole commits and their beginnings', async () => {
    const folder = await fetchSmall({ revision: 'v1.0' });
    vi.stubEnv('HF_HUB_OFFLINE', 'true');
    for (const revision of ['v1.0', COMMIT, COMMIT.slice(0, 8)]) expect(await fetchSmall({ revision })).toBe(folder);
    await expect(fetchSmall()).rejects.toThrow(/the cache does not hold the whole model/);
    await expect(fetchSmall({ revision: 'aaaa' })).rejects.toThrow(/does not hold/);
  });

  it('a whole commit is taken from the cache, online too', async () => {
    const folder = await fetchSmall();
    hub.seen.length = 0;
    expect(await fetchSmall({ revision: COMMIT })).toBe(folder);
    expect(hub.seen).toEqual([]);
  });

  it('but asks for a commit whose variant may only be missing in the cache', async () => {
    await fetchSmall();
    const folder = await fetchSmall({ revision: COMMIT, variant: 'fp16' });
    expect(await readdir(join(folder, 'unet'))).toContain('diffusion_pytorch_model.fp16.safetensors');
  });

  it('knows an index without all of its shards for incomplete', async () => {
    const shards = [1, 2].map(n => `unet/diffusion_pytorch_model-0000${n}-of-00002.safetensors`);
    delete hub.files[UNET];
    delete hub.files['unet/diffusion_pytorch_model.bin'];
    for (const shard of shards) hub.files[shard] = shard;
    const map = Object.fromEntries(shards.map((shard, i) => [`t${i}`, shard.slice(5)]));
    hub.files['unet/diffusion_pytorch_model.safetensors.index.json'] = JSON.stringify({ weight_map: map });
    const folder = await fetchSmall();
    vi.stubEnv('HF_HUB_OFFLINE', '1');
    expect(await fetchSmall()).toBe(folder);
    await rm(join(folder, shards[1]));
    expect(await messageOf()).toContain(`got no ${shards[1]} (`);
  });
});

describe('the signal', () => {
  it.each([
    ['before anything', (): Mood => () => true],
    ['while the Hub is silent', (): Mood => () => true],
    ['while it is waited for', (): Mood => refuse(503, { 'retry-after': 30 })],
    ['in the middle of a listing', (): Mood => (_request, response) => response.writeHead(200).write('[') || true],
  ])('ends a download %s', async (name, mood) => {
    const controller = new AbortController();
    hub.mood = mood();
    if (name === 'before anything') controller.abort(new DOMException('enough', 'AbortError'));
    const failed = fetchSmall({ signal: controller.signal });
    setTimeout(() => controller.abort(new DOMException('enough', 'AbortError')), 100);
    await expect(failed).rejects.toThrow('enough');
  });
});

import { mkdir, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { HubClient } from '../../src/node/hub-request.ts';
import { hubSettings } from '../../src/node/hub-settings.ts';
import { hubScene, nowhere } from '../support/hub.ts';

const SECRET = 'hf_TheSecretOfThisTest';
const scene = await hubScene();
const { hub, fetchSmall, onWarning, warnings } = scene;
const settings = () => hubSettings({}, onWarning);

describe('the token', () => {
  it('is looked for where huggingface_hub looks, in its order', async () => {
    const found = async () => (await settings()).token;
    expect(await found()).toBeUndefined();
    await writeFile(join(scene.home, 'token'), 'hf_stored\n');
    expect(await found()).toEqual({ value: 'hf_stored', from: join(scene.home, 'token') });
    await writeFile(join(scene.home, 'elsewhere'), '  hf_elsewhere\r\n');
    vi.stubEnv('TOKENS', scene.home);
    vi.stubEnv('HF_TOKEN_PATH', '$TOKENS/elsewhere');
    expect((await found())?.value).toBe('hf_elsewhere');
    vi.stubEnv('HUGGING_FACE_HUB_TOKEN', 'hf_old');
    expect(await found()).toEqual({ value: 'hf_old', from: 'HUGGING_FACE_HUB_TOKEN' });
    vi.stubEnv('HF_TOKEN', ' hf_new\n');
    expect(await found()).toEqual({ value: 'hf_new', from: 'HF_TOKEN' });
    vi.stubEnv('HF_TOKEN', ' ');
    expect((await found())?.value).toBe('hf_elsewhere'); // as there: the file, not the older name
    vi.stubEnv('HF_TOKEN', '');
    expect((await found())?.value).toBe('hf_old');
  });

  it.each(['1', 'true', 'Yes', 'ON'])(
    'of the environment is not sent where HF_HUB_DISABLE_IMPLICIT_TOKEN is %s',
    async word => {
      vi.stubEnv('HF_TOKEN', SECRET);
      vi.stubEnv('HF_HUB_DISABLE_IMPLICIT_TOKEN', word);
      expect((await settings()).token).toBeUndefined();
      expect((await hubSettings({ token: 'hf_given' }, onWarning)).token?.value).toBe('hf_given');
      vi.stubEnv('HF_HUB_DISABLE_IMPLICIT_TOKEN', '0');
      expect((await settings()).token?.value).toBe(SECRET);
      expect((await hubSettings({ token: false }, onWarning)).token).toBeUndefined();
    },
  );

  it('is left out with a warning where its file cannot be read', async () => {
    await mkdir(join(scene.home, 'token'));
    expect((await settings()).token).toBeUndefined();
    expect(warnings).toEqual([`The Hub's token is not sent: a folder (${join(scene.home, 'token')}).`]);
  });

  it('goes to the Hub alone: not to where it redirects, and not back from there', async () => {
    vi.stubEnv('HF_TOKEN', SECRET);
    let turned = false;
    hub.filesMood = (_request, response, path) => {
      if (turned || !path.startsWith('vae')) return false;
      turned = true; // back to the Hub once
      response.writeHead(307, { location: `${hub.url}/back` }).end();
      return true;
    };
    hub.mood = (_request, response, path) => {
      if (path !== '/back') return false;
      response.writeHead(302, { location: `${hub.filesUrl}/vae/diffusion_pytorch_model.safetensors` }).end();
      return true;
    };
    await fetchSmall();
    const at = (server: string, back: boolean) =>
      new Set(hub.seen.filter(r => r.server === server && (r.path === '/back') === back).map(r => r.authorization));
    expect(at('hub', false)).toEqual(new Set([`Bearer ${SECRET}`]));
    expect(at('hub', true)).toEqual(new Set([undefined]));
    expect(at('files', false)).toEqual(new Set([undefined]));
    expect(turned).toBe(true);
  });

  it.each([
    ['https://hub.example/moved', true],
    ['/moved', true],
    ['http://hub.example/moved', false],
    ['https://hub.example:8443/moved', false],
    ['https://files.hub.example/moved', false],
    ['https://example/moved', false],
    ['https://hub.example.evil/moved', false],
    ['//evil.example/hub.example', false],
    ['https://hub.example@evil.example/', false],
  ])('of https://hub.example, redirected to %s: %s', async (location, kept) => {
    const asked: [string, string | null][] = [];
    vi.stubGlobal('fetch', async (url: URL, init: RequestInit) => {
      asked.push([url.href, new Headers(init.headers).get('authorization')]);
      expect(init.redirect).toBe('manual');
      return asked.length === 1 ? new Response(null, { status: 302, headers: { location } }) : new Response('{}');
    });
    try {
      const options = { hubUrl: 'https://hub.example', token: SECRET };
      const client = new HubClient(
        await hubSettings(options, onWarning),
        { repoId: 'a/b', revision: 'main' },
        undefined,
        onWarning,
      );
      await (await client.ask('https://hub.example/file')).close();
    } finally {
      vi.unstubAllGlobals();
    }
    expect(asked.map(([, token]) => token)).toEqual([`Bearer ${SECRET}`, kept ? `Bearer ${SECRET}` : null]);
    expect(asked[1][0]).not.toContain('@');
  });

  it.each(['file:///etc/passwd', 'ftp://hub.example/x', 'javascript:alert(1)', 'http://'])(
    'nothing follows a redirect to %s',
    async location => {
      hub.mood = (_request, response) => {
        response.writeHead(302, { location }).end();
        return true;
      };
      await expect(fetchSmall()).rejects.toThrow(/fetchModel: .*status 302/);
      expect(hub.seen.length).toBe(1);
    },
  );

  it('does not follow a listing to another server', async () => {
    vi.stubEnv('HF_TOKEN', SECRET);
    hub.mood = (_request, response, path) => {
      if (!path.includes('/tree/')) return false;
      response.writeHead(200, { link: `<${hub.filesUrl}/next>; rel="next"` }).end('[]');
      return true;
    };
    hub.filesMood = (_request, response) => {
      response.end('[]');
      return true;
    };
    await expect(fetchSmall()).rejects.toThrow(/no weights/);
    expect(hub.seen.map(r => [r.server, r.authorization])).toEqual([
      ['hub', `Bearer ${SECRET}`],
      ['hub', `Bearer ${SECRET}`],
      ['files', undefined],
    ]);
  });

  it('stands in no message, whatever fails', async () => {
    vi.stubEnv('HF_TOKEN', SECRET);
    const errors: unknown[] = [];
    for (const [status, code] of [
      [401, ''],
      [401, 'GatedRepo'],
      [403, 'GatedRepo'],
      [403, ''],
      [404, 'RepoNotFound'],
      [404, 'RevisionNotFound'],
      [407, ''],
      [418, ''],
    ] as const) {
      hub.mood = (request, response) => {
        // A server that sends back whatever it got.
        response.writeHead(status, { 'x-error-code': code, 'x-error-message': String(request.headers.authorization) });
        response.end(JSON.stringify({ error: request.headers.authorization }));
        return true;
      };
      errors.push(await fetchSmall().catch(e => e));
    }
    hub.mood = (_request, response) => response.destroy() !== undefined;
    errors.push(await fetchSmall().catch(e => e));
    errors.push(await fetchSmall({ hubUrl: await nowhere() }).catch(e => e));
    vi.stubEnv('HF_TOKEN', `${SECRET}\u2026`);
    errors.push(await fetchSmall().catch(e => e));
    vi.stubEnv('HF_TOKEN', `${SECRET} ${SECRET}`);
    errors.push(await fetchSmall().catch(e => e));
    for (const error of errors.slice(-2))
      expect(String(error)).toMatch(/holds characters that no token has \(HF_TOKEN\)/);
    errors.push(await fetchSmall({ hubUrl: `https://name:${SECRET}@hub.example` }).catch(e => e));
    errors.push(await fetchSmall({ hubUrl: `file:///${SECRET}` }).catch(e => e));
    expect(errors).toHaveLength(14);
    for (const error of errors as Error[]) {
      expect(error.name).toMatch(/^(WeightsError|InputError)$/);
      expect(`${error.stack} ${JSON.stringify(error)} ${String(error.cause)}`).not.toContain(SECRET);
    }
    expect(warnings.join()).not.toContain(SECRET);
  });
});

describe('the settings', () => {
  it.each([
    [{}, join(homedir(), '.cache', 'huggingface', 'hub')],
    [{ XDG_CACHE_HOME: '/x' }, '/x/huggingface/hub'],
    [{ XDG_CACHE_HOME: '/x', HF_HOME: '/home' }, '/home/hub'],
    [{ HF_HOME: '~/hf' }, join(homedir(), 'hf', 'hub')],
    [{ HF_HOME: '/home', HUGGINGFACE_HUB_CACHE: '/old' }, '/old'],
    [{ HF_HOME: '/home', HUGGINGFACE_HUB_CACHE: '/old', HF_HUB_CACHE: '/new' }, '/new'],
    [{ WHERE: '/disk', HF_HUB_CACHE: ['$', '{WHERE}/hub'].join('') }, '/disk/hub'],
    [{ HF_HUB_CACHE: '' }, join(homedir(), '.cache', 'huggingface', 'hub')],
  ])('keep the cache of %j in %s', async (variables, expected) => {
    vi.stubEnv('HF_HOME', undefined);
    for (const [name, value] of Object.entries(variables)) vi.stubEnv(name, value);
    expect((await hubSettings({ token: false }, onWarning)).cacheDir).toBe(expected);
  });

  it.each([
    [{}, undefined],
    [{ HF_HUB_OFFLINE: '1' }, 'HF_HUB_OFFLINE=1'],
    [{ HF_HUB_OFFLINE: 'yes' }, 'HF_HUB_OFFLINE=yes'],
    [{ HF_HUB_OFFLINE: '2' }, undefined],
    [{ TRANSFORMERS_OFFLINE: 'True' }, 'TRANSFORMERS_OFFLINE=True'],
    [{ HF_HUB_OFFLINE: '', TRANSFORMERS_OFFLINE: 'on' }, 'TRANSFORMERS_OFFLINE=on'],
    [{ HF_HUB_OFFLINE: '0', TRANSFORMERS_OFFLINE: '1' }, undefined],
  ])('are offline with %j: %s', async (variables, expected) => {
    for (const [name, value] of Object.entries(variables)) vi.stubEnv(name, value);
    expect((await settings()).offline).toBe(expected);
  });

  it('take the address and the limits of the environment', async () => {
    expect(await settings()).toMatchObject({ endpoint: 'https://huggingface.co', answerMs: 10_000, silenceMs: 10_000 });
    vi.stubEnv('HF_ENDPOINT', 'HTTPS://Mirror.Example/hub/');
    vi.stubEnv('HF_HUB_ETAG_TIMEOUT', '3');
    vi.stubEnv('HF_HUB_DOWNLOAD_TIMEOUT', 'soon');
    expect(await settings()).toMatchObject({
      ...{ endpoint: 'https://mirror.example/hub', answerMs: 3000, silenceMs: 10_000 },
    });
    vi.stubEnv('HF_ENDPOINT', 'hub.example');
    await expect(settings()).rejects.toThrowErrorMatchingInlineSnapshot(
      `[InputError: fetchModel: HF_ENDPOINT is no address: got text. Write it like https://huggingface.co, or leave it out.]`,
    );
  });
});

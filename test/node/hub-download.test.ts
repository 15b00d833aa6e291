import { spawn } from 'node:child_process';
import { mkdir, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import type { ServerResponse } from 'node:http';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { COMMIT, gitSha1, hubScene, PIPELINE, sendRange, sha256, UNET } from '../support/hub.ts';

const WEIGHTS = PIPELINE[UNET];
const HALF = WEIGHTS.slice(0, 30);
const scene = await hubScene();
const { hub, root, fetchSmall, warnings } = scene;
const blobs = () => join(root(), 'blobs');
const rest = () => join(blobs(), `${sha256(WEIGHTS)}.pentimento.incomplete`);
const weightsIn = (folder: string) => readFile(join(folder, UNET), 'utf8');
const rangesOfUnet = () => hub.seen.filter(r => r.server === 'files' && r.path === `/${UNET}`).map(r => r.range);
const unfinished = async () => (await readdir(blobs())).filter(name => name.endsWith('.incomplete'));

/** Sends so much of the UNet's weights, then what `end` does. */
const breakAfter = (text: string, end: (response: ServerResponse) => void, times = 1) => {
  hub.filesMood = (request, response, path) => {
    if (path !== UNET || times-- <= 0) return false;
    const from = Number(/\d+/.exec(request.headers.range ?? '')?.[0] ?? 0);
    response.setHeader('etag', `"of /${UNET}"`);
    if (from > 0) response.writeHead(206, { 'content-range': `bytes ${from}-${WEIGHTS.length - 1}/${WEIGHTS.length}` });
    else response.writeHead(200, { 'content-length': WEIGHTS.length });
    response.write(text.slice(from), () => end(response));
    return true;
  };
};
const drop = (response: ServerResponse) => void response.destroy();
const leaveHalf = async () => {
  await mkdir(blobs(), { recursive: true });
  await writeFile(rest(), HALF);
  hub.seen.length = 0;
};

describe('a download that breaks', () => {
  it('goes on by range, if the file is still the same', async () => {
    breakAfter(HALF, drop);
    const bytes: number[] = [];
    expect(await weightsIn(await fetchSmall({ onProgress: e => bytes.push(e.bytes) }))).toBe(WEIGHTS);
    expect(rangesOfUnet()).toEqual([undefined, 'bytes=30-']);
    expect(hub.seen.find(r => r.range === 'bytes=30-' && r.server === 'files')?.ifRange).toBe(`"of /${UNET}"`);
    expect([...bytes].sort((a, b) => a - b)).toEqual(bytes);
    expect(await unfinished()).toEqual([]);
  });

  it('goes on after silence', async () => {
    vi.stubEnv('HF_HUB_DOWNLOAD_TIMEOUT', '0.1');
    breakAfter(HALF, () => undefined);
    expect(await weightsIn(await fetchSmall())).toBe(WEIGHTS);
  });

  it('is kept for the next call, which asks for the rest alone', async () => {
    vi.stubEnv('HF_HUB_DOWNLOAD_TIMEOUT', '0.1');
    breakAfter(HALF, drop, 9);
    await expect(fetchSmall()).rejects.toThrow(/cannot be reached/);
    expect(await readFile(rest(), 'utf8')).toBe(HALF);
    hub.reset();
    expect(await weightsIn(await fetchSmall())).toBe(WEIGHTS);
    expect(rangesOfUnet()).toEqual(['bytes=30-']);
    expect(await unfinished()).toEqual([]);
  });

  it('is kept where the signal ends it', async () => {
    const controller = new AbortController();
    breakAfter(HALF, () => controller.abort(new DOMException('enough', 'AbortError')));
    await expect(fetchSmall({ signal: controller.signal })).rejects.toThrow('enough');
    expect(HALF.startsWith(await readFile(rest(), 'utf8').catch(() => ''))).toBe(true);
    expect(await weightsIn(await fetchSmall())).toBe(WEIGHTS);
  });

  it('begins anew where the server gives no ranges, or another one', async () => {
    for (const answer of ['whole', 'other', 'beyond']) {
      await leaveHalf();
      let first = true;
      hub.filesMood = (request, response, path) => {
        if (path !== UNET || !(first || answer === 'whole')) return false;
        first = false;
        if (answer === 'other') response.writeHead(206, { 'content-range': 'bytes 1-5/99' }).end('abcde');
        else if (answer === 'beyond') response.writeHead(416).end();
        else sendRange(Object.assign(request, { headers: {} }), response, WEIGHTS, '"x"');
        return true;
      };
      expect(await weightsIn(await fetchSmall())).toBe(WEIGHTS);
      await rm(root(), { recursive: true });
    }
  });

  it('begins anew where what was left is damaged, or too long', async () => {
    const cases: [string, (string | undefined)[]][] = [
      [`X${HALF.slice(1)}`, ['bytes=30-', undefined]],
      [`${WEIGHTS} and more`, [undefined]],
      [`X${WEIGHTS.slice(1)}`, [undefined]],
    ];
    for (const [damage, ranges] of cases) {
      await leaveHalf();
      await writeFile(rest(), damage);
      expect(await weightsIn(await fetchSmall())).toBe(WEIGHTS);
      expect(rangesOfUnet()).toEqual(ranges);
      expect(await unfinished()).toEqual([]);
      await rm(root(), { recursive: true });
    }
  });
});

describe('a file that is not what the Hub says', () => {
  const put = (answer: (response: ServerResponse) => void) => {
    hub.filesMood = (_request, response, path) => {
      if (path === UNET) answer(response);
      return path === UNET;
    };
  };
  const kept = async () => readdir(join(root(), 'snapshots', COMMIT, 'unet'));

  it.each([
    ['one letter is another', (r: ServerResponse) => r.end(`X${WEIGHTS.slice(1)}`), 'another checksum'],
    ['it is short', (r: ServerResponse) => r.end(HALF), '30 of 80 bytes'],
    ['it is short, and its length is not told', (r: ServerResponse) => r.write(HALF) && r.end(), '30 of 80 bytes'],
    ['it is long', (r: ServerResponse) => r.write(`${WEIGHTS}, and more`) && r.end(), 'more than 80 bytes'],
    ['it is empty', (r: ServerResponse) => r.end(), '0 of 80 bytes'],
    [
      'it is a web page',
      (r: ServerResponse) => r.setHeader('content-type', 'text/html').end('<p>Sign in</p>'),
      'a web page in its place, maybe of a proxy that asks to sign in',
    ],
    [
      'it is a pointer of Git LFS',
      (r: ServerResponse) => r.end('version https://git-lfs.github.com/spec/v1\n'),
      '43 of 80 bytes',
    ],
  ])('is not kept: %s', async (_name, answer, received) => {
    put(answer);
    vi.stubEnv('HF_HUB_DOWNLOAD_TIMEOUT', '0.1');
    const error = await fetchSmall().catch(e => e);
    expect(error.message).toContain(`a file did not arrive whole`);
    expect(error.message).toContain(`got ${received} (someone/small/${UNET})`);
    expect(error.name).toBe('WeightsError');
    expect(await kept()).toEqual(['config.json']);
    hub.filesMood = () => false;
    expect(await weightsIn(await fetchSmall())).toBe(WEIGHTS);
  });

  it('is noticed in small files too, by the hash that git gives them', async () => {
    hub.mood = (_request, response, path) => {
      if (!path.endsWith('/unet/config.json')) return false;
      response.end('{"a": 2}');
      return true;
    };
    await expect(fetchSmall()).rejects.toThrow(
      `a file did not arrive whole: expected ${gitSha1('{"a": 1}')}, got another checksum (someone/small/unet/config.json)`,
    );
  });

  it('is noticed by the ETag alone where the listing has no hashes', async () => {
    hub.mood = (_request, response, path) => {
      if (!path.includes('/tree/')) return false;
      const files = Object.entries(PIPELINE).map(([p, text]) => ({
        type: 'file',
        path: p,
        size: text.length,
        oid: '0',
      }));
      response.end(JSON.stringify(files));
      return true;
    };
    put(response => response.end(`X${WEIGHTS.slice(1)}`));
    await expect(fetchSmall()).rejects.toThrow(/another checksum/);
    hub.filesMood = () => false;
    expect(await weightsIn(await fetchSmall())).toBe(WEIGHTS);
  });
});

describe('a cache that cannot be written', () => {
  it('is named', async () => {
    await writeFile(root(), 'a file in its place');
    await expect(fetchSmall()).rejects.toThrow(/^fetchModel: the cache cannot be written: got .*\. Make room or give/);
  });
});

describe('two at once', () => {
  it('in one process share a download', async () => {
    let sent = 0;
    hub.filesMood = (request, response, path) => {
      if (path !== UNET) return false;
      sent++;
      setTimeout(() => sendRange(request, response, WEIGHTS, '"x"'), 100);
      return true;
    };
    const folders = await Promise.all([fetchSmall(), fetchSmall(), fetchSmall()]);
    expect(new Set(folders).size).toBe(1);
    expect(await weightsIn(folders[0])).toBe(WEIGHTS);
    expect(sent).toBe(1);
    expect(warnings).toContainEqual(expect.stringMatching(/^Another process is downloading .*; waiting for it\.$/));
    expect(await unfinished()).toEqual([]);
  });

  const owned = (pid: number | undefined) =>
    join(blobs(), `${sha256(WEIGHTS)}.pentimento-${sha256(hostname()).slice(0, 8)}-${pid}-0.incomplete`);

  it('in two processes: one waits while the other lives, and takes its file over when it has died', async () => {
    const other = spawn('sleep', ['600'], { stdio: 'ignore' });
    try {
      await mkdir(blobs(), { recursive: true });
      await writeFile(owned(other.pid), HALF);
      const fetched = fetchSmall();
      await vi.waitFor(() => expect(warnings.length).toBe(1));
      expect(rangesOfUnet()).toEqual([]);
      const ended = new Promise(done => other.once('exit', done));
      other.kill();
      await ended;
      expect(await weightsIn(await fetched)).toBe(WEIGHTS);
      expect(rangesOfUnet()).toEqual(['bytes=30-']);
      expect(await unfinished()).toEqual([]);
    } finally {
      other.kill();
    }
  });

  it('takes over from a process that gave no sign of life, or had its number before', async () => {
    for (const [pid, minutes] of [[process.pid, 0] as const, [process.ppid, 5] as const]) {
      await mkdir(blobs(), { recursive: true });
      await writeFile(owned(pid), HALF);
      await utimes(owned(pid), new Date(), new Date(Date.now() - minutes * 60_000));
      hub.seen.length = 0;
      expect(await weightsIn(await fetchSmall())).toBe(WEIGHTS);
      expect(rangesOfUnet()).toEqual(['bytes=30-']);
      await rm(root(), { recursive: true });
    }
  });

  it('goes on where its file was taken over while it slept', async () => {
    hub.filesMood = (request, response, path) => {
      if (path !== UNET) return false;
      void (async () => {
        const [own] = await unfinished();
        await writeFile(join(blobs(), sha256(WEIGHTS)), WEIGHTS); // the other process has landed it
        await rm(join(blobs(), own));
        sendRange(request, response, WEIGHTS, '"x"');
      })();
      return true;
    };
    expect(await weightsIn(await fetchSmall())).toBe(WEIGHTS);
    expect((await stat(join(blobs(), sha256(WEIGHTS)))).size).toBe(WEIGHTS.length);
    expect(await unfinished()).toEqual([]);
  });
});

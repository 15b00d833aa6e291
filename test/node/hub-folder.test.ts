/** A repository of the Hub as a folder: by range for who plans, downloaded when weights are wanted for who runs. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { type FolderSource, readTensors } from '../../src/core/tensor-source.ts';
import { openCheckpoint } from '../../src/io/checkpoint.ts';
import { subfolder } from '../../src/io/sources.ts';
import { hubFolder } from '../../src/node/hub-folder.ts';
import { DiffEditPipeline } from '../../src/pipeline/diffedit/pipeline.ts';
import { testGpu } from '../support/gpu.ts';
import { COMMIT, embeddedFiles, hubScene, nowhere, PIPELINE, UNET } from '../support/hub.ts';

const scene = await hubScene();
const { hub, root, fetchSmall, onWarning, warnings } = scene;
const open = (options: Parameters<typeof hubFolder>[1] = {}) =>
  hubFolder('someone/small', { hubUrl: hub.url, cacheDir: scene.cacheDir, onWarning, ...options });
const openPipeline = async (folder: FolderSource) =>
  DiffEditPipeline.fromPretrained(folder, { gpu: await testGpu(), loadWhenNeeded: true });
const files = embeddedFiles();
const asked = () => hub.seen.map(({ server, path, range }) => [server, path.split('/').slice(-2).join('/'), range]);
/** Reads more of the UNet than its header. */
const readUnet = async (folder: FolderSource, signal?: AbortSignal) => {
  const source = await openCheckpoint(subfolder(folder, 'unet'), 'diffusion_pytorch_model');
  const into = [...source.tensors.values()].map(({ name, byteLength }) => ({
    ...{ name, start: 0, into: new Uint8Array(byteLength) },
  }));
  try {
    await readTensors(source, into, signal);
  } finally {
    await source.close?.();
  }
  return Buffer.concat(into.map(part => part.into));
};
const weightsOf = (path: string) => files[path].subarray(8 + Number(files[path].readBigUInt64LE(0)));

describe('for planning', () => {
  it('a pipeline opens by one request a config and one range a file of weights, and nothing is written', async () => {
    hub.files = files;
    (await openPipeline(await open())).dispose();
    const small = asked().filter(([server, path]) => server === 'hub' && !/safetensors$/.test(`${path}`));
    expect(small.length).toBe(2 + 11 - 1); // the listing; added_tokens.json is known to be absent
    expect(asked().filter(([server]) => server === 'files')).toEqual([
      ['files', 'text_encoder/model.safetensors', 'bytes=0-131071'],
      ['files', UNET, 'bytes=0-131071'],
      ['files', 'vae/diffusion_pytorch_model.safetensors', 'bytes=0-131071'],
    ]);
    expect(await readdir(scene.cacheDir)).toEqual([]);
  });

  it('weights that are read all the same are the file’s', async () => {
    hub.files = files;
    expect(Buffer.compare(await readUnet(await open()), weightsOf(UNET))).toBe(0);
    expect(hub.seen.length).toBeLessThan(16);
  });

  it('takes what lies in the cache from there: all of it, without asking where that is forbidden, or file by file', async () => {
    const folder = await fetchSmall();
    hub.seen.length = 0;
    expect((await open()).label.replace(/\/$/, '')).toBe(folder);
    expect(hub.seen.length).toBe(2);
    vi.stubEnv('HF_HUB_OFFLINE', '1');
    expect((await open()).label).toBe(folder);
    expect(hub.seen.length).toBe(2);
    vi.stubEnv('HF_HUB_OFFLINE', undefined);
    expect((await open({ hubUrl: await nowhere() })).label).toBe(folder);
    expect(warnings).toEqual([expect.stringMatching(/What the cache holds of someone\/small at main is used/)]);
    hub.files = { ...PIPELINE, 'vae/config.json': '{"new": true}' };
    hub.commit = 'b'.repeat(40);
    const newer = await open();
    hub.seen.length = 0;
    expect([await newer.text('vae/config.json'), await newer.text('unet/config.json')]).toEqual([
      '{"new": true}',
      PIPELINE['unet/config.json'],
    ]);
    expect(asked().map(([, path]) => path)).toEqual(['vae/config.json']);
  });

  it('knows of every file whether it is there, and refuses one that arrives damaged', async () => {
    const folder = await open();
    hub.seen.length = 0;
    expect([await folder.has('unet/config.json'), await folder.has('unet/no.json')]).toEqual([true, false]);
    expect(await folder.list?.('scheduler')).toEqual(['scheduler_config.json']);
    await expect(folder.text('unet/no.json')).rejects.toThrow('folder: no file "unet/no.json" (someone/small at main)');
    expect(hub.seen).toEqual([]);
    hub.files['unet/config.json'] = '{"a": 2}';
    await expect(folder.text('unet/config.json')).rejects.toThrow(
      /^hubFolder: a file did not arrive whole: expected [0-9a-f]{40}, got another checksum \(someone\/small at main\/unet/,
    );
    hub.files[UNET] = 'other weights';
    await expect(folder.bytes(UNET)).rejects.toThrow(/a file did not arrive whole: got 13 of \d+ bytes/);
  });

  it('shows the token to the Hub alone, and says what a refusal means', async () => {
    vi.stubEnv('HF_TOKEN', 'hf_secret');
    hub.files = files;
    const folder = await open();
    await folder.bytes(UNET);
    const shown = (server: string) => new Set(hub.seen.filter(r => r.server === server).map(r => r.authorization));
    expect([shown('hub'), shown('files')]).toEqual([new Set(['Bearer hf_secret']), new Set([undefined])]);
    hub.mood = (_request, response) => {
      response.writeHead(403, { 'x-error-code': 'GatedRepo' }).end();
      return true;
    };
    await expect(folder.text('vae/config.json')).rejects.toThrow(
      /the model is gated, and the account of the token \(HF_TOKEN\)/,
    );
  });

  it('a server of files that gives no ranges is named, and none of a large file is read', async () => {
    hub.files = files;
    hub.filesMood = (_request, response, path) => {
      response.writeHead(200, { 'content-length': files[path].length }).write('x');
      return true;
    };
    const folder = await open();
    await expect(folder.bytes(UNET)).rejects.toThrow(/the server ignores Range and the file is too large/);
  });

  it('a signal ends a read in the middle', async () => {
    hub.files = files;
    const folder = await open();
    const controller = new AbortController();
    hub.filesMood = (request, response, path) => {
      const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
      if (from === '0') return false;
      const headers = { etag: `"of /${path}"`, 'content-range': `bytes ${from}-${to}/${files[path].length}` };
      response.writeHead(206, headers).write('x', () => controller.abort(new Error('enough')));
      return true;
    };
    await expect(readUnet(folder, controller.signal)).rejects.toThrow('enough');
  });
});

describe('for running', () => {
  it('downloads the weights when more of them than their headers is read, once', async () => {
    hub.files = files;
    const events: number[] = [];
    const folder = await open({ download: true, onProgress: e => events.push(e.bytes / e.of) });
    (await openPipeline(folder)).dispose();
    const snapshot = join(root(), 'snapshots', COMMIT);
    expect(await readdir(join(snapshot, 'unet'))).toEqual(['config.json']);
    expect(await readFile(join(root(), 'refs', 'main'), 'utf8').catch(() => undefined)).toBeUndefined();
    expect(events).toEqual([]);
    expect(Buffer.compare(await readUnet(folder), weightsOf(UNET))).toBe(0);
    expect(events.at(-1)).toBe(1);
    expect(await readFile(join(root(), 'refs', 'main'), 'utf8')).toBe(COMMIT);
    expect(Buffer.compare(await readFile(join(snapshot, UNET)), files[UNET])).toBe(0);
    hub.seen.length = 0;
    expect(Buffer.compare(await readUnet(await open({ download: true })), weightsOf(UNET))).toBe(0);
    expect(hub.seen.length).toBe(2); // the listing
  });

  it('where the files’ server gives no ranges, too', async () => {
    hub.files = files;
    hub.filesMood = (_request, response, path) => {
      response.writeHead(200, { 'content-length': files[path].length }).end(files[path]);
      return true;
    };
    const folder = await open({ download: true });
    expect(Buffer.compare(await readUnet(folder), weightsOf(UNET))).toBe(0);
  });

  it('a signal of the read ends the download; what has arrived is taken up by the next', async () => {
    hub.files = files;
    const folder = await open({ download: true });
    const controller = new AbortController();
    hub.filesMood = (request, response, path) => {
      if (path !== UNET || /-\d/.test(request.headers.range ?? '')) return false;
      response.writeHead(200, { etag: `"of /${path}"`, 'content-length': files[path].length });
      response.write(files[path].subarray(0, 2 ** 20), () =>
        setTimeout(() => controller.abort(new Error('enough')), 50),
      );
      return true;
    };
    await expect(readUnet(folder, controller.signal)).rejects.toThrow('enough');
    hub.filesMood = () => false;
    hub.seen.length = 0;
    expect(Buffer.compare(await readUnet(folder), weightsOf(UNET))).toBe(0);
    expect(hub.seen.filter(r => r.server === 'files' && r.path.includes('unet'))[0]?.range).toMatch(/^bytes=\d+-$/);
  });
});

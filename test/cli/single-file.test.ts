/** Checkpoints in one file on the command line, and `convert`, which makes a folder of them. */
import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { openSafetensors, writeSafetensors } from '../../src/io/safetensors.ts';
import { fileSource } from '../../src/node/files.ts';
import { goldenPath } from '../support/checkpoint.ts';
import { pentimento } from '../support/command.ts';
import { toHalf } from '../support/half.ts';
import { fakeHub, HUB_VARIABLES } from '../support/hub.ts';
import { ldmBytes, ldmTensors } from '../support/single-file.ts';

const APPLES = 'models/orchard/samples/apples-bowl.png';
const TOKENIZER = ['--tokenizer', goldenPath('sd1/model')];
const INVERT = ['--prompt', 'a bowl', '--num-inference-steps', '2', '--size', '32x32', '--seed', '1'];

let root: string;
let file: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'pentimento-single-'));
  file = join(root, 'tiny.safetensors');
  await writeFile(file, ldmBytes('tiny2'));
  await writeFile(join(root, 'small.safetensors'), ldmBytes('tiny1'));
  await writeFile(
    join(root, 'style.safetensors'),
    writeSafetensors({ 'lora_unet_x.lora_up.weight': { dtype: 'F32', shape: [1], data: Float32Array.of(1) } }),
  );
});
afterAll(() => rm(root, { recursive: true }));
let at: (name: string) => string;
beforeEach(async () => {
  const folder = await mkdtemp(join(root, 'out-'));
  at = name => join(folder, name);
});

async function latentsOf(model: string, ...more: string[]) {
  const { code, stderr } = await pentimento([
    'invert',
    APPLES,
    '--model',
    model,
    ...INVERT,
    ...more,
    '-o',
    at('l.safetensors'),
  ]);
  expect(stderr).not.toContain('error:');
  expect(code).toBe(0);
  const written = await openSafetensors(await fileSource(at('l.safetensors')));
  const latents = new Uint8Array(written.tensors.get('latents')?.byteLength ?? 0);
  await written.read('latents', 0, latents);
  await written.close?.();
  await rm(at('l.safetensors'));
  return { latents: Buffer.from(latents), fingerprint: written.metadata['fingerprint'], stderr };
}

describe('--model with a file', () => {
  it('says what it guesses, and gives what the converted folder gives, byte for byte', async () => {
    const small = join(root, 'small.safetensors');
    const guessed = await latentsOf(small, ...TOKENIZER);
    expect(guessed.stderr).toContain('small.safetensors does not say what its UNet predicts: epsilon is assumed');
    const converted = await pentimento(['convert', small, at('folder'), ...TOKENIZER, '--prediction-type', 'epsilon']);
    expect(converted).toMatchObject({ code: 0, stdout: `${at('folder')}\n` });
    expect(converted.stderr).not.toContain('assumed');
    const folder = await latentsOf(at('folder'));
    expect(folder.fingerprint).toBe(guessed.fingerprint);
    expect(Buffer.compare(folder.latents, guessed.latents)).toBe(0);
  });

  it('takes the training config that is named, or lies beside it, and the folder of configs', async () => {
    const yaml = goldenPath('single-file/v2.yaml');
    const named = await pentimento(['convert', file, at('named'), ...TOKENIZER, '--config', yaml]);
    expect(named).toMatchObject({ code: 0, stderr: expect.not.stringContaining('assumed') });
    await cp(file, at('copy.ckpt'));
    await cp(yaml, at('copy.yaml'));
    const beside = await pentimento(['convert', at('copy.ckpt'), at('beside'), ...TOKENIZER]);
    expect(beside.stderr).toContain(`Using the training config ${at('copy.yaml')} beside the checkpoint.`);
    const folder = await pentimento(['convert', file, at('again'), '--config', at('named')]);
    expect(folder).toMatchObject({ code: 0, stderr: expect.not.stringContaining('vocabulary') });
    for (const name of ['unet/config.json', 'scheduler/scheduler_config.json', 'tokenizer/special_tokens_map.json']) {
      const text = await readFile(at(`named/${name}`), 'utf8');
      expect(await readFile(at(`beside/${name}`), 'utf8')).toBe(text);
      expect(await readFile(at(`again/${name}`), 'utf8')).toBe(text);
    }
  });
});

describe('the vocabulary', () => {
  it('comes from the Hub once, without weights, and then from its cache', async () => {
    const repo = 'openai/clip-vit-large-patch14';
    const hub = await fakeHub(repo);
    for (const name of HUB_VARIABLES) vi.stubEnv(name, undefined);
    vi.stubEnv('HF_ENDPOINT', hub.url);
    vi.stubEnv('HF_HOME', at('home'));
    try {
      const folder = goldenPath('sd1/model/tokenizer');
      hub.files = {
        'vocab.json': await readFile(join(folder, 'vocab.json'), 'utf8'),
        'merges.txt': await readFile(join(folder, 'merges.txt'), 'utf8'),
        'model.safetensors': 'weights of CLIP',
      };
      const convert = (to: string) => pentimento(['convert', file, at(to), '--prediction-type', 'epsilon']);
      const first = await convert('first');
      expect(first).toMatchObject({ code: 0, stderr: expect.stringContaining(`Using the vocabulary of ${repo}`) });
      expect(hub.seen.map(({ path }) => path).filter(path => path.includes('model.safetensors'))).toEqual([]);
      vi.stubEnv('HF_HUB_OFFLINE', '1');
      hub.seen.length = 0;
      expect(await convert('second')).toMatchObject({ code: 0 });
      expect(hub.seen).toEqual([]);
      const vocab = 'tokenizer/vocab.json';
      expect(await readFile(at(`second/${vocab}`), 'utf8')).toBe(await readFile(at(`first/${vocab}`), 'utf8'));
    } finally {
      vi.unstubAllEnvs();
      hub.close();
    }
  });
});

describe('convert', () => {
  it("writes a whole folder in diffusers' layout", async () => {
    const args = ['convert', file, at('deep/er/folder'), ...TOKENIZER, '--prediction-type', 'epsilon', '--json'];
    const { code, stdout } = await pentimento(args);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ command: 'convert', file, files: { folder: at('deep/er/folder') } });
    expect(
      (await readdir(at('deep/er/folder'), { recursive: true })).filter(name => name.includes('.')).sort(),
    ).toEqual([
      'model_index.json',
      'scheduler/scheduler_config.json',
      'text_encoder/config.json',
      'text_encoder/model.safetensors',
      'tokenizer/merges.txt',
      'tokenizer/special_tokens_map.json',
      'tokenizer/tokenizer_config.json',
      'tokenizer/vocab.json',
      'unet/config.json',
      'unet/diffusion_pytorch_model.safetensors',
      'vae/config.json',
      'vae/diffusion_pytorch_model.safetensors',
    ]);
    const index = JSON.parse(await readFile(at('deep/er/folder/model_index.json'), 'utf8'));
    expect(index).toMatchObject({ _class_name: 'StableDiffusionPipeline', _diffusers_version: '0.34.0' });
    const unet = await openSafetensors(await fileSource(at('deep/er/folder/unet/diffusion_pytorch_model.safetensors')));
    expect(unet.metadata).toEqual({ format: 'pt' });
    await unet.close?.();
  });

  it('stores halves when asked to', async () => {
    const values = Float32Array.from({ length: 3 * 64 }, (_, i) => Math.sin(i));
    const key = 'cond_stage_model.model.transformer.resblocks.0.attn.in_proj_bias';
    const wide = { ...ldmTensors('tiny2'), [key]: { dtype: 'F32', shape: [192], data: values } };
    await writeFile(at('wide.safetensors'), writeSafetensors(wide));
    const args = [
      'convert',
      at('wide.safetensors'),
      at('half'),
      ...TOKENIZER,
      '--dtype',
      'float16',
      '--prediction-type',
    ];
    expect((await pentimento([...args, 'epsilon'])).code).toBe(0);
    const text = await openSafetensors(await fileSource(at('half/text_encoder/model.safetensors')));
    const [name, half] = ['text_model.encoder.layers.0.self_attn.k_proj.bias', new Uint8Array(128)];
    expect(text.tensors.get(name)).toMatchObject({ dtype: 'F16', shape: [64] });
    await text.read(name, 0, half);
    expect(half).toEqual(new Uint8Array(toHalf(values.subarray(64, 128)).buffer));
    await text.close?.();
  });

  it('overwrites nothing', async () => {
    await mkdir(at('there'));
    await symlink(at('nowhere'), at('link'));
    for (const taken of ['there', 'link']) {
      const { code, stderr } = await pentimento(['convert', file, at(taken), ...TOKENIZER]);
      expect(code).toBe(2);
      expect(stderr).toContain('convert: the folder is there already');
      expect(stderr).not.toContain('converting');
    }
    expect(await readdir(at('there'))).toEqual([]);
  });

  it('leaves nothing behind where it is ended or refused', async () => {
    const controller = new AbortController();
    const signal = controller.signal;
    const before = await readdir(at('..'));
    const onStderr = (text: string) => text.includes('assumed') && controller.abort();
    expect(await pentimento(['convert', file, at('new/folder'), ...TOKENIZER], { signal, onStderr })).toMatchObject({
      code: 130,
      stderr: expect.stringContaining('interrupted, nothing was written'),
    });
    await writeFile(at('cut.safetensors'), ldmBytes('tiny2').subarray(0, 1e6));
    expect((await pentimento(['convert', at('cut.safetensors'), at('new/folder'), ...TOKENIZER])).code).toBe(2);
    expect(existsSync(at('new'))).toBe(false);
    expect(await readdir(at('..'))).toEqual(before);
  });
});

describe('refuses in one line', () => {
  const errorOf = async (...args: string[]) => {
    const { code, stdout, stderr } = await pentimento(args);
    expect([code, stdout]).toEqual([2, '']);
    const lines = stderr.split('\n').filter(line => line.startsWith('error: '));
    expect(lines).toHaveLength(1);
    return lines[0].replaceAll(root, 'DIR').replaceAll(/out-\w+/g, 'OUT');
  };
  const invert = (...args: string[]) => errorOf('invert', APPLES, ...INVERT, '-o', at('l.safetensors'), ...args);

  it('another kind of file', async () => {
    expect(await invert('--model', join(root, 'style.safetensors'), ...TOKENIZER)).toMatchInlineSnapshot(
      `"error: model: another kind of file: expected Stable Diffusion 1.x or 2.x in one file, got a LoRA (DIR/style.safetensors). Name a model with --model and this file with --lora."`,
    );
  });

  it('a file that is not there', async () => {
    expect(await invert('--model', join(root, 'no.safetensors'))).toMatchInlineSnapshot(
      `"error: model: no such file (DIR/no.safetensors). Give --model a diffusers folder or a .safetensors or .ckpt file of Stable Diffusion 1.x or 2.x, or a Hub id (owner/name)."`,
    );
    const address = 'https://huggingface.co/owner/name/resolve/main/sd.safetensors?download=true';
    expect(await invert('--model', address)).toMatchInlineSnapshot(
      `"error: model: an address in place of a folder or a Hub id (https://huggingface.co/owner/name/resolve/main/sd.safetensors?download=true). Download the file and name it, or, if the repository holds a folder too, write --model owner/name."`,
    );
    expect(await errorOf('convert', join(root, 'no.ckpt'), at('x'))).toMatchInlineSnapshot(
      `"error: convert: no such file (DIR/no.ckpt). Name a .safetensors or .ckpt file."`,
    );
    expect(await errorOf('convert', root, at('x'))).toMatchInlineSnapshot(
      `"error: convert: not a file (DIR). Name a .safetensors or .ckpt file."`,
    );
  });

  it('a folder that holds it', async () => {
    await cp(file, at('sd.safetensors'));
    expect(await invert('--model', at('.'))).toMatchInlineSnapshot(
      `"error: model: the folder is not a diffusers model, but holds a checkpoint in one file: expected a folder with model_index.json, unet/, vae/, text_encoder/, tokenizer/ and scheduler/ (DIR/OUT/sd.safetensors). Name that file with --model."`,
    );
  });

  it('options that belong to files alone, and those that belong to folders', async () => {
    expect(await invert('--ema')).toMatchInlineSnapshot(
      `"error: model: --ema belongs to a single file. A model folder has its own: leave the option out, or name a .safetensors or .ckpt file with --model."`,
    );
    expect(await invert('--model', file, '--variant', 'fp16')).toMatchInlineSnapshot(
      `"error: model: a single file has no variants: got fp16 (DIR/tiny.safetensors). Leave --variant out: it chooses among the files of a folder."`,
    );
  });

  it('configs that are none', async () => {
    await writeFile(at('list.yaml'), '- 1\n- 2\n');
    await writeFile(at('broken.yaml'), 'a: [1\nb: }');
    await writeFile(at('empty.yaml'), '');
    const convert = (config: string) => errorOf('convert', file, at('x'), ...TOKENIZER, '--config', config);
    expect(await convert(at('list.yaml'))).toMatchInlineSnapshot(
      `"error: model: the file is no training config: got a list (DIR/OUT/list.yaml). Name the training config of the checkpoint, such as v2-inference-v.yaml."`,
    );
    expect(await convert(at('broken.yaml'))).toMatchInlineSnapshot(
      `"error: model: the file is not YAML: got Flow sequence in block collection must be sufficiently indented and end with a ] at line 2, column 1: (DIR/OUT/broken.yaml). Name the training config of the checkpoint, such as v2-inference-v.yaml."`,
    );
    expect(await convert(at('empty.yaml'))).toMatchInlineSnapshot(
      `"error: model: the file is no training config: got an empty file (DIR/OUT/empty.yaml). Name the training config of the checkpoint, such as v2-inference-v.yaml."`,
    );
    expect(await convert(goldenPath('single-file/v1.yaml'))).toMatchInlineSnapshot(
      `"error: model: the training config is of another model: channels of the UNet: expected [32, 64, 64], got [64, 128] (DIR/tiny.safetensors). Name the YAML that belongs to the checkpoint, or leave it out."`,
    );
    expect(await convert(at('none.yaml'))).toMatchInlineSnapshot(
      `"error: model: --config: there is no such file or folder (DIR/OUT/none.yaml). Name a YAML file, a diffusers folder or a Hub id."`,
    );
  });

  it('a tokenizer that is none', async () => {
    expect(await invert('--model', file, '--tokenizer', root)).toMatchInlineSnapshot(
      `"error: model: the folder holds no vocabulary: expected vocab.json and merges.txt, or tokenizer.json (DIR). Name the folder of openai/clip-vit-large-patch14, or any Stable Diffusion folder."`,
    );
    expect(await invert('--model', file, '--tokenizer', at('no/such/folder'))).toMatchInlineSnapshot(
      `"error: model: --tokenizer: there is no such file or folder (DIR/OUT/no/such/folder). Name a folder or a Hub id."`,
    );
  });
});

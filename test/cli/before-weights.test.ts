/** What a command refuses it refuses before weights are read: a wrong number shall not cost minutes of loading. */
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { Weights } from '../../src/nn/weights.ts';
import { encodePng } from '../../src/node/images.ts';
import { pentimento } from '../support/command.ts';

const APPLES = 'models/orchard/samples/apples-bowl.png';
const PROMPTS = ['--source', 'a bowl of apples', '--target', 'a bowl of pears'];
const SCHEDULER = 'scheduler/scheduler_config.json';

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'pentimento-before-'));
  await cp('test/golden/sd1/model', at('short'), { recursive: true });
  const scheduler = JSON.parse(await readFile(at(`short/${SCHEDULER}`), 'utf8'));
  await writeFile(at(`short/${SCHEDULER}`), JSON.stringify({ ...scheduler, num_train_timesteps: 100 }));
  await writeFile(at('small.png'), encodePng({ width: 4, height: 4, data: new Uint8Array(48) }));
});
afterEach(() => vi.restoreAllMocks());
afterAll(() => rm(root, { recursive: true }));

const at = (name: string) => join(root, name);
const edit = (...more: string[]) => ['edit', APPLES, ...PROMPTS, '-o', at('x.png'), ...more];
const guide = (...more: string[]) => ['guide', APPLES, '--from', 'bowl', '--to', 'basket', '-o', at('g'), ...more];

describe('weights stay in their files', () => {
  it.each([
    [
      'more steps than were trained',
      () => edit('--num-inference-steps', '1001'),
      'a whole number from 1 to 1000, got 1001',
    ],
    [
      'than the scheduler of the folder',
      () => edit('--num-inference-steps', '101', '--model', at('short')),
      '1 to 100, got 101',
    ],
    [
      'of the mask alone',
      () => ['mask', APPLES, ...PROMPTS, '-o', at('m.png'), '--num-inference-steps', '1001'],
      'got 1001',
    ],
    [
      'of the inversion alone',
      () => ['invert', APPLES, '--source', 'a', '-o', at('l.safetensors'), '--num-inference-steps', '1001'],
      'got 1001 (--num-inference-steps)',
    ],
    [
      'a strength of the guide, before its models are looked for',
      () => guide('--inpaint-strength', '0.01', '--t5', 'nowhere'),
      '--inpaint-strength 0.01 leave no step',
    ],
    ['of the guide', () => guide('--num-inference-steps', '1001'), 'got 1001'],
    ['of the guide with all models held', () => guide('--num-inference-steps', '1001', '--no-offload'), 'got 1001'],
    ['a strength that leaves no step', () => edit('--inpaint-strength', '0.01'), 'leave no step'],
    [
      'tiles that do not meet',
      () => edit('--vae-tile', '100'),
      'a multiple of 32, which is four latents of this model, got 100 (--vae-tile)',
    ],
    ['a size that does not fit', () => edit('--size', '100x128'), 'Pass --size 96x128.'],
    [
      'a picture that is too small',
      () => ['edit', at('small.png'), ...PROMPTS, '-o', at('x.png'), '--keep-size'],
      'smaller than 8',
    ],
    ['more layers than there are', () => edit('--clip-skip', '99'), 'a whole number from 0 to 4, got 99 (--clip-skip)'],
    ['a size that cannot be regularised', () => edit('--size', '8x8', '--num-reg-steps', '1'), 'at least two rows'],
    ['a seed of too many digits', () => edit('--seed', '99999999999999999999'), 'Give a whole number'],
    ['an unknown set of weights', () => edit('--variant', 'fp8'), 'no network has the variant "fp8"'],
    ['a caption that begins with too much', () => ['caption', APPLES, '--prefix', 'a '.repeat(600)], '(--prefix)'],
    ['a temperature of nothing', () => ['prompts', 'bowl', '--temperature', '0'], 'Give a number above 0.'],
  ])('where there is %s', async (_, args, text) => {
    const load = vi.spyOn(Weights.prototype, 'load');
    const { code, stdout, stderr } = await pentimento(args());
    expect(stderr).toMatch(/^error: /m);
    expect(stderr).toContain(text);
    expect([code, stdout]).toEqual([2, '']);
    expect(load).not.toHaveBeenCalled();
  });

  it('until a command works: then each comes once', async () => {
    const load = vi.spyOn(Weights.prototype, 'load');
    const few = ['--num-inference-steps', '2', '--num-maps-per-mask', '1', '--model', at('short'), '--size', '16x16'];
    const { code, stderr } = await pentimento(edit(...few));
    expect([code, load.mock.calls.length], stderr).toEqual([0, 3]);
  });
});

/** Every option of the commands, from the command line to the call it becomes. */
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createProgram } from '../../src/cli/program.ts';
import { listAdapters } from '../../src/node/device.ts';
import { readImage } from '../../src/node/images.ts';
import { DiffEditPipeline } from '../../src/pipeline/diffedit/pipeline.ts';
import { pentimento } from '../support/command.ts';

const APPLES = 'models/orchard/samples/apples-bowl.png';

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'pentimento-options-'));
});
afterEach(async () => {
  vi.restoreAllMocks();
  await rm(root, { recursive: true });
});
const at = (name: string) => join(root, name);

/** Values of options, as typed and as they arrive. */
const MASK = {
  'num-maps-per-mask': ['3', { numMapsPerMask: 3 }],
  'mask-encode-strength': ['0.4', { maskEncodeStrength: 0.4 }],
  'mask-thresholding-ratio': ['2.5', { maskThresholdingRatio: 2.5 }],
  continuous: [undefined, { continuous: true }],
  'soft-mask': [undefined, { maskMode: 'soft' }],
  'mask-cleanup': [undefined, { maskCleanup: true }],
  threshold: ['0.6', { threshold: 0.6 }],
  dilate: ['1', { dilate: 1 }],
  erode: ['2', { erode: 2 }],
  blur: ['1.5', { blur: 1.5 }],
  'source-negative-prompt': ['sn', { sourceNegativePrompt: 'sn' }],
  'target-negative-prompt': ['tn', { targetNegativePrompt: 'tn' }],
} as const;
const INVERT = {
  'lambda-auto-corr': ['19', { lambdaAutoCorr: 19 }],
  'lambda-kl': ['18', { lambdaKl: 18 }],
  'num-reg-steps': ['2', { numRegSteps: 2 }],
  'num-auto-corr-rolls': ['4', { numAutoCorrRolls: 4 }],
  inversion: ['ddpm', { inversion: 'ddpm' }],
  'inversion-rounds': ['1', { inversionRounds: 1 }],
} as const;
const STEPS = {
  'num-inference-steps': ['20', { numInferenceSteps: 20 }],
  'guidance-interval': ['0.1,0.8', { guidanceInterval: [0.1, 0.8] }],
  'guidance-rescale': ['0.7', { guidanceRescale: 0.7 }],
} as const;
const STRENGTH = { 'inpaint-strength': ['0.7', { inpaintStrength: 0.7 }] } as const;
const PROMPTS = { source: ['s', { sourcePrompt: 's' }], target: ['t', { targetPrompt: 't' }] } as const;
/** How the model is opened; checked apart. */
const MODEL = [
  ...['--dtype', 'float16', '--enable-model-cpu-offload', '--stream-weights', '--host-memory'],
  ...[
    '--max-binding',
    '64MiB',
    '--trusted',
    '--max-memory',
    '9GB',
    '--allow-tiles',
    '--enable-vae-slicing',
    '--enable-vae-tiling',
    '--vae-tile',
    '64',
  ],
];
const OTHER = ['--mend-quirks', '--seed', '5', '--json', '--size', '64x96', '--fit', 'crop'];

type Table = Readonly<Record<string, readonly [string | undefined, object]>>;
const typed = (table: Table) =>
  Object.entries(table).flatMap(([name, [value]]) => [`--${name}`, ...(value === undefined ? [] : [value])]);
const expected = (table: Table) => Object.assign({}, ...Object.values(table).map(([, args]) => args));

/** Runs a command up to the pipeline's call, and gives that call's arguments. */
async function callOf(method: 'run' | 'invert' | 'generateMask' | 'reconstruct', args: readonly string[]) {
  const here = new Error('far enough');
  const call = vi.spyOn(DiffEditPipeline.prototype, method).mockRejectedValue(here);
  const opened = vi.spyOn(DiffEditPipeline, 'fromPretrained');
  const slicing = vi.spyOn(DiffEditPipeline.prototype, 'enableVaeSlicing');
  const tiling = vi.spyOn(DiffEditPipeline.prototype, 'enableVaeTiling');
  const [adapter] = await listAdapters();
  const { stderr } = await pentimento([...args, ...MODEL, ...OTHER, '--device', adapter.name.toUpperCase()]);
  expect(stderr).toContain('far enough');
  expect(opened.mock.calls[0][1]).toMatchObject({
    ...{ dtype: 'float16', mendQuirks: true, modelCpuOffload: true },
    ...{ streamWeights: true, hostMemory: true, maxBytes: 9e9, allowTiles: true },
  });
  expect(opened.mock.calls[0][1]?.gpu?.caps.maxBindingBytes).toBe(2 ** 26);
  expect(opened.mock.calls[0][1]?.gpu?.caps.description).toBe(adapter.info.description);
  expect([slicing.mock.calls.length, tiling.mock.calls]).toEqual([1, [[{ pixels: 64 }]]]);
  const [found] = call.mock.calls[0] as unknown as [Record<string, unknown>];
  expect(found['image']).toMatchObject({ width: 64, height: 96 });
  return found;
}

const plain = (args: Record<string, unknown>, keys: object) =>
  Object.fromEntries(Object.keys(keys).map(key => [key, args[key]]));

describe('every option reaches the pipeline', () => {
  it('of edit', async () => {
    const table: Table = {
      ...{ ...PROMPTS, ...MASK, ...INVERT, ...STEPS, ...STRENGTH },
      'mask-exponent': ['0.6', { maskExponent: 0.6 }],
      'guidance-scale': ['3', { guidanceScale: 3 }],
      'mask-guidance-scale': ['4', { maskGuidanceScale: 4 }],
      'invert-guidance-scale': ['1', { invertGuidanceScale: 1 }],
      'invert-negative-prompt': ['vn', { invertNegativePrompt: 'vn' }],
      'negative-prompt': ['n', { negativePrompt: 'n' }],
      'num-images-per-prompt': ['2', { numImagesPerPrompt: 2 }],
      eta: ['0.5', { eta: 0.5 }],
      'clip-skip': ['1', { clipSkip: 1 }],
    };
    const found = await callOf('run', ['edit', APPLES, ...typed(table), '--paste-back', '-o', at('x.png')]);
    expect(plain(found, expected(table))).toEqual(expected(table));
    expect(found).toMatchObject({ seed: 5, pasteBack: { image: await readImage(APPLES), fit: { fit: 'crop' } } });
    expect(await readdir(root)).toEqual([]);
  });

  it('of mask', async () => {
    const table: Table = {
      ...PROMPTS,
      ...MASK,
      ...STEPS,
      'mask-guidance-scale': ['4', { guidanceScale: 4 }],
    };
    const args = ['mask', APPLES, ...typed(table), '--guidance-scale', '3', '-o', at('x.png')];
    const found = await callOf('generateMask', args);
    expect(plain(found, expected(table))).toEqual(expected(table));
  });

  it('of invert', async () => {
    const table: Table = {
      ...{ ...INVERT, ...STEPS, ...STRENGTH },
      prompt: ['s', { prompt: 's' }],
      'negative-prompt': ['n', { negativePrompt: 'n' }],
      'invert-guidance-scale': ['1', { guidanceScale: 1 }],
      'decode-latents': [undefined, { decodeLatents: true }],
    };
    const args = ['invert', APPLES, ...typed(table), '--guidance-scale', '3', '-o', at('x.safetensors')];
    const found = await callOf('invert', args);
    expect(plain(found, expected(table))).toEqual(expected(table));
  });

  it('of reconstruct', async () => {
    const table: Table = {
      ...{ ...INVERT, ...STEPS, ...STRENGTH },
      prompt: ['s', { prompt: 's' }],
      'negative-prompt': ['n', { negativePrompt: 'n' }],
    };
    const guided = ['--guidance-scale', '3', '--invert-guidance-scale', '2'];
    const found = await callOf('reconstruct', ['reconstruct', APPLES, ...typed(table), ...guided]);
    expect(plain(found, expected(table))).toEqual(expected(table));
    expect(found).toMatchObject({ seed: 5, guidanceScale: 1, invertGuidanceScale: 1 }); // the first of three
  });

  it('and no command has one that is not named here', () => {
    const outside = { stdout: process.stdout, stderr: process.stderr, signal: new AbortController().signal };
    const known = new Set(
      [...typed({ ...PROMPTS, ...MASK, ...INVERT, ...STEPS, ...STRENGTH }), ...MODEL, ...OTHER].concat([
        ...['--source-prompt', '--target-prompt', '--prompt', '--guidance-scale', '--mask-guidance-scale'],
        ...['--invert-guidance-scale', '--invert-negative-prompt', '--negative-prompt', '--num-images-per-prompt'],
        ...[
          '--eta',
          '--clip-skip',
          '--mask-exponent',
          '--paste-back',
          '--no-paste-back',
          '--decode-latents',
          '--output',
          '--device',
          '--variant',
        ],
        // What a model recommends: preset.test.ts.
        ...['--preset', '--no-continuous', '--no-soft-mask', '--no-mask-cleanup'],
        // Of checkpoints in one file: single-file.test.ts.
        ...['--tokenizer', '--config', '--prediction-type', '--ema'],
        // Where things come from and go to: the tests of edit, hub, lora and model use them.
        ...[
          '--lora',
          '--embedding',
          '--mask',
          '--latents',
          '--keep-size',
          '--fit',
          '--model',
          '--revision',
          '--cache-dir',
        ],
        // Many pictures: edit-pictures.test.ts and jobs-file.test.ts.
        ...['--jobs', '--force', '--contact-sheet'],
        // Which kernels run: the tests of tune use it.
        '--tuning',
      ]),
    );
    for (const command of createProgram(outside).commands.filter(c => ['edit', 'mask', 'invert'].includes(c.name())))
      for (const { flags } of command.options)
        for (const name of flags.match(/--[a-z-]+/g) ?? []) expect(known, `${command.name()} ${name}`).toContain(name);
  });

  it('and a set of weights that no network has is an error that names it', async () => {
    const prompts = ['--source', 's', '--target', 't', '--variant', 'fp8'];
    const { code, stderr } = await pentimento(['edit', APPLES, ...prompts, '-o', at('x.png')]);
    expect(code).toBe(2);
    expect(stderr).toContain('no network has the variant "fp8"');
  });
});

/** `generate`, `img2img` and `inpaint`: what the pipelines make of the same arguments, in files. */
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { fewSteps } from '../../src/cli/distilled.ts';
import { previewsOf } from '../../src/cli/latent-previews.ts';
import { createProgram } from '../../src/cli/program.ts';
import { samplerNamed } from '../../src/cli/sampler-names.ts';
import { fitImage } from '../../src/io/fit.ts';
import type { RgbImage } from '../../src/io/image.ts';
import { readImage, saveImage } from '../../src/node/images.ts';
import { ARGUMENTS, type Argument, defaultOf, type Kind } from '../../src/pipeline/image-generation/arguments.ts';
import { ImageToImagePipeline } from '../../src/pipeline/image-generation/image-to-image.ts';
import { InpaintPipeline } from '../../src/pipeline/image-generation/inpaint.ts';
import { TextToImagePipeline } from '../../src/pipeline/image-generation/text-to-image.ts';
import {
  DPMSolverMultistepScheduler,
  EulerAncestralDiscreteScheduler,
  EulerDiscreteScheduler,
  Generator,
  type LinearStep,
} from '../../src/schedulers/index.ts';
import { repositoryFolder } from '../support/captioner.ts';
import { pentimento } from '../support/command.ts';
import { texture } from '../support/dummies.ts';
import { memoryFolder } from '../support/folder.ts';
import { testGpu } from '../support/gpu.ts';

const QUICK = ['--num-inference-steps', '2', '--guidance-scale', '3', '--seed', '5', '--json'];
let root: string;
let text: TextToImagePipeline;
const at = (...names: string[]) => join(root, ...names);
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'pentimento-generate-'));
  text = await TextToImagePipeline.fromPretrained(repositoryFolder('models/orchard/stable-diffusion'), {
    gpu: await testGpu(),
  });
});
afterAll(async () => {
  text.dispose();
  await rm(root, { recursive: true });
});

const quick = () => ({ numInferenceSteps: 2, guidanceScale: 3, generator: new Generator(5) });
const pixels = ({ width, height, data }: RgbImage) => ({ width, height, data: [...data] });
const written = async (...names: string[]) => pixels(await readImage(at(...names)));

async function run(...args: string[]) {
  const { code, stdout, stderr } = await pentimento([...args, ...QUICK]);
  expect(stderr).not.toMatch(/^error/m);
  expect(code).toBe(0);
  return JSON.parse(stdout);
}

describe('generate', () => {
  it('writes what the pipeline makes, with the sampler that is named and all settings in its JSON', async () => {
    const scheduler = DPMSolverMultistepScheduler.fromConfig(text.scheduler.config, { useKarrasSigmas: true });
    const solver = await text.as(TextToImagePipeline, { scheduler });
    const args = { prompt: 'a bowl of pears', negativePrompt: 'lemons', width: 72, height: 64 };
    const { images } = await solver.generate({ ...args, ...quick(), guidanceRescale: 0.5, clipSkip: 1 });
    const told = await run(
      ...['generate', args.prompt, '-o', at('one.png'), '--size', '72x64', '--negative-prompt', 'lemons'],
      ...['--scheduler', 'dpm++2m-karras', '--guidance-rescale', '0.5', '--clip-skip', '1', '--preview-every', '1'],
    );
    expect(await written('one.png')).toEqual(pixels(images[0]));
    const { negativePrompt, width, height } = args;
    expect(told).toMatchObject({
      ...{ command: 'generate', prompts: [args.prompt], files: { image: at('one.png') }, seed: 5 },
      settings: {
        ...{ negativePrompt, width, height, guidanceScale: 3, guidanceRescale: 0.5, clipSkip: 1, eta: 0 },
        ...{ numInferenceSteps: 2, numImagesPerPrompt: 1 },
      },
      scheduler: { _class_name: 'DPMSolverMultistepScheduler', use_karras_sigmas: true },
      model: 'orchard (embedded)',
    });
    expect((await readdir(root)).sort()).toEqual(['one.png']); // no sheet of one, no preview that stays
  });

  it('makes several pictures of several prompts, with a sheet', async () => {
    const prompt = ['pears', 'lemons'];
    const { images } = await text.generate({
      ...{ prompt, negativePrompt: ['dark', 'dark'], numImagesPerPrompt: 2, width: 64, height: 64 },
      ...quick(),
    });
    const told = await run(
      ...['generate', ...prompt, '--num-images-per-prompt', '2', '--size', '64x64', '--negative-prompt', 'dark'],
      ...['-o', at('many', 'm.png')],
    );
    expect(Object.keys(told.files)).toEqual(['image1', 'image2', 'image3', 'image4', 'sheet']);
    for (const [i, image] of images.entries()) expect(await written('many', `m.${i + 1}.png`)).toEqual(pixels(image));
    expect(await readImage(at('many', 'm.sheet.png'))).toMatchObject({ width: 4 * 64 + 5 * 8, height: 64 + 2 * 8 });
  });

  it('shows what the latents look like while they are made, in a file that goes with the end', async () => {
    const out = at('seen.png');
    const preview = at('seen.preview.png');
    const image = texture(32, 32, 0);
    const previews = await previewsOf(text, out, 2, new AbortController().signal);
    const latents = async () => text.encodeImages([image, image]);
    await previews.callback?.(0, 999, latents);
    expect(existsSync(preview)).toBe(false);
    await saveImage(preview, image);
    await previews.end();
    expect(existsSync(preview)).toBe(true); // somebody else's, as nothing was shown
    await previews.callback?.(1, 500, latents);
    const { width, height } = await readImage(preview);
    expect([width, height]).toEqual([2 * 32 + 3 * 8, 32 + 2 * 8]);
    // Noise at its full level shows what it is of, not its level.
    const louder = async (times: number) => {
      const { data, shape } = await latents();
      await previews.callback?.(3, 999, async () => ({ data: Float32Array.from(data, v => v * times), shape }));
      return written('seen.preview.png');
    };
    expect(await louder(64)).toEqual(await louder(128));
    await previews.end();
    expect(existsSync(preview)).toBe(false);
  });
});

describe('img2img and inpaint', () => {
  const [photo, mask] = ['photo.png', 'mask.png'];
  let picture: RgbImage;
  beforeAll(async () => {
    const apples = await readImage('models/orchard/samples/apples-bowl.png');
    picture = apples;
    await saveImage(at(photo), apples);
    const { width, height } = apples;
    const data = new Uint8Array(width * height).map((_, i) => (i % width < width / 2 ? 255 : 0));
    await saveImage(at(mask), { width, height, data, channels: 1 });
  });

  it('img2img begins with the picture, at the size that is asked for', async () => {
    const pipe = await text.as(ImageToImagePipeline, {
      scheduler: EulerAncestralDiscreteScheduler.fromConfig(text.scheduler.config),
    });
    const size = { width: 64, height: 64 };
    const { image } = fitImage(picture, pipe, { fit: 'nearest', size });
    const { images } = await pipe.generate({ prompt: 'pears', image, strength: 0.6, ...quick() });
    const told = await run(
      ...['img2img', at(photo), 'pears', '--strength', '0.6', '--size', '64x64', '--scheduler', 'euler-a'],
      ...['-o', at('i2i.png')],
    );
    expect(await written('i2i.png')).toEqual(pixels(images[0]));
    expect(told.files).toEqual({ image: at('i2i.png'), sheet: at('i2i.sheet.png') });
    expect(told).toMatchObject({ workingSize: size, settings: { strength: 0.6 } });
  });

  it('inpaint makes the white part anew and leaves the photo as it is elsewhere, or all as the model has it', async () => {
    const pipe = await text.as(InpaintPipeline);
    const args = ['inpaint', at(photo), 'pears', '--mask', at(mask), '--strength', '0.9'];
    await run(...args, '-o', at('inside.png'));
    const inside = await readImage(at('inside.png'));
    const { width, height } = picture;
    const differs = (from: number, to: number) => {
      let count = 0;
      for (let y = 0; y < height; y++) {
        for (let x = from; x < to; x++) {
          const i = 3 * (y * width + x);
          if (inside.data[i] !== picture.data[i]) count++;
        }
      }
      return count / (height * (to - from));
    };
    expect(differs(0, width / 2 - 16)).toBeGreaterThan(0.5);
    expect(differs(width / 2 + 16, width)).toBe(0);

    const given = { prompt: 'pears', image: picture, maskImage: await readImage(at(mask)), strength: 0.9 };
    const { images } = await pipe.generate({ ...given, ...quick() });
    await run(...args, '--no-paste-back', '-o', at('whole.png'));
    expect(await written('whole.png')).toEqual(pixels(images[0]));

    const crop = { paddingMaskCrop: 8, width: 64, height: 64, maskBlur: 1 };
    const { images: parts } = await pipe.generate({ ...given, ...crop, ...quick() });
    const told = await run(
      ...[...args, '--padding-mask-crop', '8', '--size', '64x64', '--mask-blur', '1', '-o', at('part.png')],
    );
    expect(await written('part.png')).toEqual(pixels(parts[0]));
    expect(told.settings).toMatchObject(crop);
  });
});

describe('options', () => {
  const COMMANDS: Readonly<Record<Kind, string>> = { text: 'generate', image: 'img2img', inpaint: 'inpaint' };
  const outside = { stdout: process.stdout, stderr: process.stderr, signal: new AbortController().signal };

  it.each(Object.entries(COMMANDS) as [Kind, string][])('of %s are the rows of the one table', (kind, name) => {
    const command = createProgram(outside).commands.find(each => each.name() === name);
    const options = new Map(command?.options.map(option => [option.attributeName(), option]));
    for (const [argument, row] of Object.entries<Argument>(ARGUMENTS)) {
      const taken = row.option !== undefined && row.in.split(' ').includes(kind);
      expect(options.has(argument), argument).toBe(taken);
      if (taken) expect(options.get(argument)?.defaultValue, argument).toEqual(defaultOf(kind, argument as never));
    }
  });

  const sample = 'models/orchard/samples/apples-bowl.png';
  it.each([
    [['generate'], /missing required argument 'prompts'/],
    [['generate', 'a', '--size', '100x104'], /`pentimento generate`: .*multiple of 8, got 100 \(--size\)/],
    [
      ['generate', 'a', '--negative-prompt', 'b', '--negative-prompt', 'c'],
      /expected one, got 2 \(--negative-prompt\)/,
    ],
    [['generate', 'a', '--timesteps', '9,x'], /Give numbers with commas between them/],
    [['generate', 'a', '--timesteps', '9,5', '--sigmas', '2,1'], /both given: expected one of the two \(--sigmas\)/],
    [['generate', 'a', '-o', 'x.gif'], /Let it end in \.png/],
    [['generate', 'a', '--scheduler', 'heun'], /Allowed choices are ddim, ddpm, dpm\+\+2m/],
    [['img2img', sample], /missing required argument 'prompts'/],
    [['img2img', sample, 'a', '-o', sample], /would destroy an input \(the picture\)/],
    [['img2img', sample, 'a', '--strength', '0.001'], /leave no step.* \(--strength\)/],
    [['inpaint', sample, 'a'], /required option '--mask <file>'/],
    [['inpaint', sample, 'a', '--mask', 'none.png'], /none\.png/],
    [['inpaint', sample, 'a', '--mask', sample, '-o', sample], /would destroy an input/],
    [['inpaint', sample, 'a', '--mask', sample, '--padding-mask-crop', '8', '--fit', 'crop'], /cannot be used with/],
  ])('%j is refused in words of the command line, and nothing is written', async (args, problem) => {
    const { code, stderr, stdout } = await pentimento(args);
    expect(stderr).toMatch(problem);
    expect([code, stdout]).toEqual([2, '']);
  });

  it.each([
    ['generate', TextToImagePipeline, ['a']],
    ['img2img', ImageToImagePipeline, [sample, 'a']],
    ['inpaint', InpaintPipeline, [sample, 'a', '--mask', sample]],
  ])('of memory reach the pipeline of %s, --max-memory and --allow-tiles too', async (name, kind, own) => {
    const opened = vi.spyOn(kind, 'fromPretrained').mockRejectedValue(new Error('far enough'));
    const memory = ['--max-memory', '9GB', '--allow-tiles', '--stream-weights', '--host-memory'];
    const { stderr } = await pentimento([name, ...own, ...memory, '--enable-model-cpu-offload']);
    expect(stderr).toContain('far enough');
    const options = { maxBytes: 9e9, allowTiles: true, streamWeights: true, hostMemory: true, modelCpuOffload: true };
    expect(opened.mock.calls[0]?.[1]).toMatchObject(options);
    opened.mockRestore();
  });

  it('--max-memory refuses a picture that cannot fit before its weights come, in words of the command line', async () => {
    const few = [
      'generate',
      'a',
      '--size',
      '64x64',
      '--num-inference-steps',
      '1',
      '--max-memory',
      '1MB',
      '-o',
      at('none.png'),
    ];
    const { code, stderr, stdout } = await pentimento(few);
    expect(stderr).toMatch(
      /error: `pentimento generate`: the call needs more device memory than it may take: .*at most 1000000 bytes.* or a larger --max-memory\.$/m,
    );
    expect(stderr).not.toMatch(/loading/);
    expect([code, stdout, existsSync(at('none.png'))]).toEqual([1, '', false]);
  });

  it('models for few steps make as many as they are for, unless told', () => {
    const trailing = { _class_name: 'EulerDiscreteScheduler', timestep_spacing: 'trailing' };
    const lines: string[] = [];
    const taken = (model: string, config: object, given: string[] = [], preset = 'recommended') =>
      fewSteps(
        { model, config, preset },
        name => given.includes(name),
        line => void lines.push(line),
      );
    expect(taken('stabilityai/sd-turbo', trailing)).toEqual({ numInferenceSteps: 1, guidanceScale: 0 });
    expect(lines).toEqual([
      'A model for few steps: --num-inference-steps 1 --guidance-scale 0 (--preset diffusers takes none).',
    ]);
    expect(taken('x', { _class_name: 'LCMScheduler' })).toEqual({ numInferenceSteps: 4, guidanceScale: 1 });
    expect(taken('sd-turbo', trailing, ['guidanceScale', 'sigmas'])).toEqual({});
    expect(taken('sd-turbo', trailing, [], 'diffusers')).toEqual({});
    expect(taken('sd-turbo', { ...trailing, timestep_spacing: 'leading' })).toEqual({});
    expect(taken('sd-zero-snr', trailing)).toEqual({});
  });

  it('a name of a sampler means the same whatever the folder has', async () => {
    const folderOf = (config: string) => memoryFolder({ 'scheduler/scheduler_config.json': config });
    const odd = { algorithm_type: 'sde-dpmsolver', solver_order: 3, use_exponential_sigmas: true, beta_end: 0.012 };
    const named = (name: string, config: string) => samplerNamed(name, folderOf(config), () => {});
    const same = { solverOrder: 2, useExponentialSigmas: false, betaEnd: 0.012 };
    expect((await named('dpm++2m', JSON.stringify({ ...odd, use_karras_sigmas: true }))).config).toMatchObject({
      ...{ ...same, algorithmType: 'dpmsolver++', useKarrasSigmas: false },
    });
    expect((await named('dpm++2m-sde-karras', JSON.stringify(odd))).config).toMatchObject({
      ...{ ...same, algorithmType: 'sde-dpmsolver++', useKarrasSigmas: true },
    });
    await expect(named('euler', '{')).rejects.toThrow('the file is not JSON (memory/scheduler/scheduler_config.json)');
    await expect(samplerNamed('euler', memoryFolder({}), () => {})).rejects.toThrow('scheduler_config.json is missing');
  });

  it('the noise levels that help shows lead to a clean picture', () => {
    const [, , help] = ARGUMENTS.sigmas.option;
    const sigmas = [...(help.match(/[\d.,]+$/)?.[0] ?? '').split(',')].map(Number);
    const { next, cleanSample } = new EulerDiscreteScheduler().linearSteps({ sigmas }).at(-1) as LinearStep;
    expect(next).toMatchObject(cleanSample);
  });

  it.each([
    ['black', 0, []],
    ['grey', 120, ['--padding-mask-crop', '4']],
  ])('a mask without white is refused: %s', async (_, value, more) => {
    const black = at('black.png');
    await saveImage(black, { width: 128, height: 128, data: new Uint8Array(128 * 128).fill(value), channels: 1 });
    const { code, stderr } = await pentimento(['inpaint', sample, 'a', '--mask', black, '-o', at('none.png'), ...more]);
    expect(stderr).toMatch(/inpaint.*: nothing of the mask is white \(.*black\.png\)/);
    expect([code, existsSync(at('none.png'))]).toEqual([2, false]);
  });
});

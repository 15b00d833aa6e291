import { afterAll, describe, expect, test } from 'vitest';
import type { NdArray } from '../../src/core/ndarray.ts';
import type { RgbImage } from '../../src/io/image.ts';
import { rgbToGrey } from '../../src/io/image.ts';
import { resize } from '../../src/io/resize.ts';
import type { DiffEditPipeline } from '../../src/pipeline/diffedit/pipeline.ts';
import type { EditArgs, GenerateMaskArgs, InvertArgs } from '../../src/pipeline/diffedit/types.ts';
import { maxError, relativeL2 } from '../support/close.ts';
import { drawnWeights, embeds, openDummies, texture } from '../support/dummies.ts';
import { loadGolden } from '../support/golden.ts';
import { array, meanError, picture, seeded, wrongPixels } from '../support/pipeline.ts';

const golden = loadGolden('dummies');
const square = picture(golden);
const second = texture(28, 40, 1); // beside `square` it is resized to that one's size
const run = { numInferenceSteps: 4, guidanceScale: 6 };
const grid = (height: number, width: number, set: (y: number, x: number) => boolean): NdArray => ({
  data: Float32Array.from({ length: height * width }, (_, i) => (set(Math.floor(i / width), i % width) ? 1 : 0)),
  shape: [1, height, width],
});
const stack = (arrays: NdArray[], rest = arrays[0].shape.slice(1)): NdArray => ({
  data: Float32Array.from(arrays.flatMap(a => Array.from(a.data))),
  shape: [arrays.length, ...rest],
});
const left = grid(16, 16, (_, x) => x < 8);
const leftAndLower = stack([left, grid(16, 16, y => y >= 8)]);

const pipelines = new Map<string, Promise<DiffEditPipeline>>();
const warnings: string[] = [];
/** A pipeline with schedulers made by hand from diffusers' test config with changes, opened once. */
const open = (
  changes: Record<string, unknown> = {},
  { dtype, forward = {} }: { dtype?: 'float32' | 'float16'; forward?: Record<string, unknown> } = {},
): Promise<DiffEditPipeline> => {
  const key = JSON.stringify([changes, dtype, forward]);
  const onWarning = (message: string) => void warnings.push(message);
  const made = pipelines.get(key) ?? openDummies({ ...golden.json.stable, ...changes }, { dtype, forward, onWarning });
  pipelines.set(key, made);
  return made;
};
afterAll(async () => {
  for (const pipeline of pipelines.values()) (await pipeline).dispose();
});

const findMask = (p: DiffEditPipeline, more: Partial<GenerateMaskArgs> = {}) =>
  p.generateMask({
    ...run,
    image: square,
    targetPromptEmbeds: embeds(1),
    targetNegativePromptEmbeds: embeds(2),
    sourcePromptEmbeds: embeds(3),
    sourceNegativePromptEmbeds: embeds(2),
    numMapsPerMask: 3,
    generator: seeded(0),
    ...more,
  });
const invert = async (p: DiffEditPipeline, more: Partial<InvertArgs> = {}): Promise<NdArray> => {
  const prompts = { promptEmbeds: embeds(3), negativePromptEmbeds: embeds(2) };
  return (await p.invert({ ...run, image: square, ...prompts, generator: seeded(0), ...more })).latents;
};
const edit = async (p: DiffEditPipeline, more: Partial<EditArgs>): Promise<NdArray> => {
  const prompts = { promptEmbeds: embeds(1), negativePromptEmbeds: embeds(2) };
  const from = { maskImage: left, imageLatents: array(golden, 'epsilon.inverted') };
  const { images } = await p.edit({ ...run, ...prompts, ...from, generator: seeded(0), outputType: 'latent', ...more });
  return images as NdArray;
};
const fromTwo = { promptEmbeds: embeds(3, 6), negativePromptEmbeds: embeds(2, 5), image: [square, second] };
const toTwo = {
  promptEmbeds: embeds(1, 4),
  negativePromptEmbeds: embeds(2, 5),
  imageLatents: array(golden, 'two.inverted'),
};

function expectLatents(actual: NdArray, name: string, tolerance = 1e-3): void {
  const expected = golden.floats(name);
  expect(actual.shape, name).toEqual(expected.shape);
  expect(maxError(actual.data, expected.data), name).toBeLessThanOrEqual(tolerance);
}

function expectImage(actual: NdArray, name: string, error = maxError): void {
  const expected = golden.floats(name);
  expect(actual.shape, name).toEqual(expected.shape);
  expect(error(actual.data, expected.data), name).toBeLessThanOrEqual(2 / 255);
}

function expectMask(found: { mask: NdArray; map: NdArray }, name: string, tolerance = 1e-3): void {
  const map = golden.floats(`${name}.map`);
  expect(found.map.shape, name).toEqual(map.shape);
  expect(relativeL2(found.map.data, map.data), name).toBeLessThanOrEqual(tolerance);
  expect(wrongPixels(found, { mask: golden.ints(`${name}.mask`).data, map: map.data }), name).toBe(0);
}

test('the weights are those that torch drew', () => {
  for (const network of ['unet', 'vae'] as const) {
    const { sha256, expected } = drawnWeights(network);
    expect(sha256, network).toBe(expected);
  }
});

describe('schedulers made by hand, of which only the forward one is corrected', () => {
  test.each([
    ['epsilon', 'float32'],
    ['v_prediction', 'float32'],
    ['sample', 'float32'],
    ['epsilon', 'float16'],
    ['v_prediction', 'float16'],
  ] as const)('give the recorded mask, latents and picture of %s in %s', async (kind, dtype) => {
    const full = dtype === 'float32';
    const pipeline = await open({ prediction_type: kind }, { dtype });
    expectMask(await findMask(pipeline), kind, full ? 1e-3 : 3e-2);
    expectLatents(await invert(pipeline), `${kind}.inverted`, full ? 1e-3 : 3e-2);
    const maskImage = array(golden, `${kind}.mask`);
    const imageLatents = array(golden, `${kind}.inverted`);
    const image = await edit(pipeline, { maskImage, imageLatents, outputType: 'np' });
    expectImage(image, `${kind}.image`, full ? maxError : meanError);
    const { timesteps, inverse_timesteps } = golden.json[kind];
    expect(pipeline.scheduler.timesteps).toEqual(timesteps);
    expect(pipeline.inverseScheduler.timesteps).toEqual(inverse_timesteps);
  });
});

describe('regularised inversion with guidance', () => {
  test.each([
    ['epsilon', 1],
    ['epsilon', 2],
    ['v_prediction', 1],
    ['v_prediction', 2],
  ] as const)('gives the recorded latents of %s after %i rounds', async (prediction_type, numRegSteps) => {
    const latents = await invert(await open({ prediction_type }), { numRegSteps });
    expectLatents(latents, `regularised.${prediction_type}.${numRegSteps}.inverted`);
  });

  test('gives those of a predicted picture with smaller weights', async () => {
    const { lambda_auto_corr: lambdaAutoCorr, lambda_kl: lambdaKl } = golden.json.weak;
    const latents = await invert(await open({ prediction_type: 'sample' }), {
      numRegSteps: 1,
      lambdaAutoCorr,
      lambdaKl,
    });
    expectLatents(latents, 'regularised.sample.1.inverted');
  });

  test('takes two pictures where the noise is predicted', async () => {
    const latents = await invert(await open(), { ...fromTwo, numRegSteps: 1, inpaintStrength: 0.5 });
    expectLatents(latents, 'regularised.two.inverted');
  });
});

describe('masks', () => {
  test('come from negatives that differ, taken in the original’s order', async () => {
    const negatives = { targetNegativePromptEmbeds: embeds(7), sourceNegativePromptEmbeds: embeds(8) };
    expectMask(await findMask(await open(), negatives), 'negatives');
  });

  test('repeat what one picture drew for two prompts', async () => {
    const found = await findMask(await open(), {
      targetPromptEmbeds: embeds(1, 4),
      sourcePromptEmbeds: embeds(3, 6),
      targetNegativePromptEmbeds: embeds(2, 2),
      sourceNegativePromptEmbeds: embeds(2, 2),
    });
    expectMask(found, 'shared');
  });

  test('take one generator a map', async () => {
    expectMask(await findMask(await open(), { generator: [7, 8, 9].map(seeded) }), 'rows');
  });

  test('of a batch share a threshold, which the same picture alone does not have', async () => {
    const found = await findMask(await open(), {
      image: [square, second],
      targetPromptEmbeds: embeds(1, 4),
      sourcePromptEmbeds: embeds(3, 6),
      targetNegativePromptEmbeds: embeds(7, 9),
      sourceNegativePromptEmbeds: embeds(8, 2),
    });
    expectMask(found, 'batch');
    const alone = await findMask(await open(), {
      image: resize(second, 32, 32, 'lanczos'),
      targetPromptEmbeds: embeds(4),
      sourcePromptEmbeds: embeds(6),
      targetNegativePromptEmbeds: embeds(9),
      sourceNegativePromptEmbeds: embeds(2),
    });
    expectMask(alone, 'alone');
  });
});

describe('two pictures', () => {
  test('are inverted with one generator each', async () => {
    const latents = await invert(await open(), { ...fromTwo, generator: [seeded(7), seeded(8)] });
    expectLatents(latents, 'two.inverted');
  });

  test('are edited twice each under masks of their own, with and without fresh noise', async () => {
    const four = { ...toTwo, maskImage: leftAndLower, numImagesPerPrompt: 2 };
    expectLatents(await edit(await open(), four), 'four.latents');
    const noisy = { ...four, eta: 1, generator: [10, 11, 12, 13].map(seeded) };
    expectLatents(await edit(await open(), noisy), 'four_eta.latents');
  });

  test('are thresholded each by its own quantile', async () => {
    const pipeline = await open({}, { forward: golden.json.threshold });
    const { data, shape } = toTwo.imageLatents;
    const imageLatents = { data: data.map(v => 3 * v), shape };
    expectLatents(
      await edit(pipeline, { ...toTwo, imageLatents, maskImage: leftAndLower, eta: 0.5 }),
      'threshold.latents',
    );
  });
});

describe('an edit', () => {
  test('draws the noise of eta 1', async () => {
    expectLatents(await edit(await open(), { eta: 1 }), 'eta.latents');
  });

  test('and its inversion run without guidance', async () => {
    const alone = { guidanceScale: 1, negativePromptEmbeds: undefined };
    expectLatents(await invert(await open(), alone), 'plain.inverted');
    expectLatents(
      await edit(await open(), { ...alone, imageLatents: array(golden, 'plain.inverted') }),
      'plain.latents',
    );
  });

  test('and its inversion clip the predicted picture', async () => {
    const pipeline = await open(golden.json.clip);
    expectLatents(await invert(pipeline), 'clip.inverted');
    expectLatents(await edit(pipeline, { imageLatents: array(golden, 'clip.inverted') }), 'clip.latents');
  });

  test('starts at a level without any signal', async () => {
    const pipeline = await open(golden.json.trailing);
    expectMask(await findMask(pipeline), 'trailing');
    const whole = { inpaintStrength: 1 };
    expectLatents(await invert(pipeline, whole), 'trailing.inverted');
    const imageLatents = array(golden, 'trailing.inverted');
    expectLatents(await edit(pipeline, { ...whole, imageLatents }), 'trailing.latents');
  });

  test('takes evenly spaced timesteps', async () => {
    expectLatents(await edit(await open({}, { forward: golden.json.linspace }), {}), 'linspace.latents');
  });
});

describe('pictures', () => {
  const few = { inpaintStrength: 0.5 };
  /** Values from a picture's bytes, [1, H, W, 3] and [1, 3, H, W]. */
  const floats = ({ data, width, height }: RgbImage, value: (byte: number) => number): [NdArray, NdArray] => {
    const size = width * height;
    return [
      { data: Float32Array.from(data, value), shape: [1, height, width, 3] },
      {
        data: Float32Array.from(data, (_, i) => value(data[3 * (i % size) + Math.floor(i / size)])),
        shape: [1, 3, height, width],
      },
    ];
  };
  const bare = ({ data, shape }: NdArray): NdArray => ({ data, shape: shape.slice(1) });

  test('lose the rows and columns that the VAE cannot take', async () => {
    expectLatents(await invert(await open(), { ...few, image: texture(51, 37, 2) }), 'odd.inverted');
    const maskImage = bare(grid(25, 18, (_, x) => x < 9));
    const odd = { ...few, maskImage, imageLatents: array(golden, 'odd.inverted'), outputType: 'np' as const };
    expectImage(await edit(await open(), odd), 'odd.image');
  });

  test('as arrays with negative values are taken as they are, with a warning', async () => {
    const [last, first] = floats(square, v => 2 * Math.fround(v / 255) - 1);
    for (const image of [first, bare(first), [bare(first)], last]) {
      warnings.length = 0;
      expectLatents(await invert(await open(), { image }), 'epsilon.inverted');
      expect(warnings).toEqual(['preprocessImage: negative values: taken to be in [-1, 1] already']);
    }
  });

  test('as arrays are cut to size by nearest neighbours', async () => {
    const [last, first] = floats(texture(33, 37, 3), v => v / 255);
    for (const image of [last, bare(last), [bare(last)], bare(first)])
      expectLatents(await invert(await open(), { ...few, image }), 'nearest.inverted');
  });

  test('as latents are taken unscaled', async () => {
    const image = { data: seeded(9).randn([1, 4, 16, 16]), shape: [1, 4, 16, 16] };
    expectLatents(await invert(await open(), { ...few, image }), 'latents.inverted');
  });
});

describe('masks of an edit', () => {
  const colours = texture(16, 16, 4);
  const grey = rgbToGrey(colours);
  const turned = { ...grey, data: grey.data.map((_, i) => grey.data[(i % 16) * 16 + Math.floor(i / 16)]) };
  const [levels, turnedLevels] = [grey, turned].map(({ data }) => Float32Array.from(data, v => v / 255));
  const shaped = (data: Float32Array, ...shape: number[]): NdArray => ({ data, shape });

  test('are pictures, grey or not, or arrays of two to four axes', async () => {
    expect(Array.from(grey.data)).toEqual(Array.from(golden.ints('masks.grey').data));
    const arrays = [[], [1], [1, 1]].map(axes => shaped(levels, ...axes, 16, 16));
    for (const maskImage of [grey, colours, [grey], ...arrays])
      expectLatents(await edit(await open(), { maskImage }), 'masks.one');
  });

  test('are lists and batches with one for each prompt', async () => {
    const flat = [levels, turnedLevels].map(data => shaped(data, 16, 16));
    for (const maskImage of [[grey, turned], flat, stack(flat, [16, 16]), flat.map(m => shaped(m.data, 1, 16, 16))])
      expectLatents(await edit(await open(), { ...toTwo, maskImage }), 'masks.two');
  });

  test('lie over latents that come as one array, or as lists of its parts', async () => {
    const { data, shape } = toTwo.imageLatents;
    const [prompts, steps, ...item] = shape;
    const parts = (count: number, ...axes: number[]) => {
      const size = data.length / count;
      return Array.from({ length: count }, (_, i) => shaped(data.slice(i * size, (i + 1) * size), ...axes, ...item));
    };
    const maskImage = [grey, turned];
    const frames = prompts * steps;
    for (const imageLatents of [parts(frames), parts(prompts, steps), parts(1, frames), parts(prompts, 1, steps)])
      expectLatents(await edit(await open(), { ...toTwo, maskImage, imageLatents }), 'masks.two');
  });
});

/** Ways to invert and to guide that diffusers' pipeline lacks, against plain loops in f64 over the same network's predictions. */
import { afterAll, describe, expect, test } from 'vitest';
import type { NdArray } from '../../src/core/ndarray.ts';
import type { DiffEditPipeline } from '../../src/pipeline/diffedit/pipeline.ts';
import type { ReconstructArgs } from '../../src/pipeline/diffedit/reconstruct.ts';
import { DDIMInverseScheduler, DDIMScheduler, Generator } from '../../src/schedulers/index.ts';
import { guidedNoise, rescaled } from '../reference/guided-step.ts';
import { maxError } from '../support/close.ts';
import { loadGolden } from '../support/golden.ts';
import { openPipeline, picture } from '../support/pipeline.ts';
import { type Predictor, predictor } from '../support/predictions.ts';
import { renewed } from '../support/renewed.ts';
import { frame, H, mask, SOURCE, TARGET, W } from '../support/scene.ts';

const SIZE = [1, 4, H, W];
const few = { numInferenceSteps: 4, inpaintStrength: 0.8 };
const clean = Float32Array.from({ length: 4 * H * W }, (_, i) => Math.sin(i) + Math.cos(i / 7));
const image = { data: clean, shape: SIZE, layout: 'nchw' as const };

let pipeline: DiffEditPipeline;
let predict: Predictor;
let texts: Readonly<Record<'source' | 'target' | 'empty', NdArray>>;
renewed(async () => {
  pipeline = await openPipeline('test/golden/sd1/model');
  const source = await pipeline.encodePrompt(SOURCE);
  const target = await pipeline.encodePrompt(TARGET);
  texts = { source: source.promptEmbeds, target: target.promptEmbeds, empty: source.negativePromptEmbeds };
  predict = await predictor('sd1/model', SIZE, texts.source);
});
afterAll(() => pipeline.dispose());

const all = mask(() => 1);
const inverse = new DDIMInverseScheduler({ ...pipelineFields(), stepsOffset: 1 });
const forward = new DDIMScheduler({ ...pipelineFields(), stepsOffset: 1 });

function pipelineFields() {
  return {
    betaStart: 0.00085,
    betaEnd: 0.012,
    betaSchedule: 'scaled_linear',
    setAlphaToOne: false,
    clipSample: false,
  } as const;
}

/** x' from x and the noise e, from level a to level b. */
function moved(x: ArrayLike<number>, e: Float64Array, [a, b]: readonly [number, number], sigma = 0): Float64Array {
  return e.map((noise, i) => {
    const x0 = ((x[i] as number) - Math.sqrt(1 - a) * noise) / Math.sqrt(a);
    return Math.sqrt(b) * x0 + Math.sqrt(1 - b - sigma ** 2) * noise;
  });
}

/** An inversion in f64; `predictionOf` is asked for e at latents and timestep, with what the step would make of an e. */
async function replay(
  steps: number,
  predictionOf: (x: Float64Array, t: number, step: (e: Float64Array) => Float64Array) => Promise<Float64Array>,
): Promise<Float64Array> {
  let x: Float64Array = Float64Array.from(clean);
  for (const { timestep, coefficients } of inverse.schedule(few.numInferenceSteps, { to: steps })) {
    const step = (e: Float64Array) => moved(x, e, [coefficients.alphaT, coefficients.alphaPrev]);
    x = step(await predictionOf(x, timestep, step));
  }
  return x;
}

test('fixed-point rounds repeat a step with the prediction at its own result', async () => {
  const args = { ...few, image, prompt: SOURCE, guidanceScale: 1 };
  const found = await pipeline.invert({ ...args, inversionRounds: 2 });
  const expected = await replay(3, async (x, t, step) => {
    let e = await predict(x, t, texts.source);
    for (let round = 0; round < 2; round++) e = await predict(step(e), t, texts.source);
    return e;
  });
  expect(maxError(frame(found.latents, 0), expected)).toBeLessThan(2e-5);
  const plain = await pipeline.invert(args);
  expect(maxError(frame(plain.latents, 0), expected)).toBeGreaterThan(1e-3);
  expect(await pipeline.invert({ ...args, inversionRounds: 0 })).toEqual(plain);
});

test('a signal ends a step between two of its rounds', async () => {
  const ending = new AbortController();
  const rounds = 10_000; // an hour of them
  setTimeout(() => ending.abort(new Error('enough')), 500);
  const inversion = pipeline.invert({
    ...{ ...few, image, prompt: SOURCE, guidanceScale: 1, inversionRounds: rounds, signal: ending.signal },
  });
  await expect(inversion).rejects.toThrow('enough');
});

test('a signal ends a step between two rounds of its regularisation', async () => {
  const ending = new AbortController();
  setTimeout(() => ending.abort(new Error('enough')), 500);
  const inversion = pipeline.invert({
    ...{ ...few, image, prompt: SOURCE, guidanceScale: 1, signal: ending.signal },
    ...{ numRegSteps: 1000, numAutoCorrRolls: 100 }, // minutes of them
  });
  await expect(inversion).rejects.toThrow('enough');
});

describe('guidance', () => {
  test('acts within its interval of noise levels alone', async () => {
    const scale = 4;
    const found = await pipeline.invert({
      ...{ ...few, image, prompt: SOURCE, guidanceScale: scale },
      guidanceInterval: [0.2, 0.4],
    });
    const levels: number[] = [];
    const expected = await replay(3, async (x, t) => {
      const [u, c] = [await predict(x, t, texts.empty), await predict(x, t, texts.source)];
      levels.push(t / 1000);
      return t / 1000 >= 0.2 && t / 1000 <= 0.4 ? guidedNoise([...u, ...c], scale) : c;
    });
    expect(levels).toEqual([0.001, 0.251, 0.501]);
    expect(maxError(frame(found.latents, 0), expected)).toBeLessThan(2e-5);
  });

  test('with no step within its interval is none: in maps too, whose negatives the original takes for prompts', async () => {
    const args = { ...few, image, prompt: SOURCE, guidanceInterval: [0.6, 1] as const };
    const never = await pipeline.invert({ ...args, guidanceScale: 4 });
    expect(never).toEqual(await pipeline.invert({ ...args, guidanceScale: 1 }));
    const map = async (more: object) =>
      (
        await pipeline.generateMask({
          ...{ image, sourcePrompt: SOURCE, targetPrompt: TARGET, numInferenceSteps: 4, numMapsPerMask: 1, ...more },
          generator: new Generator(3),
        })
      ).map.data;
    const plain = await map({ guidanceScale: 1 });
    expect(await map({ guidanceScale: 4, guidanceInterval: [0.6, 1], guidanceRescale: 0.7 })).toEqual(plain);
    expect(await map({ guidanceScale: 4, guidanceInterval: [0.2, 1] })).not.toEqual(plain);
    const edit = { ...few, prompt: TARGET, maskImage: all, imageLatents: never.latents, outputType: 'latent' } as const;
    const free = await pipeline.edit({ ...edit, guidanceScale: 4, guidanceInterval: [0.6, 1] });
    expect(free).toEqual(await pipeline.edit({ ...edit, guidanceScale: 1 }));
  });

  test('is rescaled to the spread of the conditional prediction, in loops and maps', async () => {
    const [scale, share] = [5, 0.7];
    const both = { guidanceScale: scale, guidanceRescale: share };
    const found = await pipeline.invert({ ...few, image, prompt: SOURCE, ...both });
    const expected = await replay(3, async (x, t) => {
      const [u, c] = [await predict(x, t, texts.empty), await predict(x, t, texts.source)];
      return rescaled(guidedNoise([...u, ...c], scale), c, share);
    });
    expect(maxError(frame(found.latents, 0), expected)).toBeLessThan(2e-5);

    const { map } = await pipeline.generateMask({
      ...{ image, sourcePrompt: SOURCE, targetPrompt: TARGET, numInferenceSteps: 4, numMapsPerMask: 1, ...both },
      generator: new Generator(3),
    });
    const noise = new Generator(3).randn(SIZE);
    const noisy = forward.addNoise({ data: clean, shape: SIZE }, { data: Float32Array.from(noise), shape: SIZE }, 251);
    // The original has each prompt and its negative the wrong way round.
    const side = async (prompt: NdArray) => {
      const [u, c] = [await predict(noisy.data, 251, prompt), await predict(noisy.data, 251, texts.empty)];
      return rescaled(guidedNoise([...u, ...c], scale), c, share);
    };
    const [s, t] = [await side(texts.source), await side(texts.target)];
    const difference = Float64Array.from({ length: H * W }, (_, pixel) => {
      const of = (channel: number) => Math.abs(t[channel * H * W + pixel] - s[channel * H * W + pixel]);
      return (of(0) + of(1) + of(2) + of(3)) / 4;
    });
    expect(maxError(map.data, difference)).toBeLessThan(1e-4);
  });

  test('of 1 within an interval, and a rescale of 0, leave the bits as they are', async () => {
    const args = { ...few, image, prompt: SOURCE, guidanceScale: 3 };
    const plain = await pipeline.invert(args);
    expect(await pipeline.invert({ ...args, guidanceInterval: [0, 1], guidanceRescale: 0 })).toEqual(plain);
  });
});

describe('a DDPM inversion', () => {
  const args = { ...few, image, guidanceScale: 1 };
  const invert = () => pipeline.invert({ ...args, prompt: SOURCE, inversion: 'ddpm', generator: new Generator(5) });
  test('draws every level by itself, and finds the noise between them', async () => {
    const found = await invert();
    const rolls = new Generator(5);
    const schedule = forward.schedule(few.numInferenceSteps, { from: 1, eta: 1 });
    const levels = schedule.map(({ timestep }) => {
      const noise = { data: Float32Array.from(rolls.randn(SIZE)), shape: SIZE };
      return forward.addNoise({ data: clean, shape: SIZE }, noise, timestep).data;
    });
    for (const [i, { timestep, coefficients: c }] of schedule.entries()) {
      expect(frame(found.latents, i)).toEqual(Float32Array.from(levels[i]));
      const e = await predict(levels[i], timestep, texts.source);
      const mean = moved(levels[i], e, [c.alphaT, c.alphaPrev], c.sigma);
      const next = levels[i + 1] ?? clean;
      const z = mean.map((value, j) => (next[j] - value) / c.sigma);
      const spread = Math.max(...z.map(Math.abs));
      expect(maxError(frame(found.noise as NdArray, i), z)).toBeLessThan(1e-5 * spread);
    }
  });

  test('is undone by an edit under its own prompt, which draws nothing', async () => {
    const { latents: imageLatents, noise: inversionNoise } = await invert();
    const edit = {
      ...few,
      guidanceScale: 1,
      maskImage: all,
      imageLatents,
      inversionNoise,
      outputType: 'latent',
    } as const;
    const same = (await pipeline.edit({ ...edit, prompt: SOURCE })).images as NdArray;
    expect(maxError(same.data, clean)).toBeLessThan(1e-4);
    const other = (await pipeline.edit({ ...edit, prompt: TARGET, eta: 1 })).images as NdArray;
    expect(maxError(other.data, clean)).toBeGreaterThan(1e-2);
    const run = await pipeline.run({
      ...{
        ...args,
        sourcePrompt: SOURCE,
        targetPrompt: TARGET,
        maskImage: all,
        outputType: 'latent',
        inversion: 'ddpm',
      },
      ...{ seed: 5, returnLatents: true, numImagesPerPrompt: 2 },
    });
    expect(run.noise).toEqual(inversionNoise);
    const pair = run.images as NdArray;
    for (const half of [0, 1]) {
      expect(maxError(pair.data.subarray(half * clean.length, (half + 1) * clean.length), other.data)).toBeLessThan(
        1e-5,
      );
    }
  });

  test('and what excludes it are refused by name', async () => {
    const inversion = { ...args, prompt: SOURCE, inversion: 'ddpm' } as const;
    await expect(pipeline.invert({ ...inversion, numRegSteps: 1 })).rejects.toThrowErrorMatchingInlineSnapshot(
      `[InputError: invert: numRegSteps of a DDPM inversion, which follows no prediction (numRegSteps). Leave out numRegSteps, or pass inversion 'ddim'.]`,
    );
    await expect(pipeline.invert({ ...inversion, inversionRounds: 1 })).rejects.toThrowErrorMatchingInlineSnapshot(
      `[InputError: invert: inversionRounds of a DDPM inversion, which follows no prediction (inversionRounds). Leave out inversionRounds, or pass inversion 'ddim'.]`,
    );
    await expect(
      pipeline.invert({ ...args, prompt: SOURCE, numRegSteps: 1, inversionRounds: 1 }),
    ).rejects.toThrowErrorMatchingInlineSnapshot(
      `[InputError: invert: fixed-point rounds of regularised predictions (inversionRounds). Leave out numRegSteps or inversionRounds.]`,
    );
    await expect(
      pipeline.invert({ ...args, prompt: SOURCE, inversion: 'ddmp' as 'ddpm' }),
    ).rejects.toThrowErrorMatchingInlineSnapshot(
      `[InputError: invert: no kind of inversion: expected 'ddim' or 'ddpm', got "ddmp" (inversion)]`,
    );
    await expect(
      pipeline.invert({ ...args, prompt: SOURCE, guidanceInterval: [0.8, 0.2] }),
    ).rejects.toThrowErrorMatchingInlineSnapshot(
      `[InputError: invert: not an interval: expected two numbers from 0 to 1, the smaller one first, got [0.8, 0.2] (guidanceInterval)]`,
    );
    const latents = { data: new Float32Array(3 * clean.length), shape: [1, 3, 4, H, W] };
    const edit = { ...few, prompt: TARGET, maskImage: all, imageLatents: latents, inversionNoise: latents };
    await expect(pipeline.edit({ ...edit, eta: 0.5 })).rejects.toThrowErrorMatchingInlineSnapshot(
      `[InputError: edit: noise of a DDPM inversion is for steps with all of it: expected 1, or left out, got 0.5 (eta). Leave eta out.]`,
    );
    const bare = { ...few, image, sourcePrompt: SOURCE, targetPrompt: TARGET, maskImage: all, imageLatents: latents };
    await expect(pipeline.run({ ...bare, inversion: 'ddpm' })).rejects.toThrowErrorMatchingInlineSnapshot(
      `[InputError: run: latents of a DDPM inversion without its noise: got imageLatents alone (inversionNoise). Pass the noise that invert() returned with them, or for latents of another inversion inversion 'ddim'.]`,
    );
    const short = { data: latents.data.subarray(clean.length), shape: [1, 2, 4, H, W] };
    await expect(pipeline.edit({ ...edit, inversionNoise: short })).rejects.toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: edit: inversion noise of another number of prompts or steps: expected [1, 3], got [1, 2] (inversionNoise). Give invert() and edit() the same numInferenceSteps, inpaintStrength and number of prompts.]`,
    );
    const run = { ...args, sourcePrompt: SOURCE, targetPrompt: TARGET, inversionNoise: latents };
    await expect(pipeline.run(run)).rejects.toThrowErrorMatchingInlineSnapshot(
      `[InputError: run: noise of another inversion (inversionNoise). Pass imageLatents of the same inversion beside it, or leave it out.]`,
    );
  });
});

describe('a reconstruction', () => {
  const args = { image: picture(loadGolden('sd1')), prompt: SOURCE, ...few, seed: 1 };

  test('of a model with random weights comes back by the noise of a DDPM inversion alone', async () => {
    const ddpm = await pipeline.reconstruct({ ...args, inversion: 'ddpm' });
    expect(ddpm.picture).toEqual(args.image);
    expect(ddpm.image.data).toEqual(ddpm.decoded.data);
    expect(ddpm.psnr.image).toBe(ddpm.psnr.decoded);
    const { data } = ddpm.decoded;
    const squares = Float64Array.from(data).reduce((sum, value, i) => sum + (value - args.image.data[i]) ** 2, 0);
    expect(ddpm.psnr.decoded).toBeCloseTo(-10 * Math.log10(squares / data.length / 255 ** 2), 10);

    const ddim = await pipeline.reconstruct(args);
    expect(ddim.decoded).toEqual(ddpm.decoded);
    expect(ddim.psnr.image).not.toBe(ddim.psnr.decoded);
    const run = { sourcePrompt: SOURCE, targetPrompt: SOURCE, maskImage: all, guidanceScale: 1 };
    const { images } = await pipeline.run({ ...few, ...run, image: args.image, seed: 1 });
    expect(ddim.image).toEqual(images[0]);
  });

  test('is refused what edits take', async () => {
    const wrong = { ...args, targetPrompt: TARGET } as ReconstructArgs;
    await expect(pipeline.reconstruct(wrong)).rejects.toThrowErrorMatchingInlineSnapshot(
      `[InputError: reconstruct: there is no such argument: got targetPrompt. Known are image, prompt, negativePrompt, numInferenceSteps, inpaintStrength, seed, guidanceScale, invertGuidanceScale, guidanceInterval, guidanceRescale, inversion, inversionRounds, numRegSteps, numAutoCorrRolls, lambdaAutoCorr, lambdaKl, signal, onProgress, generator, crossAttentionKwargs.]`,
    );
    const several = { ...args, prompt: [SOURCE, TARGET] as unknown as string };
    await expect(pipeline.reconstruct(several)).rejects.toThrowErrorMatchingInlineSnapshot(
      `[InputError: reconstruct: not a prompt: expected a string, got a list (prompt)]`,
    );
    const { prompt: _, ...unnamed } = args;
    await expect(pipeline.reconstruct(unnamed as ReconstructArgs)).rejects.toThrowErrorMatchingInlineSnapshot(
      `[InputError: reconstruct: not a prompt: expected a string, got undefined (prompt)]`,
    );
    const negative = ['x'] as unknown as string;
    await expect(
      pipeline.reconstruct({ ...args, negativePrompt: negative }),
    ).rejects.toThrowErrorMatchingInlineSnapshot(
      `[InputError: reconstruct: not a prompt: expected a string, got a list (negativePrompt)]`,
    );
    const pair = { ...args, image: [args.image, args.image] };
    await expect(pipeline.reconstruct(pair)).rejects.toThrowErrorMatchingInlineSnapshot(
      `[InputError: reconstruct: pictures and prompts differ in number: expected 1, one for each prompt, got 2 (image). Pass one picture, or one for each prompt.]`,
    );
    await expect(pipeline.reconstruct({ ...args, inpaintStrength: 2 })).rejects.toThrowErrorMatchingInlineSnapshot(
      `[InputError: reconstruct: strength out of range: expected a number from 0 to 1, got 2 (inpaintStrength)]`,
    );
    const nothing = undefined as unknown as ReconstructArgs;
    await expect(pipeline.reconstruct(nothing)).rejects.toThrow(/^reconstruct: arguments go by name/);
  });
});

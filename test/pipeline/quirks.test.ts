/** The original's slips of docs/parity.md as they are repeated here, and as mendQuirks mends them. */
import { afterAll, describe, expect, test } from 'vitest';
import type { NdArray } from '../../src/core/ndarray.ts';
import type { DiffEditPipeline } from '../../src/pipeline/diffedit/pipeline.ts';
import { DDIMInverseScheduler, DDIMScheduler, maskFromMap, regularise } from '../../src/schedulers/index.ts';
import { maxError } from '../support/close.ts';
import { loadGolden } from '../support/golden.ts';
import { openPipeline, picture, seeded } from '../support/pipeline.ts';
import { renewed } from '../support/renewed.ts';

const SD1 = 'test/golden/sd1/model';
const SOURCE = 'a bowl of fruits';
const TARGET = 'a basket of pears';
const golden = loadGolden('sd1');
const image = picture(golden);
const few = { numInferenceSteps: 4, inpaintStrength: 0.5, guidanceScale: 6 };
const [H, W] = [12, 20];

let pipeline: DiffEditPipeline;
let mended: DiffEditPipeline;
let inverted: NdArray;
renewed(async () => {
  pipeline = await openPipeline(SD1);
  mended = await openPipeline(SD1, { mendQuirks: true });
  inverted = (await pipeline.invert({ ...few, image, prompt: SOURCE, generator: seeded(1) })).latents;
});
afterAll(() => {
  pipeline.dispose();
  mended.dispose();
});

const mask = (value: (x: number) => number): NdArray => ({
  data: Float32Array.from({ length: H * W }, (_, i) => value(i % W)),
  shape: [1, H, W],
});
const half = mask(x => (x < W / 2 ? 1 : 0));
const editLatents = async (of: DiffEditPipeline, more: object) => {
  const edit = { ...few, prompt: TARGET, maskImage: half, imageLatents: inverted, outputType: 'latent' as const };
  return (await of.edit({ ...edit, ...more })).images as NdArray;
};
/** Latents that are no picture's, [1, 4, h, w]. */
const waves = (height: number, width: number) => ({
  data: Float32Array.from({ length: 4 * height * width }, (_, i) => Math.sin(i)),
  shape: [1, 4, height, width],
  layout: 'nchw' as const,
});
/** The latents behind the first inverse step. */
const firstOf = ({ data, shape }: NdArray) => data.subarray((shape[1] - 1) * (data.length / shape[1]));

test('Q1: mended, negatives of their own find another mask than the recorded one', async () => {
  const found = await mended.generateMask({
    numInferenceSteps: 10,
    guidanceScale: 6,
    image: [image, picture(golden, 'image_b')],
    sourcePrompt: [SOURCE, 'a plate of lemons'],
    targetPrompt: [TARGET, 'a plate of apples'],
    sourceNegativePrompt: ['dark', 'blue'],
    targetNegativePrompt: ['red', 'pink'],
    numMapsPerMask: 2,
    generator: seeded(golden.json.seed + 5),
  });
  // The mended threshold is each picture's own (Q12): the original's rule on the mended map leaves the guidance as the cause.
  const recorded = golden.ints('batch.mask').data;
  const changed = maskFromMap(found.map).filter((v, i) => v !== recorded[i]).length;
  expect(changed).toBeGreaterThan(5);
});

test('Q3: mended, an edit that does not know the clean latents ends at the least noisy ones', async () => {
  const kept = await editLatents(mended, { maskImage: mask(() => 0) });
  expect(kept.data).toEqual(firstOf(inverted));
  const [plain, next] = [await editLatents(pipeline, {}), await editLatents(mended, {})];
  expect(maxError(plain.data, next.data)).toBeGreaterThan(1e-4);
});

test('Q13: latents given to an edit change nothing', async () => {
  const latents = { data: new Float32Array(4 * H * W).fill(9), shape: [1, 4, H, W] };
  expect(await editLatents(pipeline, { latents })).toEqual(await editLatents(pipeline, {}));
});

test('Q18: regularisation takes the prediction type of the inverse scheduler', async () => {
  const scheduler = DDIMScheduler.fromConfig(pipeline.scheduler.config, { predictionType: 'v_prediction' });
  const other = await openPipeline(SD1, { scheduler, inverseScheduler: pipeline.inverseScheduler });
  const of = (p: DiffEditPipeline) =>
    p.invert({ ...few, image: waves(H, W), prompt: SOURCE, numRegSteps: 1, generator: seeded(0) });
  expect((await of(other)).latents).toEqual((await of(pipeline)).latents);
  other.dispose();
});

test('Q19: with offset 0 the first inverse step changes nothing', async () => {
  const inverseScheduler = DDIMInverseScheduler.fromConfig(pipeline.inverseScheduler.config, { stepsOffset: 0 });
  const other = await openPipeline(SD1, { inverseScheduler });
  const seen: number[] = [];
  const { latents } = await other.invert({
    ...few,
    image: waves(H, W),
    prompt: SOURCE,
    callback: (_, timestep) => void seen.push(timestep),
  });
  expect(seen).toEqual([0, 250]);
  expect(maxError(firstOf(latents), waves(H, W).data)).toBeLessThan(1e-5);
  other.dispose();
});

describe('Q5: with guidance and v prediction', () => {
  test('regularisation sees the picture twice, with rolls of its own for each', async () => {
    const sd2 = await openPipeline('test/golden/sd2/model');
    const z = waves(16, 16);
    const options = { lambdaAutoCorr: 20, lambdaKl: 20, numRegSteps: 2, numAutoCorrRolls: 3 };
    const one = { numInferenceSteps: 4, inpaintStrength: 0.25, guidanceScale: 6, image: z, prompt: SOURCE };
    const plain = await sd2.invert({ ...one, generator: seeded(0) });
    const generator = seeded(3);
    const actual = await sd2.invert({ ...one, ...options, generator });

    // One step without regularisation tells the prediction: x' = a x + b v.
    const { inverseScheduler } = sd2;
    const t = 1;
    expect(inverseScheduler.timesteps[0]).toBe(t);
    expect(inverseScheduler.config.predictionType).toBe('v_prediction');
    const { linear } = inverseScheduler.stepCoefficients(t);
    const { sample, output } = linear ?? { sample: 0, output: 0 };
    const v = { data: plain.latents.data.map((x, i) => (x - sample * z.data[i]) / output), shape: z.shape };
    const replay = seeded(3);
    let draws = 0;
    const draw = (bound: number) => {
      draws++;
      return replay.randint(bound);
    };
    const epsilon = inverseScheduler.getEpsilonCoefficients(t);
    const expected = inverseScheduler.step(regularise(v, z, { ...options, epsilon, guided: true, draw }), t, z);
    // Two copies of four channels, each with 16 and then 8 rows.
    expect(draws).toBe(2 * 4 * 2 * options.numAutoCorrRolls * options.numRegSteps);
    expect(maxError(actual.latents.data, expected.prevSample.data)).toBeLessThan(1e-4);
    expect(maxError(actual.latents.data, plain.latents.data)).toBeGreaterThan(1e-3);
    expect(generator.random32()).toBe(replay.random32());
    sd2.dispose();
  });
});

test('grey masks are cut at one half by an edit, and a threshold is without effect on them', async () => {
  const { inpaintStrength: _, ...steps } = few;
  const find = (more: object) =>
    pipeline.generateMask({
      ...{ ...steps, image, sourcePrompt: SOURCE, targetPrompt: TARGET, numMapsPerMask: 1, generator: seeded(0) },
      ...more,
    });
  const soft = (await find({ continuous: true })).mask;
  expect((await find({ continuous: true, threshold: 0.2 })).mask).toEqual(soft);
  const hard = { ...soft, data: soft.data.map(v => (v < 0.5 ? 0 : 1)) };
  expect(await editLatents(pipeline, { maskImage: soft })).toEqual(await editLatents(pipeline, { maskImage: hard }));
});

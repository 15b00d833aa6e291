/** Euler, Euler ancestral, DPM-Solver, UniPC, PNDM, LCM and DDPM against whole runs of diffusers. */
import { describe, expect, test } from 'vitest';
import type { NdArray } from '../../src/core/ndarray.ts';
import {
  applyLinearStep,
  type Blend,
  type LinearStep,
  type StepOperands,
  type StepOutcome,
} from '../../src/schedulers/index.ts';
import {
  loadSamplers,
  type RecordedRun,
  recordedModel,
  recordedStart,
  runOf,
  SAMPLERS,
  SHAPE,
  times,
} from '../support/samplers.ts';
import { expectNear, fieldsOf, floats } from '../support/scheduler-numbers.ts';

/** Of the sample's largest magnitude. */
const LOOP = 1e-5;
/** Runs that begin at sigma 4096 subtract numbers of that size, and torch rounds them to float32: what one place of theirs is worth. */
const place = ({ c, i = 1 }: RecordedRun): number => (c['rescale_betas_zero_snr'] === true && i > 1 ? i * 2 ** -23 : 0);

const classes = Object.entries(SAMPLERS);

/** The last sample of a run by diffusers' way of stepping. */
function stepped(Class: (typeof classes)[number][1], { c, n, from = 0 }: RecordedRun): NdArray {
  const scheduler = new Class(fieldsOf(c));
  scheduler.setTimesteps(runOf(n));
  scheduler.setBeginIndex(from);
  const { generator, noise } = recordedStart();
  const rest = scheduler.timesteps.slice(from);
  let x = from > 0 ? noise : times(noise, scheduler.initNoiseSigma);
  if (from > 0) x = scheduler.addNoise(x, { data: generator.randn(SHAPE), shape: SHAPE }, rest[0] as number);
  for (const t of rest) {
    x = scheduler.step(recordedModel(scheduler.scaleModelInput(x, t), t), t, x, { generator }).prevSample;
  }
  return x;
}

/** The same by the pure values of the run. */
function mixed(
  Class: (typeof classes)[number][1],
  { c, n, from = 0 }: RecordedRun,
  take: typeof applyLinearStep = applyLinearStep,
): NdArray {
  const scheduler = new Class(fieldsOf(c));
  const steps = scheduler.linearSteps(runOf(n), { from });
  const { generator, noise } = recordedStart();
  let x = times(noise, scheduler.initNoiseSigmaFor(runOf(n)));
  if (from > 0) {
    const { level } = steps[0] as LinearStep;
    const fresh = generator.randn(SHAPE);
    x = { data: noise.data.map((v, i) => level.sample * v + level.noise * fresh[i]), shape: SHAPE };
  }
  let kept: readonly Float32Array[] = [];
  for (const step of steps) {
    const modelOutput = recordedModel(times(x, step.inputScale), step.timestep);
    const drawn = step.drawsNoise ? generator.randn(SHAPE) : undefined;
    const outcome = take(step, { sample: x, modelOutput, noise: drawn, kept });
    expect(outcome.kept.length).toBe(scheduler.keptSlots);
    ({ prevSample: x, kept } = outcome);
  }
  return x;
}

const f32 = Math.fround;

/** A step as a device takes it: weights, products and sums of single precision, every slot with its weight. */
function inSinglePrecision(step: LinearStep, { sample, modelOutput, noise, kept = [] }: StepOperands): StepOutcome {
  const [x, e] = [sample.data, modelOutput.data];
  const sum = (i: number, terms: readonly (readonly [number, Float32Array | undefined])[]): number =>
    terms.reduce((total, [weight, values]) => f32(total + f32(f32(weight) * (values?.[i] ?? 0))), 0);
  const bound = step.clip ?? Number.POSITIVE_INFINITY;
  const clean = x.map((_, i) => {
    const value = sum(i, [
      [step.cleanSample.sample, x],
      [step.cleanSample.output, e],
    ]);
    return Math.min(Math.max(value, -bound), bound);
  });
  const of = ({ sample: a, output, clean: c, noise: d, kept: weights }: Blend): Float32Array =>
    x.map((_, i) =>
      sum(i, [[a, x], [output, e], [c, clean], [d, noise], ...weights.map((w, k) => [w, kept[k]] as const)]),
    );
  return {
    prevSample: { data: of(step.next), shape: SHAPE },
    predOriginalSample: { data: clean, shape: SHAPE },
    kept: step.keep.map(of),
  };
}

describe.each(classes)('%s', (name, Class) => {
  const rows: RecordedRun[] = loadSamplers(name);

  test('has runs of every length from 1 to 50 to go by', () => {
    const lengths = new Set(rows.map(row => row.n).filter(n => typeof n === 'number'));
    for (let n = 1; n <= 50; n++) expect(lengths).toContain(n);
    expect(rows.filter(row => row.from).length).toBeGreaterThanOrEqual(3);
  });

  test('has the timesteps, noise levels and first deviations of diffusers', () => {
    for (const { c, n, t, s, i = 1 } of rows) {
      const label = JSON.stringify({ c, n });
      const scheduler = new Class(fieldsOf(c));
      scheduler.setTimesteps(runOf(n));
      const sum = scheduler.timesteps.reduce((total, value, at) => total + (at + 1) * (value + 1), 0);
      if (scheduler.timesteps.every(Number.isInteger)) expect(sum, label).toBe(t);
      else expect(Math.abs(sum / t - 1), label).toBeLessThan(1e-6);
      if (s !== undefined) {
        const levels = scheduler.sigmas.reduce((total, value) => total + value, 0);
        expect(Math.abs(levels / s - 1), label).toBeLessThan(1e-6);
      }
      expect(Math.abs(scheduler.initNoiseSigma / i - 1), label).toBeLessThan(1e-6);
      expect(scheduler.initNoiseSigmaFor(runOf(n))).toBe(scheduler.initNoiseSigma);
    }
  });

  test.each([
    // One runs on the other: a quarter shows that they are one, where all is not asked for.
    ['stepping', stepped, process.env['PENTIMENTO_FULL'] ? 1 : 4],
    ['weighted sums', mixed, 1],
  ])('ends every run where diffusers does, by %s', (_, run, every) => {
    for (const row of rows.filter(({ from }, i) => from !== undefined || i % every === 0)) {
      const wanted = floats(row.v);
      const tolerance = LOOP + place(row) / Math.max(...wanted.map(Math.abs));
      expectNear(run(Class, row).data, wanted, tolerance, JSON.stringify({ c: row.c, n: row.n, from: row.from }));
    }
  });
});

test.each(classes)('the sums of %s bear the rounding of a device', (name, Class) => {
  const rows: RecordedRun[] = loadSamplers(name);
  for (const row of rows.filter(
    ({ c }, i) => !c['thresholding'] && i % (process.env['PENTIMENTO_FULL'] ? 1 : 4) === 0,
  )) {
    const wanted = floats(row.v);
    const tolerance = 2 * LOOP + place(row) / Math.max(...wanted.map(Math.abs));
    const label = JSON.stringify({ c: row.c, n: row.n, from: row.from });
    expectNear(mixed(Class, row, inSinglePrecision).data, wanted, tolerance, label);
  }
});

test('timesteps and noise levels are listed one by one as in diffusers', () => {
  for (const { class: name, c, n, timesteps, sigmas = [] } of loadSamplers('lists')) {
    const scheduler = new SAMPLERS[name as keyof typeof SAMPLERS](fieldsOf(c));
    scheduler.setTimesteps(n);
    if (timesteps.every(Number.isInteger)) expect(scheduler.timesteps, name).toEqual(timesteps);
    else expectNear(Float32Array.from(scheduler.timesteps), Float32Array.from(timesteps), 1e-6, name);
    expect(scheduler.sigmas.length).toBe(sigmas.length);
    if (sigmas.length > 0) expectNear(Float32Array.from(scheduler.sigmas), Float32Array.from(sigmas), 1e-6, name);
  }
});

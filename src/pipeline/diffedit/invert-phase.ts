/** From the picture towards its noise, every step kept: DiffEdit's second phase. */

import { InputError, ShapeError } from '../../core/errors.ts';
import type { NdArray } from '../../core/ndarray.ts';
import { dim, type Shape, sizeOf } from '../../core/shape.ts';
import {
  applyStep,
  autoCorrelationGradient,
  type DDIMInverseScheduler,
  type Generator,
  regularise,
  type ScheduledStep,
} from '../../schedulers/index.ts';
import type { DeviceTensor } from '../../tensor/device-tensor.ts';
import { embeddingRows } from '../diffusion/denoiser.ts';
import type { Generators } from '../diffusion/generators.ts';
import { drawLatents, type EncodedPictures } from '../diffusion/image-latents.ts';
import type { LatentDiffusion } from '../diffusion/latent-diffusion.ts';
import { checkPrompts, type PromptNames, promptNames } from '../diffusion/prompt-arguments.ts';
import type { Embeddings } from '../diffusion/prompt-encoder.ts';
import type { Sampler } from '../diffusion/sampler.ts';
import { runSteps, type StepEvent, stepValuesOf } from '../diffusion/sampling-loop.ts';
import { asArray, copyOf, type DeviceCall, type PhaseReport } from '../runtime/device-call.ts';
import { checkCount, checkNumber, checkStrength, stepsOf, withDefaults } from './checks.ts';
import type { InvertArgs } from './types.ts';

type Defaulted =
  | 'numInferenceSteps'
  | 'inpaintStrength'
  | 'guidanceScale'
  | 'callbackSteps'
  | 'lambdaAutoCorr'
  | 'lambdaKl'
  | 'numRegSteps'
  | 'numAutoCorrRolls';

/** Arguments with the defaults filled in. */
export type InvertSettings = InvertArgs & { readonly [K in Defaulted]-?: number };

/**
 * Fills in the defaults and checks everything that needs no model.
 * @throws InputError or ShapeError
 */
export function invertSettings(op: string, a: InvertArgs, names: PromptNames = promptNames('')): InvertSettings {
  const s = withDefaults(a, {
    numInferenceSteps: 50,
    inpaintStrength: 0.8,
    guidanceScale: 7.5,
    callbackSteps: 1,
    lambdaAutoCorr: 20,
    lambdaKl: 20,
    numRegSteps: 0,
    numAutoCorrRolls: 5,
  });
  checkStrength(op, s.inpaintStrength, 'inpaintStrength');
  checkCount(op, s.callbackSteps, 'callbackSteps');
  checkPrompts(op, s, names);
  checkNumber(op, s.guidanceScale, 'guidanceScale');
  checkCount(op, s.numRegSteps, 'numRegSteps', 0);
  checkCount(op, s.numAutoCorrRolls, 'numAutoCorrRolls');
  for (const name of ['lambdaAutoCorr', 'lambdaKl'] as const) checkNumber(op, s[name], name);
  return s;
}

/**
 * Checks what regularised inversion asks for beyond the plain one; nothing where it is off.
 * @param o.shape [B, C, h, w] of the latents
 * @throws InputError for several generators; ShapeError for several pictures where diffusers crashes, or sides that the
 * pyramid cannot halve
 */
export function checkRegularised(
  op: string,
  s: InvertSettings,
  o: { readonly shape: Shape; readonly generator: Generators; readonly scheduler: DDIMInverseScheduler },
): void {
  if (s.numRegSteps === 0) return;
  oneGenerator(op, o.generator);
  const { predictionType } = o.scheduler.config;
  if (dim(o.shape, 0) > 1 && s.guidanceScale > 1 && predictionType !== 'epsilon') {
    throw new ShapeError({
      op,
      problem: `guided inversion of several pictures cannot be regularised with ${predictionType}`,
      expected: 'one picture',
      received: dim(o.shape, 0),
      path: 'numRegSteps',
      fix: 'Invert the pictures one by one, or with guidanceScale 1.',
    });
  }
  // A dry run: only its checks are wanted.
  const plane = [1, 1, ...o.shape.slice(2)];
  if (s.lambdaAutoCorr > 0) autoCorrelationGradient(new Float32Array(sizeOf(plane)), plane, () => 0);
}

/** The steps of an inversion, ascending. */
export function invertSchedule(op: string, sampler: Sampler, s: InvertSettings): readonly ScheduledStep[] {
  const { length } = sampler.timestepsFor(s.numInferenceSteps);
  const to = stepsOf(op, length, s.inpaintStrength, 'inpaintStrength');
  return sampler.schedule(s.numInferenceSteps, { to });
}

export interface InvertInputs {
  readonly settings: InvertSettings;
  readonly schedule: readonly ScheduledStep[];
  readonly embeddings: Embeddings;
  readonly pictures: EncodedPictures;
  readonly generator: Generators;
}

/** Latents of all steps on the device, noisiest first. */
export interface History {
  /** f32 [T * B, 4, h, w] */
  readonly tensor: DeviceTensor;
  readonly frames: number;
  readonly batch: number;
  /** [B, 4, h, w]: the latents that the inversion started from. */
  readonly clean?: NdArray;
}

/**
 * DDIM backwards.
 * @see diffusers StableDiffusionDiffEditPipeline.invert
 */
export async function* invertPhase(
  call: DeviceCall,
  model: LatentDiffusion,
  inputs: InvertInputs,
): AsyncGenerator<StepEvent, History> {
  const { settings: s, schedule, embeddings, pictures, generator } = inputs;
  const report = call.phase('invert', schedule.length);
  model.inverseScheduler.setTimesteps(s.numInferenceSteps); // for whoever reads its timesteps afterwards
  const batch = dim(embeddings.positive.shape, 0);
  const clean = drawLatents(pictures, batch, { repeat: 1, generator, scaling: model.autoencoder.scalingFactor });
  const frames = schedule.length;
  const tensor = call.scope.tensor([frames * batch, ...clean.shape.slice(1)], 'float32', 'inverted latents');
  const history = { tensor, frames, batch, clean };
  const loop = s.numRegSteps > 0 ? regularised : plain;
  yield* loop(call, model, { ...inputs, report }, history);
  return history;
}

async function* plain(
  call: DeviceCall,
  model: LatentDiffusion,
  inputs: InvertInputs & { report: PhaseReport },
  to: History & { clean: NdArray },
): AsyncGenerator<StepEvent, void> {
  const { settings: s, schedule } = inputs;
  const { denoiser } = model;
  const size = sizeFor(to.clean, s.guidanceScale);
  const shape = { ...size, noise: false, history: to.frames };
  const program = await denoiser.step(call, shape, promptRows(inputs.embeddings));
  const { io } = program;
  io.latents.write(to.clean.data);
  yield* runSteps(call, {
    ...s,
    phase: 'invert',
    report: inputs.report,
    timesteps: schedule.map(step => step.timestep),
    submit: i => {
      const { timestep, coefficients } = schedule[i] as ScheduledStep;
      const values = stepValuesOf(coefficients, s.guidanceScale);
      denoiser.set(io, timestep, { ...values, historyIndex: to.frames - 1 - i });
      program.run();
    },
    latents: async () => asArray(await io.latents.read(), io.latents.shape),
  });
  if (io.history) to.tensor.copyFrom(io.history);
}

/** Every prediction is pushed towards white noise on the host before its step. */
async function* regularised(
  call: DeviceCall,
  model: LatentDiffusion,
  inputs: InvertInputs & { report: PhaseReport },
  to: History & { clean: NdArray },
): AsyncGenerator<StepEvent, void> {
  const { settings: s, schedule, generator } = inputs;
  const { denoiser, inverseScheduler } = model;
  const rolls = oneGenerator('invert', generator);
  const size = sizeFor(to.clean, s.guidanceScale);
  const program = await denoiser.noise(call, size, promptRows(inputs.embeddings));
  const { io } = program;
  const all = new Float32Array(sizeOf(to.tensor.shape));
  let x = to.clean;
  yield* runSteps(call, {
    ...s,
    phase: 'invert',
    report: inputs.report,
    timesteps: schedule.map(step => step.timestep),
    submit: async i => {
      const { timestep, coefficients } = schedule[i] as ScheduledStep;
      io.latents.write(x.data);
      denoiser.set(io, timestep, { guidance: s.guidanceScale });
      program.run();
      const predicted = asArray(await io.output.read(), x.shape);
      const e = regularise(predicted, x, {
        numRegSteps: s.numRegSteps,
        lambdaAutoCorr: s.lambdaAutoCorr,
        lambdaKl: s.lambdaKl,
        numAutoCorrRolls: s.numAutoCorrRolls,
        epsilon: inverseScheduler.getEpsilonCoefficients(timestep),
        guided: size.guided,
        draw: bound => rolls.randint(bound),
      });
      x = applyStep(coefficients, e, x).prevSample;
      all.set(x.data, (to.frames - 1 - i) * x.data.length);
    },
    latents: async () => copyOf(x),
  });
  to.tensor.write(all);
}

function oneGenerator(op: string, generator: Generators): Generator {
  if (!Array.isArray(generator)) return generator as Generator;
  if (generator.length === 1) return generator[0] as Generator;
  throw new InputError({
    op,
    problem: 'regularisation draws from one generator',
    expected: 1,
    received: generator.length,
    path: 'generator',
    fix: 'Pass one generator for the whole batch.',
  });
}

/** Rows for the UNet: the unconditional half first. */
export function promptRows({ positive, negative }: Embeddings, times = 1): NdArray[] {
  return [...(negative ? embeddingRows(negative, times) : []), ...embeddingRows(positive, times)];
}

function sizeFor(
  latents: NdArray,
  guidanceScale: number,
): { images: number; height: number; width: number; guided: boolean } {
  const [images, , height, width] = latents.shape as [number, number, number, number];
  return { images, height, width, guided: guidanceScale > 1 };
}

/** The history on the host: [B, T, 4, h, w], noisiest first. */
export async function readHistory({ tensor, frames, batch }: History): Promise<NdArray> {
  const data = await tensor.read();
  const item = tensor.shape.slice(1);
  return asArray(swapFirst(data, frames, batch, sizeOf(item)), [batch, frames, ...item]);
}

/** [a, b, size] -> [b, a, size] */
export function swapFirst(data: Float32Array, a: number, b: number, size: number): Float32Array {
  const out = new Float32Array(data.length);
  for (let i = 0; i < a; i++) {
    for (let j = 0; j < b; j++) out.set(data.subarray((i * b + j) * size, (i * b + j + 1) * size), (j * a + i) * size);
  }
  return out;
}

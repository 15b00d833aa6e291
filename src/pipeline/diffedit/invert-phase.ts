/** From the picture towards its noise, every step kept: DiffEdit's second phase. */

import type { NdArray } from '../../core/ndarray.ts';
import { sizeOf } from '../../core/shape.ts';
import { applyStep, regularise, type ScheduledStep } from '../../schedulers/index.ts';
import type { DeviceTensor } from '../../tensor/device-tensor.ts';
import { type DenoiserSize, embeddingRows } from '../diffusion/denoiser.ts';
import { drawLatents, type EncodedPictures } from '../diffusion/image-latents.ts';
import type { LatentDiffusion } from '../diffusion/latent-diffusion.ts';
import type { Embeddings } from '../diffusion/prompt-encoder.ts';
import { runSteps, type StepEvent, stepValuesOf } from '../diffusion/sampling-loop.ts';
import { asArray, copyOf, type DeviceCall, type PhaseReport } from '../runtime/device-call.ts';
import { allFinite } from '../runtime/finite.ts';
import { swapFirst } from './edit-inputs.ts';
import type { Guidance, InvertRequest, Regularisation } from './request.ts';

/** The networks' part of an inversion's request. */
export interface EncodedInversion {
  readonly embeddings: Embeddings;
  readonly pictures: EncodedPictures;
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
  request: InvertRequest,
  { embeddings, pictures }: EncodedInversion,
): AsyncGenerator<StepEvent, History> {
  const { batch, schedule, generator, regularisation } = request;
  const frames = schedule.length;
  const report = call.phase('invert', frames);
  const clean = drawLatents(pictures, batch, { repeat: 1, generator, scaling: model.autoencoder.scalingFactor });
  const tensor = call.scope.tensor([frames * batch, ...clean.shape.slice(1)], 'float32', 'inverted latents');
  const history = { tensor, frames, batch, clean };
  const work = { request, rows: promptRows(embeddings), report };
  if (regularisation) yield* regularised(call, model, { ...work, regularisation }, history);
  else yield* plain(call, model, work, history);
  return history;
}

/** What both loops work with. */
interface InvertWork {
  readonly request: InvertRequest;
  /** Of the UNet's batch. */
  readonly rows: readonly NdArray[];
  readonly report: PhaseReport;
}

async function* plain(
  call: DeviceCall,
  model: LatentDiffusion,
  { request, rows, report }: InvertWork,
  to: History & { clean: NdArray },
): AsyncGenerator<StepEvent, void> {
  const { schedule, guidance, callback, callbackSteps } = request;
  const { denoiser } = model;
  const shape = { ...sizeFor(to.clean, guidance), noise: false, history: to.frames };
  const program = await denoiser.step(call, shape, rows);
  const { io } = program;
  io.latents.write(to.clean.data);
  const firstNonFinite = denoiser.watch(io);
  yield* runSteps(call, {
    ...{ phase: 'invert', report, callback, callbackSteps },
    timesteps: schedule.map(step => step.timestep),
    submit: i => {
      const { timestep, coefficients } = schedule[i] as ScheduledStep;
      const values = stepValuesOf(coefficients, guidance.scale);
      denoiser.set(io, timestep, { ...values, historyIndex: to.frames - 1 - i, stepNumber: i });
      return program.run(call);
    },
    latents: async () => asArray(await io.latents.read(), io.latents.shape),
    firstNonFinite,
  });
  if (io.history) to.tensor.copyFrom(io.history);
}

/** Every prediction is pushed towards white noise on the host before its step. */
async function* regularised(
  call: DeviceCall,
  model: LatentDiffusion,
  { request, rows, report, regularisation }: InvertWork & { readonly regularisation: Regularisation },
  to: History & { clean: NdArray },
): AsyncGenerator<StepEvent, void> {
  const { schedule, guidance, callback, callbackSteps } = request;
  const { generator: rolls, ...settings } = regularisation;
  const { denoiser, inverseSampler } = model;
  const program = await denoiser.noise(call, sizeFor(to.clean, guidance), rows);
  const { io } = program;
  const all = new Float32Array(sizeOf(to.tensor.shape));
  let x = to.clean;
  let bad: number | undefined;
  yield* runSteps(call, {
    ...{ phase: 'invert', report, callback, callbackSteps },
    timesteps: schedule.map(step => step.timestep),
    submit: async i => {
      const { timestep, coefficients } = schedule[i] as ScheduledStep;
      io.latents.write(x.data);
      denoiser.set(io, timestep, { guidance: guidance.scale });
      await program.run(call);
      const predicted = asArray(await io.output.read(), x.shape);
      const e = regularise(predicted, x, {
        ...settings,
        epsilon: inverseSampler.getEpsilonCoefficients(timestep),
        guided: guidance.guided,
        draw: bound => rolls.randint(bound),
      });
      x = applyStep(coefficients, e, x).prevSample;
      if (!allFinite(x.data)) bad ??= i;
      all.set(x.data, (to.frames - 1 - i) * x.data.length);
    },
    latents: async () => copyOf(x),
    firstNonFinite: () => bad,
  });
  to.tensor.write(all);
}

/** Rows for the UNet: the unconditional half first. */
export function promptRows({ positive, negative }: Embeddings, times = 1): NdArray[] {
  return [...(negative ? embeddingRows(negative, times) : []), ...embeddingRows(positive, times)];
}

function sizeFor(latents: NdArray, { guided }: Guidance): DenoiserSize {
  const [images, , height, width] = latents.shape as [number, number, number, number];
  return { images, height, width, guided };
}

/** The history on the host: [B, T, 4, h, w], noisiest first. */
export async function readHistory({ tensor, frames, batch }: History): Promise<NdArray> {
  const data = await tensor.read();
  const item = tensor.shape.slice(1);
  return asArray(swapFirst(data, frames, batch, sizeOf(item)), [batch, frames, ...item]);
}

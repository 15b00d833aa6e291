/**
 * Edit-friendly DDPM inversion: the picture with independent noise at every level, and for each step of the edit the noise that leads
 * from one level to the next.
 * @see Huberman-Spiegelglas et al. 2023, An Edit Friendly DDPM Noise Space, https://arxiv.org/abs/2304.06140
 */
import { randnBatch } from '../../schedulers/generator.ts';
import type { ScheduledStep, StepCoefficients } from '../../schedulers/index.ts';
import type { DeviceTensor } from '../../tensor/device-tensor.ts';
import { type StepValues, stepValues } from '../../tensor/ops/diffusion.ts';
import type { LatentDiffusion } from '../diffusion/latent-diffusion.ts';
import { drawsFrom } from '../diffusion/latent-draws.ts';
import { runSteps, type StepEvent, stepValuesOf } from '../diffusion/sampling-loop.ts';
import { asArray, type DeviceCall } from '../runtime/device-call.ts';
import { guidanceAt } from './guidance.ts';
import { framesOf, type History, type InvertWork, sizeFor } from './inversion-history.ts';

/**
 * Fills the history with x_i = sqrt(a_i) x_0 + sqrt(1 - a_i) n_i for the levels of an edit's steps, n_i drawn for each, and finds
 * z_i = (x_(i+1) - mu(x_i)) / sigma_i, where mu is the step without its noise and x_(i+1) behind the last step is the picture itself.
 * The levels are independent, so they are done in the order of an inversion, the least noisy first.
 * @returns f32 [T * B, 4, h, w]: z of every step, on the device
 */
export async function* ddpmInversion(
  call: DeviceCall,
  model: LatentDiffusion,
  { request, rows, report, kept }: InvertWork,
  to: History & { readonly clean: DeviceTensor },
): AsyncGenerator<StepEvent, DeviceTensor> {
  const { schedule, guidance, callback, callbackSteps } = request;
  const { denoiser, sampler } = model;
  const { clean, tensor, frames, batch } = to;
  await noisyFrames(call, model, request, to);
  const frame = call.scope.tensor(clean.shape, 'float32', 'noisy latents');
  const program = await denoiser.step(call, { ...sizeFor(clean, guidance), noise: true, history: frames }, rows);
  const { io } = program;
  const firstNonFinite = denoiser.watch(io);
  const frameAt = (i: number): number => frames - 1 - i;
  let last = 0;
  yield* runSteps(call, {
    ...{ phase: 'invert', report, kept, callback, callbackSteps },
    state: io.history && { tensor: io.history, entries: framesOf(to) },
    timesteps: schedule.map(step => step.timestep).reverse(),
    submit: i => {
      const at = frameAt(i);
      last = i;
      const { timestep, coefficients } = schedule[at] as ScheduledStep;
      io.latents.copyRows(tensor, { from: at * batch, count: batch });
      if (at === frames - 1) io.noise?.copyRows(clean);
      else io.noise?.copyRows(tensor, { from: (at + 1) * batch, count: batch });
      const values = { ...solvedForNoise(coefficients), ...guidanceAt(guidance, timestep, sampler) };
      denoiser.set(io, timestep, { ...values, historyIndex: at, stepNumber: i });
      return program.run(call);
    },
    latents: async () => {
      frame.copyRows(tensor, { from: frameAt(last) * batch, count: batch });
      return asArray(await frame.read(), frame.shape);
    },
    firstNonFinite,
  });
  const noise = call.scope.tensor(tensor.shape, 'float32', 'noise of the steps');
  if (io.history) noise.copyFrom(io.history);
  return noise;
}

/** Fills the history with x_i of all levels, noisiest first. */
async function noisyFrames(
  call: DeviceCall,
  { denoiser, sampler }: LatentDiffusion,
  { schedule, generator }: InvertWork['request'],
  { clean, tensor, batch }: History & { readonly clean: DeviceTensor },
): Promise<void> {
  const [images, , height, width] = clean.shape as [number, number, number, number];
  const draws = drawsFrom({ values: clean, drawn: false }, 1);
  const program = await denoiser.draw(call, { images, height, width, draws });
  const { io } = program;
  io.pictures.copyFrom(clean);
  for (const [i, { timestep }] of schedule.entries()) {
    const { sample, noise } = sampler.addNoiseCoefficients(timestep);
    io.levelNoise.write(randnBatch(clean.shape, generator));
    io.step.write(stepValues({ outFromX0: sample, sigma: noise }));
    await program.run(call);
    tensor.copyRows(io.latents, { to: i * batch });
  }
}

/**
 * The numbers for which the kernel's x' = a x0 + b eps + sigma noise is z = (next - mu) / sigma, with the next level in the place of the
 * noise. A step without noise has none to find: all zeros.
 */
function solvedForNoise(c: StepCoefficients): StepValues {
  const values = stepValuesOf(c);
  const { outFromX0 = 0, outFromEps = 0 } = values;
  if (c.sigma === 0) return {};
  return { ...values, outFromX0: -outFromX0 / c.sigma, outFromEps: -outFromEps / c.sigma, sigma: 1 / c.sigma };
}

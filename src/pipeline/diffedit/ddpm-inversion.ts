/**
 * Edit-friendly DDPM inversion: the picture with independent noise at every level, and for each step of the edit the noise that leads
 * from one level to the next.
 * @see Huberman-Spiegelglas et al. 2023, An Edit Friendly DDPM Noise Space, https://arxiv.org/abs/2304.06140
 */
import type { NdArray } from '../../core/ndarray.ts';
import { sizeOf } from '../../core/shape.ts';
import { randnBatch, type ScheduledStep, type StepCoefficients } from '../../schedulers/index.ts';
import type { DeviceTensor } from '../../tensor/device-tensor.ts';
import type { StepValues } from '../../tensor/ops/diffusion.ts';
import type { LatentDiffusion } from '../diffusion/latent-diffusion.ts';
import { rowsOf } from '../diffusion/rows.ts';
import { runSteps, type StepEvent, stepValuesOf } from '../diffusion/sampling-loop.ts';
import { asArray, copyOf, type DeviceCall } from '../runtime/device-call.ts';
import { guidanceAt } from './guidance.ts';
import { type History, type InvertWork, sizeFor } from './inversion-history.ts';

/**
 * Fills the history with x_i = sqrt(a_i) x_0 + sqrt(1 - a_i) n_i for the levels of an edit's steps, n_i drawn for each, and finds
 * z_i = (x_(i+1) - mu(x_i)) / sigma_i, where mu is the step without its noise and x_(i+1) behind the last step is the picture itself.
 * The levels are independent, so they are done in the order of an inversion, the least noisy first.
 * @returns f32 [T * B, 4, h, w]: z of every step, on the device
 */
export async function* ddpmInversion(
  call: DeviceCall,
  model: LatentDiffusion,
  { request, rows, report }: InvertWork,
  to: History & { readonly clean: NdArray },
): AsyncGenerator<StepEvent, DeviceTensor> {
  const { schedule, guidance, callback, callbackSteps } = request;
  const { denoiser, sampler } = model;
  const { clean, tensor, frames, batch } = to;
  const noisy = noisyFrames(model, request, to);
  tensor.write(noisy.data);
  const picture = call.scope.tensor(clean.shape, 'float32', 'clean latents');
  picture.write(clean.data);
  const program = await denoiser.step(call, { ...sizeFor(clean, guidance), noise: true, history: frames }, rows);
  const { io } = program;
  const firstNonFinite = denoiser.watch(io);
  const frameAt = (i: number): number => frames - 1 - i;
  let last = 0;
  yield* runSteps(call, {
    ...{ phase: 'invert', report, callback, callbackSteps },
    timesteps: schedule.map(step => step.timestep).reverse(),
    submit: i => {
      const at = frameAt(i);
      last = i;
      const { timestep, coefficients } = schedule[at] as ScheduledStep;
      io.latents.copyRows(tensor, { from: at * batch, count: batch });
      if (at === frames - 1) io.noise?.copyRows(picture);
      else io.noise?.copyRows(tensor, { from: (at + 1) * batch, count: batch });
      const values = { ...solvedForNoise(coefficients), ...guidanceAt(guidance, timestep, sampler) };
      denoiser.set(io, timestep, { ...values, historyIndex: at, stepNumber: i });
      return program.run(call);
    },
    latents: async () => copyOf(rowsOf(noisy, frameAt(last) * batch, (frameAt(last) + 1) * batch)),
    firstNonFinite,
  });
  const noise = call.scope.tensor(tensor.shape, 'float32', 'noise of the steps');
  if (io.history) noise.copyFrom(io.history);
  return noise;
}

/** x_i of all levels, [T * B, 4, h, w], noisiest first. */
function noisyFrames(
  { sampler }: LatentDiffusion,
  { schedule, generator }: InvertWork['request'],
  { clean, tensor }: History & { readonly clean: NdArray },
): NdArray {
  const all = new Float32Array(sizeOf(tensor.shape));
  for (const [i, { timestep }] of schedule.entries()) {
    const noise = asArray(randnBatch(clean.shape, generator), clean.shape);
    all.set(sampler.addNoise(clean, noise, timestep).data, i * clean.data.length);
  }
  return asArray(all, tensor.shape);
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

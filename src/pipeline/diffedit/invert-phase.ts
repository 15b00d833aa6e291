/** From the picture towards its noise, every step kept: DiffEdit's second phase. */

import { loadPart } from '../../core/load-part.ts';
import type { ScheduledStep } from '../../schedulers/index.ts';
import type { DeviceTensor } from '../../tensor/device-tensor.ts';
import type { StepInputs } from '../diffusion/denoiser-programs.ts';
import { drawLatents } from '../diffusion/image-latents.ts';
import type { LatentDiffusion } from '../diffusion/latent-diffusion.ts';
import type { EncodedPictures } from '../diffusion/latent-draws.ts';
import type { Embeddings } from '../diffusion/prompt-encoder.ts';
import { promptRows } from '../diffusion/rows.ts';
import { runSteps, type StepEvent, stepValuesOf } from '../diffusion/sampling-loop.ts';
import { asArray, type DeviceCall } from '../runtime/device-call.ts';
import type { DeviceProgram } from '../runtime/device-program.ts';
import { guidanceAt } from './guidance.ts';
import { framesOf, type History, type InvertWork, sizeFor } from './inversion-history.ts';
import type { InvertRequest } from './request.ts';

/** The networks' part of an inversion's request. */
export interface EncodedInversion {
  readonly embeddings: Embeddings;
  readonly pictures: EncodedPictures;
}

/**
 * DDIM backwards, or noise of all levels.
 * @see diffusers StableDiffusionDiffEditPipeline.invert
 */
export async function* invertPhase(
  call: DeviceCall,
  model: LatentDiffusion,
  request: InvertRequest,
  { embeddings, pictures }: EncodedInversion,
): AsyncGenerator<StepEvent, History> {
  const { batch, schedule } = request;
  const frames = schedule.length;
  const home = { scope: call.scope, most: batch * Math.max(1, call.kept.every) };
  const { tensor, clean, noise } = yield* call.kept.tensors('history', home, () =>
    inverted(call, model, request, { embeddings, pictures }),
  );
  return { tensor: tensor as DeviceTensor, clean: clean as DeviceTensor, noise, frames, batch };
}

async function* inverted(
  call: DeviceCall,
  model: LatentDiffusion,
  request: InvertRequest,
  { embeddings, pictures }: EncodedInversion,
): AsyncGenerator<StepEvent, { tensor: DeviceTensor; clean: DeviceTensor; noise: DeviceTensor | undefined }> {
  const { batch, schedule, generator, regularisation } = request;
  const frames = schedule.length;
  const report = call.phase('invert', frames);
  const kept = call.kept.phase('invert', [generator, regularisation?.generator].flat());
  const { scalingFactor: scaling } = model.autoencoder;
  const clean = await drawLatents(call, model.denoiser, pictures, { batch, generator, scaling });
  const tensor = call.scope.tensor([frames * batch, ...clean.shape.slice(1)], 'float32', 'inverted latents');
  const history = { tensor, frames, batch, clean };
  const work = { request, rows: promptRows(embeddings), report, kept };
  if (request.kind === 'ddpm') {
    const { ddpmInversion } = await loadPart('DDPM inversion', () => import('./ddpm-inversion.ts'));
    return { tensor, clean, noise: yield* ddpmInversion(call, model, work, history) };
  }
  if (regularisation) {
    const { regularised } = await loadPart('regularised inversion', () => import('./regularised-inversion.ts'));
    yield* regularised(call, model, { ...work, regularisation }, history);
  } else yield* plain(call, model, work, history);
  return { tensor, clean, noise: undefined };
}

async function* plain(
  call: DeviceCall,
  model: LatentDiffusion,
  { request, rows, report, kept }: InvertWork,
  to: History & { clean: DeviceTensor },
): AsyncGenerator<StepEvent, void> {
  const { schedule, guidance, rounds, callback, callbackSteps } = request;
  const { denoiser } = model;
  const shape = { ...sizeFor(to.clean, guidance), noise: false, history: to.frames, apart: rounds > 0 };
  const program = await denoiser.step(call, shape, rows);
  const { io } = program;
  io.latents.copyFrom(to.clean);
  const start = rounds > 0 ? call.scope.tensor(to.clean.shape, 'float32', 'latents before the step') : undefined;
  const firstNonFinite = denoiser.watch(io);
  const resumed = (step: number): void => {
    if (io.history) io.latents.copyRows(io.history, framesOf(to)(step - 1, step));
  };
  yield* runSteps(call, {
    ...{ phase: 'invert', report, kept, callback, callbackSteps },
    state: io.history && { tensor: io.history, entries: framesOf(to), resumed },
    timesteps: schedule.map(step => step.timestep),
    submit: i => {
      const { timestep, coefficients } = schedule[i] as ScheduledStep;
      const values = { ...stepValuesOf(coefficients), ...guidanceAt(guidance, timestep, model.sampler) };
      denoiser.set(io, timestep, { ...values, historyIndex: to.frames - 1 - i, stepNumber: i });
      return start ? fixedPoint(call, program, start, rounds) : program.run(call);
    },
    latents: async () => asArray(await io.latents.read(), io.latents.shape),
    firstNonFinite,
  });
  if (io.history) to.tensor.copyFrom(io.history);
}

/**
 * One step whose prediction is made of its own result: the latents of the round before stand where the UNet looks. Of any number of
 * rounds one is in flight behind the one being submitted, so that a signal is heard between them.
 */
async function fixedPoint(
  call: DeviceCall,
  program: DeviceProgram<StepInputs>,
  start: DeviceTensor,
  rounds: number,
): Promise<void> {
  const { latents, moved } = program.io;
  start.copyFrom(latents);
  let flying: Promise<void> = Promise.resolve();
  for (let round = 0; round <= rounds; round++) {
    call.check();
    moved.copyFrom(start);
    await program.run(call);
    latents.copyFrom(moved);
    const done = call.memory.gpu.idle();
    done.catch(() => undefined); // awaited in the next round, or by the loop of the steps
    await flying;
    flying = done;
  }
}

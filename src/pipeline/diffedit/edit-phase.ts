/** Denoising under the target prompt where the mask is set, the inverted latents elsewhere: DiffEdit's third phase. */

import type { NdArray } from '../../core/ndarray.ts';
import { dim } from '../../core/shape.ts';
import type { ScheduledStep } from '../../schedulers/base.ts';
import { randnBatch } from '../../schedulers/generator.ts';
import type { DeviceTensor } from '../../tensor/device-tensor.ts';
import type { StepInputs } from '../diffusion/denoiser-programs.ts';
import type { LatentDiffusion } from '../diffusion/latent-diffusion.ts';
import type { Embeddings } from '../diffusion/prompt-encoder.ts';
import { promptRows } from '../diffusion/rows.ts';
import { runSteps, type StepEvent, stepValuesOf } from '../diffusion/sampling-loop.ts';
import { asArray, type DeviceCall } from '../runtime/device-call.ts';
import { guidanceAt, guidanceShape } from './guidance.ts';
import type { History } from './inversion-history.ts';
import type { EditRequest } from './request.ts';
import { maskAbove } from './soft-mask.ts';

/** What earlier phases and the text encoder give an edit. */
export interface EditInputs {
  readonly embeddings: Embeddings;
  /** [B, 1, h, w], between 0 and 1 where it is soft. */
  readonly mask: NdArray;
  /** On the host [T, B, 4, h, w], or still on the device. */
  readonly latents: NdArray | History;
}

/**
 * DDIM with the masked blend.
 * @returns [B * k, 4, h, w]
 * @see diffusers StableDiffusionDiffEditPipeline.__call__
 */
export async function* editPhase(
  call: DeviceCall,
  model: LatentDiffusion,
  request: EditRequest,
  { embeddings, mask, latents }: EditInputs,
): AsyncGenerator<StepEvent, NdArray> {
  const { batch, copies, schedule, guidance, noisy, mendQuirks, softExponent, callback, callbackSteps } = request;
  const [height, width] = [dim(mask.shape, 2), dim(mask.shape, 3)];
  const frames = schedule.length;
  const report = call.phase('edit', frames);
  const kept = call.kept.phase('edit', request.generator);
  const rows = promptRows(embeddings, copies);
  const size = { images: batch * copies, height, width, ...guidanceShape(guidance) };
  const history = 'tensor' in latents ? latents : toDevice(call, latents, request.noise);
  // Mended, the blend ends with one frame more: the clean latents.
  const blend = {
    masks: batch,
    order: maskOrder(mendQuirks),
    references: batch,
    frames: frames + (mendQuirks ? 1 : 0),
    soft: softExponent !== undefined,
  };
  const threshold = schedule[0]?.coefficients.threshold ?? undefined;
  const program = await model.denoiser.step(call, { ...size, noise: noisy, threshold, blend }, rows);
  const { io } = program;
  fillReference(io, history, mendQuirks);
  io.mask?.write(mask.data);
  copyForImages(io.latents, history.tensor, { first: 0, copies });
  const firstNonFinite = model.denoiser.watch(io);
  const latentsNow = async (): Promise<NdArray> => asArray(await io.latents.read(), io.latents.shape);
  yield* runSteps(call, {
    ...{ phase: 'edit', report, kept, callback, callbackSteps },
    state: { tensor: io.latents },
    timesteps: schedule.map(step => step.timestep),
    submit: i => {
      if (history.noise && io.noise) copyForImages(io.noise, history.noise, { first: i * batch, copies });
      else if (noisy) io.noise?.write(randnBatch(io.latents.shape, request.generator));
      const { timestep, coefficients } = schedule[i] as ScheduledStep;
      model.denoiser.set(io, timestep, {
        ...stepValuesOf(coefficients),
        ...guidanceAt(guidance, timestep, model.sampler),
        referenceIndex: mendQuirks ? i + 1 : i,
        maskAbove: softExponent === undefined ? undefined : maskAbove(i, frames, softExponent),
        stepNumber: i,
      });
      return program.run(call);
    },
    latents: latentsNow,
    firstNonFinite,
  });
  return latentsNow();
}

/** Which mask image n takes: the original repeats masks as a whole but latents one by one. */
export function maskOrder(mendQuirks: boolean): 'tiled' | 'consecutive' {
  return mendQuirks ? 'consecutive' : 'tiled';
}

/** Latents of the host [T, B, 4, h, w], and noise of the same shape, on the device. */
function toDevice(call: DeviceCall, latents: NdArray, noise: NdArray | undefined): History {
  const [frames, batch, ...item] = latents.shape as [number, number, ...number[]];
  const upload = ({ data }: NdArray, label: string): DeviceTensor => {
    const tensor = call.scope.tensor([frames * batch, ...item], 'float32', label);
    tensor.write(data);
    return tensor;
  };
  const tensor = upload(latents, 'inverted latents');
  return { tensor, frames, batch, noise: noise && upload(noise, 'noise of the steps') };
}

/** Rows of a frame that begins at `first`, one for each prompt, each for all of its pictures. */
function copyForImages(
  to: DeviceTensor,
  from: DeviceTensor,
  { first, copies }: { readonly first: number; readonly copies: number },
): void {
  for (let image = 0; image < dim(to.shape, 0); image++) {
    to.copyRows(from, { from: first + Math.floor(image / copies), to: image, count: 1 });
  }
}

/** Behind the inverted latents, when mended, the clean ones where they are known, else the least noisy again. */
function fillReference(io: StepInputs, history: History, mend: boolean): void {
  const { tensor, frames, batch, clean } = history;
  io.reference?.copyRows(tensor);
  if (!mend) return;
  if (clean) io.reference?.copyRows(clean, { to: frames * batch });
  else io.reference?.copyRows(tensor, { from: (frames - 1) * batch, to: frames * batch, count: batch });
}

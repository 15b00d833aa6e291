/** Denoising under the target prompt where the mask is set, the inverted latents elsewhere: DiffEdit's third phase. */

import { InputError, ShapeError } from '../../core/errors.ts';
import type { NdArray } from '../../core/ndarray.ts';
import { dim, type Shape, sameShape, sizeOf } from '../../core/shape.ts';
import { type MaskInput, type NumericArray, preprocessMask } from '../../io/mask.ts';
import { concatenate } from '../../io/preprocess.ts';
import { applyStep, randnBatch, type ScheduledStep } from '../../schedulers/index.ts';
import type { DenoiserSize, StepInputs } from '../diffusion/denoiser.ts';
import type { Generators } from '../diffusion/generators.ts';
import type { LatentDiffusion } from '../diffusion/latent-diffusion.ts';
import { batchOf, checkPrompts, type PromptNames, promptNames } from '../diffusion/prompt-arguments.ts';
import type { Embeddings } from '../diffusion/prompt-encoder.ts';
import { repeatRows, rowsOf } from '../diffusion/rows.ts';
import type { Sampler } from '../diffusion/sampler.ts';
import { runSteps, type StepEvent, stepValuesOf } from '../diffusion/sampling-loop.ts';
import { asArray, copyOf, type DeviceCall, type PhaseReport } from '../runtime/device-call.ts';
import { checkCount, checkNumber, checkStrength, stepsOf, withDefaults } from './checks.ts';
import { type History, promptRows, swapFirst } from './invert-phase.ts';
import { checkPasteBack } from './output.ts';
import type { EditArgs } from './types.ts';

type Defaulted =
  | 'inpaintStrength'
  | 'numInferenceSteps'
  | 'guidanceScale'
  | 'numImagesPerPrompt'
  | 'eta'
  | 'callbackSteps';

const MASK_SIZE =
  'The mask must have the size of the latents (the picture divided by the VAE factor), not of the picture.';

/** Arguments with the defaults filled in. */
export type EditSettings = Omit<EditArgs, 'maskImage' | 'imageLatents'> & { readonly [K in Defaulted]-?: number };

/**
 * Fills in the defaults and checks everything that needs no model.
 * @throws InputError or ShapeError
 */
export function editSettings(
  op: string,
  a: Omit<EditArgs, 'maskImage' | 'imageLatents'>,
  names: PromptNames = promptNames(''),
): EditSettings {
  const s = withDefaults(a, {
    inpaintStrength: 0.8,
    numInferenceSteps: 50,
    guidanceScale: 7.5,
    numImagesPerPrompt: 1,
    eta: 0,
    callbackSteps: 1,
  });
  checkStrength(op, s.inpaintStrength, 'inpaintStrength');
  checkCount(op, s.callbackSteps, 'callbackSteps');
  checkPrompts(op, s, names);
  checkNumber(op, s.guidanceScale, 'guidanceScale');
  checkCount(op, s.numImagesPerPrompt, 'numImagesPerPrompt');
  checkNumber(op, s.eta, 'eta', 0);
  if (s.pasteBack) checkPasteBack(op, s.pasteBack, { outputType: s.outputType, batch: batchOf(s) });
  return s;
}

/** The steps of an edit, descending. */
export function editSchedule(op: string, sampler: Sampler, s: EditSettings): readonly ScheduledStep[] {
  const { length } = sampler.timestepsFor(s.numInferenceSteps);
  const from = length - stepsOf(op, length, s.inpaintStrength, 'inpaintStrength');
  return sampler.schedule(s.numInferenceSteps, { eta: s.eta, from });
}

/**
 * The mask as zeros and ones.
 * @returns [batch, 1, h, w]
 * @throws InputError where there is none, or as preprocessMask
 */
export function prepareMask(op: string, mask: MaskInput | null | undefined, batch: number): NdArray {
  if (mask != null) return preprocessMask(mask, batch);
  throw new InputError({
    op,
    problem: 'no mask',
    received: String(mask),
    path: 'maskImage',
    fix: 'Make one with generateMask(), or pass a picture of latent size: white is what changes.',
  });
}

/** @throws ShapeError for a prepared mask of another size than the picture's latents [h, w] */
export function checkMaskSize(op: string, mask: NdArray, sides: Shape): void {
  if (sameShape(mask.shape.slice(2), sides)) return;
  throw new ShapeError({
    op,
    problem: 'mask and picture differ in size',
    expected: sides,
    received: mask.shape.slice(2),
    path: 'maskImage',
    fix: MASK_SIZE,
  });
}

/**
 * Inverted latents in any of the accepted forms.
 * @param o.size [C, h, w] that the mask, or else the picture, implies
 * @returns [T, B, C, h, w]
 * @throws InputError where there are none; ShapeError where size, number of steps or batch differ
 */
export function prepareLatents(
  op: string,
  latents: NumericArray | readonly NumericArray[] | null | undefined,
  o: { readonly size: Shape; readonly of: 'mask' | 'picture'; readonly batch: number; readonly frames: number },
): NdArray {
  if (latents == null) {
    throw new InputError({
      op,
      problem: 'no inverted latents',
      received: String(latents),
      path: 'imageLatents',
      fix: 'Make them with invert().',
    });
  }
  const list = (Array.isArray(latents) ? latents : [latents]) as readonly NumericArray[];
  const arrays = list.map(({ data, shape }) =>
    asArray(Float32Array.from(data), shape.length === 3 ? [1, ...shape] : shape),
  );
  const all = concatenate(arrays, op);
  const { size, of, batch, frames } = o;
  const rank = all.shape.length;
  if ((rank !== 4 && rank !== 5) || all.shape.slice(-3).some((side, i) => side !== size[i])) {
    throw new ShapeError({
      op,
      problem: `${of} and inverted latents differ in size`,
      expected: `[B, T, ${size.join(', ')}], as the ${of} says`,
      received: all.shape,
      path: 'imageLatents',
      fix: of === 'mask' ? MASK_SIZE : 'Invert this picture, at the size at which it is edited.',
    });
  }
  const [b, t] = rank === 5 ? [dim(all.shape, 0), dim(all.shape, 1)] : [batch, dim(all.shape, 0) / batch];
  if (b !== batch || t !== frames) {
    throw new ShapeError({
      op,
      problem: 'inverted latents of another number of prompts or steps',
      expected: [batch, frames],
      received: [b, t],
      path: 'imageLatents',
      fix: 'Give invert() and edit() the same numInferenceSteps, inpaintStrength and number of prompts.',
    });
  }
  return asArray(swapFirst(all.data, batch, frames, sizeOf(size)), [frames, batch, ...size]);
}

export interface EditInputs {
  readonly settings: EditSettings;
  readonly schedule: readonly ScheduledStep[];
  readonly embeddings: Embeddings;
  /** [B, 1, h, w] */
  readonly mask: NdArray;
  /** On the host [T, B, 4, h, w], or still on the device. */
  readonly latents: NdArray | History;
  readonly generator: Generators;
  readonly mendQuirks: boolean;
}

/**
 * DDIM with the masked blend.
 * @returns [B * k, 4, h, w]
 * @see diffusers StableDiffusionDiffEditPipeline.__call__
 */
export async function* editPhase(
  call: DeviceCall,
  model: LatentDiffusion,
  inputs: EditInputs,
): AsyncGenerator<StepEvent, NdArray> {
  const { settings: s, schedule, embeddings, mask, latents } = inputs;
  const k = s.numImagesPerPrompt;
  const batch = dim(mask.shape, 0);
  const [height, width] = [dim(mask.shape, 2), dim(mask.shape, 3)];
  const frames = schedule.length;
  const report = call.phase('edit', frames);
  model.scheduler.setTimesteps(s.numInferenceSteps); // for whoever reads its timesteps afterwards
  const eta = s.eta > 0;
  const rows = promptRows(embeddings, k);
  const size = { images: batch * k, height, width, guided: s.guidanceScale > 1 };
  const history = 'tensor' in latents ? latents : toDevice(call, latents);
  if (model.scheduler.config.thresholding)
    return yield* onHost(call, model, { ...inputs, latents: history }, { size, rows, report });
  // Mended, the blend ends with one frame more: the clean latents.
  const blend = {
    masks: batch,
    order: maskOrder(inputs.mendQuirks),
    references: batch,
    frames: frames + (inputs.mendQuirks ? 1 : 0),
  };
  const program = await model.denoiser.step(call, { ...size, noise: eta, blend }, rows);
  const { io } = program;
  fillReference(call, io, history, inputs.mendQuirks);
  io.mask?.write(mask.data);
  for (let image = 0; image < batch * k; image++) {
    io.latents.copyRows(history.tensor, { from: Math.floor(image / k), to: image, count: 1 });
  }
  const latentsNow = async (): Promise<NdArray> => asArray(await io.latents.read(), io.latents.shape);
  yield* runSteps(call, {
    ...s,
    phase: 'edit',
    report,
    timesteps: schedule.map(step => step.timestep),
    submit: i => {
      if (eta) io.noise?.write(randnBatch(io.latents.shape, inputs.generator));
      const { timestep, coefficients } = schedule[i] as ScheduledStep;
      model.denoiser.set(io, timestep, {
        ...stepValuesOf(coefficients, s.guidanceScale),
        referenceIndex: inputs.mendQuirks ? i + 1 : i,
      });
      program.run();
    },
    latents: latentsNow,
  });
  return latentsNow();
}

/** Which mask image n takes: the original repeats masks as a whole but latents one by one. */
export function maskOrder(mendQuirks: boolean): 'tiled' | 'consecutive' {
  return mendQuirks ? 'consecutive' : 'tiled';
}

/** Latents of the host [T, B, 4, h, w] on the device. */
function toDevice(call: DeviceCall, latents: NdArray): History {
  const [frames, batch, ...item] = latents.shape as [number, number, ...number[]];
  const tensor = call.scope.tensor([frames * batch, ...item], 'float32', 'inverted latents');
  tensor.write(latents.data);
  return { tensor, frames, batch };
}

/** Behind the inverted latents, when mended, the clean ones where they are known, else the least noisy again. */
function fillReference(call: DeviceCall, io: StepInputs, history: History, mend: boolean): void {
  const { tensor, frames, batch, clean } = history;
  io.reference?.copyRows(tensor);
  if (!mend) return;
  if (!clean) {
    io.reference?.copyRows(tensor, { from: (frames - 1) * batch, to: frames * batch, count: batch });
    return;
  }
  const upload = call.scope.tensor(clean.shape, 'float32', 'clean latents');
  upload.write(clean.data);
  io.reference?.copyRows(upload, { to: frames * batch });
}

/** Dynamic thresholding needs a quantile of all values: the step and the blend happen on the host. */
async function* onHost(
  call: DeviceCall,
  model: LatentDiffusion,
  inputs: EditInputs & { readonly latents: History },
  { size, rows, report }: { size: DenoiserSize; rows: readonly NdArray[]; report: PhaseReport },
): AsyncGenerator<StepEvent, NdArray> {
  const { settings: s, schedule, mask, latents, generator } = inputs;
  const program = await model.denoiser.noise(call, size, rows);
  const { io } = program;
  const all = asArray(await latents.tensor.read(), latents.tensor.shape);
  const k = s.numImagesPerPrompt;
  const frame = (i: number): NdArray => {
    if (i >= latents.frames && latents.clean) return repeatRows(latents.clean, k);
    const at = Math.min(i, latents.frames - 1) * latents.batch;
    return repeatRows(rowsOf(all, at, at + latents.batch), k);
  };
  let x = frame(0);
  yield* runSteps(call, {
    ...s,
    phase: 'edit',
    report,
    timesteps: schedule.map(step => step.timestep),
    submit: async i => {
      io.latents.write(x.data);
      const { timestep, coefficients } = schedule[i] as ScheduledStep;
      model.denoiser.set(io, timestep, { guidance: s.guidanceScale });
      program.run();
      const e = asArray(await io.output.read(), x.shape);
      const noise = s.eta > 0 ? { noise: randnBatch(x.shape, generator) } : {};
      const next = applyStep(coefficients, e, x, noise).prevSample;
      x = blended(next, frame(inputs.mendQuirks ? i + 1 : i), mask, maskOrder(inputs.mendQuirks));
    },
    latents: async () => copyOf(x),
  });
  return x;
}

/** x m + reference (1 - m) */
function blended(x: NdArray, reference: NdArray, mask: NdArray, order: 'tiled' | 'consecutive'): NdArray {
  const [images, channels, height, width] = x.shape as [number, number, number, number];
  const [pixels, masks] = [height * width, dim(mask.shape, 0)];
  const data = x.data.map((value, i) => {
    const image = Math.floor(i / (channels * pixels));
    const which = order === 'tiled' ? image % masks : Math.floor((image * masks) / images);
    const m = mask.data[which * pixels + (i % pixels)] as number;
    return value * m + (reference.data[i] as number) * (1 - m);
  });
  return { data, shape: x.shape };
}

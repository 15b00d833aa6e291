/** Denoising under the target prompt where the mask is set, the inverted latents elsewhere: DiffEdit's third phase. */
import { InputError, ShapeError } from '../core/errors.ts';
import type { NdArray } from '../core/ndarray.ts';
import { dim, type Shape, sizeOf } from '../core/shape.ts';
import { type MaskInput, type NumericArray, preprocessMask } from '../io/mask.ts';
import { concatenate } from '../io/preprocess.ts';
import { type DDIMScheduler, randnBatch } from '../schedulers/index.ts';
import { rowsOf } from './autoencoder.ts';
import { checkCount, checkNumber, checkPrompts, checkStrength, promptNames, stepsOf } from './checks.ts';
import type { DenoiserSize, StepInputs } from './denoiser.ts';
import { type History, promptRows, swapFirst } from './invert-phase.ts';
import { runSteps, stepValuesOf } from './loop.ts';
import type { Parts } from './parts.ts';
import { checkGenerators, repeatRows } from './picture.ts';
import { asArray, type Session } from './session.ts';
import type { Embeddings } from './text.ts';
import type { EditArgs, Generators, StepEvent } from './types.ts';

type Defaulted =
  | 'inpaintStrength'
  | 'numInferenceSteps'
  | 'guidanceScale'
  | 'numImagesPerPrompt'
  | 'eta'
  | 'callbackSteps';

/** Arguments with the defaults filled in. */
export type EditSettings = Omit<EditArgs, 'maskImage' | 'imageLatents'> & { readonly [K in Defaulted]-?: number };

/**
 * Fills in the defaults and checks everything that needs no model.
 * @throws InputError or ShapeError
 */
export function editSettings(op: string, a: Omit<EditArgs, 'maskImage' | 'imageLatents'>): EditSettings {
  const s = {
    ...a,
    inpaintStrength: a.inpaintStrength ?? 0.8,
    numInferenceSteps: a.numInferenceSteps ?? 50,
    guidanceScale: a.guidanceScale ?? 7.5,
    numImagesPerPrompt: a.numImagesPerPrompt ?? 1,
    eta: a.eta ?? 0,
    callbackSteps: a.callbackSteps ?? 1,
  };
  checkStrength(op, s.inpaintStrength, 'inpaintStrength');
  checkCount(op, s.callbackSteps, 'callbackSteps');
  checkPrompts(op, s, promptNames(''));
  checkNumber(op, s.guidanceScale, 'guidanceScale');
  checkCount(op, s.numImagesPerPrompt, 'numImagesPerPrompt');
  checkNumber(op, s.eta, 'eta', 0);
  if (s.clipSkip !== undefined) checkCount(op, s.clipSkip, 'clipSkip', 0);
  if (s.pasteBack?.blur !== undefined) checkNumber(op, s.pasteBack.blur, 'pasteBack.blur', 0);
  if (s.pasteBack && (s.outputType ?? 'pil') !== 'pil') {
    throw new InputError({
      op,
      problem: 'pasteBack makes pictures',
      expected: "outputType 'pil'",
      received: s.outputType,
      path: 'pasteBack',
    });
  }
  return s;
}

/** The timesteps of an edit, descending. */
export function editTimesteps(op: string, scheduler: DDIMScheduler, s: EditSettings): readonly number[] {
  scheduler.setTimesteps(s.numInferenceSteps);
  const { timesteps } = scheduler;
  return timesteps.slice(timesteps.length - stepsOf(op, timesteps.length, s.inpaintStrength, 'inpaintStrength'));
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

/**
 * Inverted latents in any of the accepted forms.
 * @param size [C, h, w] that the mask implies
 * @returns [T, B, C, h, w]
 * @throws InputError where there are none; ShapeError where size, number of steps or batch differ
 */
export function prepareLatents(
  op: string,
  latents: NumericArray | readonly NumericArray[] | null | undefined,
  o: { readonly size: Shape; readonly batch: number; readonly frames: number },
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
  const { size, batch, frames } = o;
  const rank = all.shape.length;
  if ((rank !== 4 && rank !== 5) || all.shape.slice(-3).some((side, i) => side !== size[i])) {
    throw new ShapeError({
      op,
      problem: 'mask and inverted latents differ in size',
      expected: `[B, T, ${size.join(', ')}], as the mask says`,
      received: all.shape,
      path: 'imageLatents',
      fix: 'The mask must have the size of the latents (the picture divided by the VAE factor), not of the picture.',
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
  readonly timesteps: readonly number[];
  readonly embeddings: Embeddings;
  /** [B, 1, h, w] */
  readonly mask: NdArray;
  /** On the host [T, B, 4, h, w], or still on the device. */
  readonly latents: NdArray | History;
  readonly generator: Generators;
}

/**
 * DDIM with the masked blend.
 * @returns [B * k, 4, h, w]
 * @see diffusers StableDiffusionDiffEditPipeline.__call__
 */
export async function* editPhase(
  session: Session,
  parts: Parts,
  inputs: EditInputs,
): AsyncGenerator<StepEvent, NdArray> {
  const { settings: s, timesteps, embeddings, mask, latents } = inputs;
  const k = s.numImagesPerPrompt;
  const batch = dim(mask.shape, 0);
  const [height, width] = [dim(mask.shape, 2), dim(mask.shape, 3)];
  const frames = timesteps.length;
  const eta = s.eta > 0;
  if (eta) checkGenerators('edit', inputs.generator, batch * k);
  const rows = promptRows(embeddings, k);
  const size = { images: batch * k, height, width, guided: s.guidanceScale > 1 };
  const history = 'tensor' in latents ? latents : toDevice(session, latents);
  if (parts.scheduler.config.thresholding)
    return yield* onHost(session, parts, { ...inputs, latents: history }, { size, rows });
  // Mended, the blend ends with one frame more: the clean latents.
  const blend = {
    masks: batch,
    order: maskOrder(parts),
    references: batch,
    frames: frames + (parts.mendQuirks ? 1 : 0),
  };
  const { io, plan } = await parts.denoiser.step(session, { ...size, noise: eta, blend }, rows);
  fillReference(session, io, history, parts.mendQuirks);
  io.mask?.write(mask.data);
  for (let image = 0; image < batch * k; image++) {
    io.latents.copyRows(history.tensor, { from: Math.floor(image / k), to: image, count: 1 });
  }
  const latentsNow = async (): Promise<NdArray> => asArray(await io.latents.read(), io.latents.shape);
  yield* runSteps(session, {
    ...s,
    phase: 'edit',
    timesteps,
    submit: i => {
      const t = timesteps[i] as number;
      if (eta) io.noise?.write(randnBatch(io.latents.shape, inputs.generator));
      const values = stepValuesOf(parts.scheduler.stepCoefficients(t, { eta: s.eta }), s.guidanceScale);
      parts.denoiser.set(io, t, { ...values, referenceIndex: parts.mendQuirks ? i + 1 : i });
      plan.run();
    },
    latents: latentsNow,
  });
  return latentsNow();
}

/** Which mask image n takes: the original repeats masks as a whole but latents one by one. */
export function maskOrder(parts: Pick<Parts, 'mendQuirks'>): 'tiled' | 'consecutive' {
  return parts.mendQuirks ? 'consecutive' : 'tiled';
}

/** Latents of the host [T, B, 4, h, w] on the device. */
function toDevice(session: Session, latents: NdArray): History {
  const [frames, batch, ...item] = latents.shape as [number, number, ...number[]];
  const tensor = session.scope.tensor([frames * batch, ...item], 'float32', 'inverted latents');
  tensor.write(latents.data);
  return { tensor, frames, batch };
}

/** Behind the inverted latents, when mended, the clean ones where they are known, else the least noisy again. */
function fillReference(session: Session, io: StepInputs, history: History, mend: boolean): void {
  const { tensor, frames, batch, clean } = history;
  io.reference?.copyRows(tensor);
  if (!mend) return;
  if (!clean) {
    io.reference?.copyRows(tensor, { from: (frames - 1) * batch, to: frames * batch, count: batch });
    return;
  }
  const upload = session.scope.tensor(clean.shape, 'float32', 'clean latents');
  upload.write(clean.data);
  io.reference?.copyRows(upload, { to: frames * batch });
}

/** Dynamic thresholding needs a quantile of all values: the step and the blend happen on the host. */
async function* onHost(
  session: Session,
  parts: Parts,
  inputs: EditInputs & { readonly latents: History },
  { size, rows }: { size: DenoiserSize; rows: readonly NdArray[] },
): AsyncGenerator<StepEvent, NdArray> {
  const { settings: s, timesteps, mask, latents, generator } = inputs;
  const { io, plan } = await parts.denoiser.noise(session, size, rows);
  const all = asArray(await latents.tensor.read(), latents.tensor.shape);
  const k = s.numImagesPerPrompt;
  const frame = (i: number): NdArray => {
    if (i >= latents.frames && latents.clean) return repeatRows(latents.clean, k);
    const at = Math.min(i, latents.frames - 1) * latents.batch;
    return repeatRows(rowsOf(all, at, at + latents.batch), k);
  };
  let x = frame(0);
  yield* runSteps(session, {
    ...s,
    phase: 'edit',
    timesteps,
    submit: async i => {
      const t = timesteps[i] as number;
      io.latents.write(x.data);
      parts.denoiser.set(io, t, { guidance: s.guidanceScale });
      plan.run();
      const e = asArray(await io.output.read(), x.shape);
      const next = parts.scheduler.step(e, t, x, { eta: s.eta, generator }).prevSample;
      x = blended(next, frame(parts.mendQuirks ? i + 1 : i), mask, maskOrder(parts));
    },
    latents: async () => x,
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

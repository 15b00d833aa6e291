/** The work of a request: what it begins with, the loop of steps, the pictures. */
import type { NdArray } from '../../core/ndarray.ts';
import { dim } from '../../core/shape.ts';
import type { RgbImage } from '../../io/image.ts';
import { randnBatch } from '../../schedulers/generator.ts';
import type { LinearStep, NoiseMix } from '../../schedulers/index.ts';
import type { DeviceTensor } from '../../tensor/device-tensor.ts';
import { stepValues } from '../../tensor/ops/diffusion.ts';
import { weightValues } from '../../tensor/ops/sampling.ts';
import { encodePictures } from '../diffusion/image-latents.ts';
import { drawsFrom, type EncodedPictures } from '../diffusion/latent-draws.ts';
import type { LatentModel } from '../diffusion/latent-model.ts';
import { toOutput } from '../diffusion/output.ts';
import type { Embeddings } from '../diffusion/prompt-encoder.ts';
import { pickRows, promptRows } from '../diffusion/rows.ts';
import { runSteps, type StepCallback, type StepEvent } from '../diffusion/sampling-loop.ts';
import { asArray, type DeviceCall } from '../runtime/device-call.ts';
import type { GenerationRequest } from './request.ts';
import { type SamplerStepInputs, type SamplerStepShape, samplerStep, samplerStepValues } from './sampler-step.ts';
import { givenLatents } from './settle.ts';

/**
 * Performs a request.
 * @throws DeviceError; NumericsError; the signal's reason
 */
export async function* generation(
  call: DeviceCall,
  model: LatentModel,
  request: GenerationRequest,
): AsyncGenerator<StepEvent, RgbImage[] | NdArray> {
  const embeddings = await model.prompts.encode(call, request.prompt);
  const latents = yield* call.kept.once('generate', () => loop(call, model, request, embeddings));
  const images = await toOutput(call, model, latents, request.output);
  call.endPhase();
  const { overlay } = request;
  return overlay && Array.isArray(images) ? images.map(overlay) : images;
}

/** What the steps read that does not change. */
interface Given {
  /** f32 [N, 4, h, w]: what the loop begins with. */
  readonly first: DeviceTensor;
  /** The clean picture, or the masked one. */
  readonly picture: DeviceTensor | undefined;
}

async function* loop(
  call: DeviceCall,
  model: LatentModel,
  request: GenerationRequest,
  embeddings: Embeddings,
): AsyncGenerator<StepEvent, NdArray> {
  const { steps, slots, generator, changed } = request;
  const given = await prepared(call, model, request);
  const report = call.phase('generate', steps.length);
  const kept = call.kept.phase('generate', generator);
  const rows = promptRows(embeddings, request.copies);
  const program = await samplerStep(call, model.denoiser, stepShapeOf(request), rows);
  const { io } = program;
  fill(io, given, request);
  const firstNonFinite = model.denoiser.watch(io);
  const change = (i: number): void => {
    const latents = changed.get(i);
    if (latents) io.latents.write(latents.data);
  };
  const latents = async (): Promise<NdArray> => asArray(await io.latents.read(), io.latents.shape);
  yield* runSteps(call, {
    ...{ phase: 'generate', report, kept, latents, firstNonFinite },
    // What a sampler remembers is not kept beside the latents: with it a run begins again where the device is lost.
    state: slots === 0 ? { tensor: io.latents } : undefined,
    timesteps: steps.map(step => step.timestep),
    callback: listener(request, io),
    submit: i => {
      change(i - 1);
      set(model, io, request, i);
      return program.run(call);
    },
  });
  change(steps.length - 1);
  return latents();
}

/** Both callbacks as one; what the first changes is remembered, for a step that is done again. */
function listener(
  { onStepEnd, callback, callbackSteps, changed }: GenerationRequest,
  io: SamplerStepInputs,
): StepCallback | undefined {
  if (!onStepEnd) return callback && ((i, ...rest) => (i % callbackSteps === 0 ? callback(i, ...rest) : undefined));
  return async (i, timestep, latents) => {
    const changes = await onStepEnd(i, timestep, { latents });
    if (changes?.latents) {
      changed.set(i, checkedChange(changes.latents, io.latents));
      io.latents.write(changes.latents.data);
    }
    if (callback && i % callbackSteps === 0) await callback(i, timestep, latents);
  };
}

/** What the program of a step is compiled for. */
export function stepShapeOf({ size, images, guidance, steps, slots, masking }: GenerationRequest): SamplerStepShape {
  const [, height, width] = size;
  const { guided, rescale } = guidance;
  return {
    ...{ images, height, width, guided, rescaled: guided && rescale > 0, slots },
    noise: steps.some(({ next, keep }) => [next, ...keep].some(sum => sum.noise !== 0)),
    threshold: steps[0]?.threshold ?? undefined,
    scaled: steps.some(step => step.inputScale !== 1),
    mask: masking?.way,
  };
}

/** @throws ShapeError for latents of another shape; InputError for values that are not finite */
function checkedChange(latents: NdArray, { shape }: DeviceTensor): NdArray {
  return givenLatents(latents, shape, 'callbackOnStepEnd') as NdArray;
}

/** Writes what all steps read, and forgets what an earlier run kept. */
function fill(io: SamplerStepInputs, { first, picture }: Given, { masking, start }: GenerationRequest): void {
  io.latents.copyFrom(first);
  io.kept.write(new Float32Array(io.kept.shape.reduce((a, b) => a * b, 1)));
  if (masking) io.mask?.write(masking.mask.data);
  if (picture) io.picture?.copyFrom(picture);
  io.levelNoise?.write(start.noise.data);
}

/** Writes the numbers of step i, and its noise. */
function set(model: LatentModel, io: SamplerStepInputs, request: GenerationRequest, i: number): void {
  const { steps, generator, guidance, masking } = request;
  const step = steps[i] as LinearStep;
  if (step.drawsNoise) {
    const noise = randnBatch(io.latents.shape, generator);
    io.noise?.write(noise);
  }
  io.scale?.write(new Float32Array(dim(io.latents.shape, 1)).fill(step.inputScale));
  io.weights.write(weightValues(step.next, step.keep));
  model.denoiser.set(io, step.timestep, {
    ...samplerStepValues(step, masking?.way === 'blend' ? steps[i + 1]?.level : undefined),
    ...{ guidance: guidance.scale, rescale: guidance.rescale, stepNumber: i },
  });
}

/** Encodes pictures and draws their latents; the noise itself is in the request. */
async function prepared(call: DeviceCall, model: LatentModel, request: GenerationRequest): Promise<Given> {
  const { start, masking, size, images, steps } = request;
  const shape = [images, ...size];
  const { picture: source, noise, sigma } = start;
  const clean = masking?.way === 'blend' ? source : masking?.masked;
  const encoded = source && (await encodePictures(call, source.pictures, model.autoencoder));
  const shown = clean === source ? encoded : clean && (await encodePictures(call, clean.pictures, model.autoencoder));
  const picture = clean && shown && (await latentsOf(call, model, shown, { shape, drawNoise: clean.noise }));
  if (sigma === undefined && source && encoded) {
    const level = steps[0]?.level as NoiseMix;
    const first = await latentsOf(call, model, encoded, { shape, drawNoise: source.noise, at: { level, noise } });
    return { first, picture };
  }
  const first = call.scope.tensor(shape, 'float32', 'noise to begin with');
  first.write(noise.data.map(value => value * (sigma ?? 1)));
  return { first, picture };
}

/**
 * Latents of pictures, all of them again until there is one for each result; clean, or at a noise level.
 * @returns f32 [N, 4, h, w], in the call's memory
 */
async function latentsOf(
  call: DeviceCall,
  { autoencoder, denoiser }: LatentModel,
  from: EncodedPictures,
  o: {
    readonly shape: readonly number[];
    readonly drawNoise: NdArray | undefined;
    readonly at?: { readonly level: NoiseMix; readonly noise: NdArray };
  },
): Promise<DeviceTensor> {
  const { shape, drawNoise, at } = o;
  const [images = 0, , height = 0, width = 0] = shape;
  const draws = drawsFrom(from, autoencoder.scalingFactor);
  const program = await denoiser.draw(call, { images, height, width, draws });
  const { io } = program;
  io.pictures.copyFrom(from.values);
  if (drawNoise) {
    const rows = Array.from({ length: images }, (_, n) => n % dim(drawNoise.shape, 0));
    io.drawNoise?.write(pickRows(drawNoise, rows).data);
  }
  if (at) io.levelNoise.write(at.noise.data);
  io.step.write(stepValues(at ? { outFromX0: at.level.sample, sigma: at.level.noise } : {}));
  await program.run(call);
  call.check();
  const latents = call.scope.tensor(shape, 'float32', 'latents of the pictures');
  latents.copyFrom(io.latents);
  return latents;
}

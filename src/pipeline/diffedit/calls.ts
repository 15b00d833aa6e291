/** The public calls: check everything, encode what is needed, run the phases, shape the result. */

import type { NdArray } from '../../core/ndarray.ts';
import { dim } from '../../core/shape.ts';
import type { RgbImage } from '../../io/image.ts';
import { checkGenerators, generatorOf } from '../diffusion/generators.ts';
import { checkDraws, encodePictures, latentSides, preparePictures } from '../diffusion/image-latents.ts';
import type { LatentDiffusion } from '../diffusion/latent-diffusion.ts';
import { batchOf, checkPrompts, type Prompt, type PromptNames, promptNames } from '../diffusion/prompt-arguments.ts';
import type { EncodeOptions } from '../diffusion/prompt-encoder.ts';
import { repeatRows } from '../diffusion/rows.ts';
import type { StepEvent } from '../diffusion/sampling-loop.ts';
import type { DeviceCall } from '../runtime/device-call.ts';
import { checkCount, checkCrossAttention, sourceOf, targetOf } from './checks.ts';
import {
  type EditInputs,
  editPhase,
  editSchedule,
  editSettings,
  maskOrder,
  prepareLatents,
  prepareMask,
} from './edit-phase.ts';
import { checkRegularised, invertPhase, invertSchedule, invertSettings, readHistory } from './invert-phase.ts';
import { checkPair, maskPhase, maskSettings, maskTimestep } from './mask-phase.ts';
import { outputTypeOf, pasteAll, toOutput } from './output.ts';
import { planRun } from './run-plan.ts';
import type {
  EditArgs,
  EditOutput,
  EncodePromptOptions,
  GenerateMaskArgs,
  InversionOutput,
  InvertArgs,
  MaskOutput,
  RunArgs,
  RunOutput,
} from './types.ts';

type Steps<T> = AsyncGenerator<StepEvent, T>;

function encoding(op: string, names: string | PromptNames, guidanceScale: number): EncodeOptions {
  return { op, names: typeof names === 'string' ? promptNames(names) : names, guided: guidanceScale > 1 };
}

/** `encodePrompt` */
export async function* encodeCall(
  call: DeviceCall,
  model: LatentDiffusion,
  prompt: Prompt,
  o: EncodePromptOptions,
): Steps<{ promptEmbeds: NdArray; negativePromptEmbeds: NdArray }> {
  const op = 'encodePrompt';
  const { numImagesPerPrompt = 1, clipSkip, negativePrompt } = o;
  const args = { prompt, negativePrompt };
  checkPrompts(op, args, promptNames(''));
  checkCount(op, numImagesPerPrompt, 'numImagesPerPrompt');
  const { positive, negative } = await model.prompts.encode(call, args, { op, guided: true, clipSkip });
  const many = (embeds: NdArray): NdArray => repeatRows(embeds, numImagesPerPrompt);
  return { promptEmbeds: many(positive), negativePromptEmbeds: many(negative as NdArray) };
}

/** `generateMask` */
export async function* maskCall(
  call: DeviceCall,
  model: LatentDiffusion,
  mendQuirks: boolean,
  args: GenerateMaskArgs,
): Steps<MaskOutput> {
  const op = 'generateMask';
  checkCrossAttention(op, args);
  const settings = maskSettings(op, args);
  checkPair(op, model.prompts.shapeOf(sourceOf(args)), model.prompts.shapeOf(targetOf(args)));
  const timestep = maskTimestep(op, model.scheduler, settings);
  const image = preparePictures(op, args.image, model.autoencoder, model.warn);
  const generator = generatorOf(op, args);
  checkDraws(op, image, { batch: batchOf(targetOf(args)), repeat: settings.numMapsPerMask, generator });
  const g = settings.guidanceScale;
  const [target, source] = await model.prompts.encodeAll(call, [
    { args: targetOf(args), options: encoding(op, 'target', g) },
    { args: sourceOf(args), options: encoding(op, 'source', g) },
  ]);
  const pictures = await encodePictures(call, image, model.autoencoder);
  return yield* maskPhase(call, model, { settings, timestep, source, target, pictures, generator, mendQuirks });
}

/** `invert` */
export async function* invertCall(call: DeviceCall, model: LatentDiffusion, args: InvertArgs): Steps<InversionOutput> {
  const op = 'invert';
  checkCrossAttention(op, args);
  const settings = invertSettings(op, args);
  const schedule = invertSchedule(op, model.inverseScheduler, settings);
  const image = preparePictures(op, args.image, model.autoencoder, model.warn);
  const [batch, generator] = [batchOf(args), generatorOf(op, args)];
  checkDraws(op, image, { batch, repeat: 1, generator });
  const shape = [batch, model.denoiser.channels, ...latentSides(image, model.autoencoder)];
  checkRegularised(op, settings, { shape, generator, scheduler: model.inverseScheduler });
  const embeddings = await model.prompts.encode(call, args, encoding(op, '', settings.guidanceScale));
  const pictures = await encodePictures(call, image, model.autoencoder);
  const history = yield* invertPhase(call, model, { settings, schedule, embeddings, pictures, generator });
  const latents = await readHistory(history);
  if (!args.decodeLatents) return { latents };
  const type = (args.outputType ?? 'pil') === 'pil' ? 'pil' : 'np';
  const flat = {
    data: latents.data,
    shape: [dim(latents.shape, 0) * dim(latents.shape, 1), ...latents.shape.slice(2)],
  };
  return { latents, images: await toOutput(call, model, flat, type) };
}

/** `edit` */
export async function* editCall(
  call: DeviceCall,
  model: LatentDiffusion,
  mendQuirks: boolean,
  args: EditArgs,
): Steps<EditOutput> {
  const op = 'edit';
  checkCrossAttention(op, args);
  const settings = editSettings(op, args);
  const batch = batchOf(args);
  const mask = prepareMask(op, args.maskImage, batch);
  const schedule = editSchedule(op, model.scheduler, settings);
  const size = [model.denoiser.channels, ...mask.shape.slice(2)];
  const latents = prepareLatents(op, args.imageLatents, {
    size,
    of: 'mask',
    batch,
    frames: schedule.length,
  });
  const generator = generatorOf(op, args);
  if (settings.eta > 0) checkGenerators(op, generator, batch * settings.numImagesPerPrompt);
  const options = { ...encoding(op, '', settings.guidanceScale), clipSkip: args.clipSkip };
  const embeddings = await model.prompts.encode(call, args, options);
  const inputs = { settings, schedule, embeddings, mask, latents, generator, mendQuirks };
  return { images: yield* editAndDecode(call, model, inputs), nsfwContentDetected: undefined };
}

async function* editAndDecode(
  call: DeviceCall,
  model: LatentDiffusion,
  inputs: EditInputs,
): Steps<RgbImage[] | NdArray> {
  const { outputType, pasteBack } = inputs.settings;
  const type = outputTypeOf(outputType, model.warn);
  const latents = yield* editPhase(call, model, inputs);
  const images = await toOutput(call, model, latents, type);
  if (!pasteBack || !Array.isArray(images)) return images;
  return pasteAll(images, inputs.mask, pasteBack, {
    factor: model.autoencoder.factor,
    order: maskOrder(inputs.mendQuirks),
  });
}

/** `run` */
export async function* runCall(
  call: DeviceCall,
  model: LatentDiffusion,
  mendQuirks: boolean,
  args: RunArgs,
): Steps<RunOutput> {
  const op = 'run';
  checkCrossAttention(op, args);
  const plan = planRun(op, model, args);
  const { mask: m, invert: v, names } = plan;
  const e = plan.edit.settings;
  const none = { args: e, options: encoding(op, names.edit, 0) };
  const [embeddings, source, target, inverted] = await model.prompts.encodeAll(call, [
    { args: e, options: { ...encoding(op, names.edit, e.guidanceScale), clipSkip: e.clipSkip } },
    m ? { args: sourceOf(m.settings), options: encoding(op, 'source', m.settings.guidanceScale) } : none,
    m ? { args: targetOf(m.settings), options: encoding(op, 'target', m.settings.guidanceScale) } : none,
    v ? { args: v.settings, options: encoding(op, names.invert, v.settings.guidanceScale) } : none,
  ]);
  const pictures = plan.image && (await encodePictures(call, plan.image, model.autoencoder));
  const found =
    m &&
    pictures &&
    (yield* maskPhase(call, model, { ...m, source, target, pictures, generator: plan.generator(), mendQuirks }));
  const history =
    v &&
    pictures &&
    (yield* invertPhase(call, model, { ...v, embeddings: inverted, pictures, generator: plan.generator() }));
  const latents = args.returnLatents && history ? { latents: await readHistory(history) } : {};
  const images = yield* editAndDecode(call, model, {
    ...plan.edit,
    embeddings,
    mask: plan.maskImage ?? prepareMask(op, found?.mask, plan.batch),
    latents: history ?? (plan.latents as NdArray),
    generator: plan.generator(),
    mendQuirks,
  });
  call.endPhase();
  return { ...(found ? { mask: found } : {}), ...latents, images, timings: { ...call.timings } };
}

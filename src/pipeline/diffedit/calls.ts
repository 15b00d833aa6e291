/** The public calls: check everything, encode what is needed, run the phases, shape the result. */
import type { NdArray } from '../../core/ndarray.ts';
import { dim } from '../../core/shape.ts';
import type { RgbImage } from '../../io/image.ts';
import {
  checkDraws,
  checkGenerators,
  encodePictures,
  generatorOf,
  latentSides,
  preparePictures,
  repeatRows,
} from '../diffusion/image-latents.ts';
import type { EncodeOptions } from '../diffusion/prompt-encoder.ts';
import type { Session } from '../runtime/device-call.ts';
import {
  batchOf,
  checkCount,
  checkCrossAttention,
  checkPrompts,
  type PromptNames,
  promptNames,
  sourceOf,
  targetOf,
} from './checks.ts';
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
import type { Parts } from './parts.ts';
import { planRun } from './run-plan.ts';
import type {
  EditArgs,
  EditOutput,
  EncodePromptOptions,
  GenerateMaskArgs,
  InversionOutput,
  InvertArgs,
  MaskOutput,
  Prompt,
  RunArgs,
  RunOutput,
  StepEvent,
} from './types.ts';

type Steps<T> = AsyncGenerator<StepEvent, T>;

function encoding(op: string, names: string | PromptNames, guidanceScale: number): EncodeOptions {
  return { op, names: typeof names === 'string' ? promptNames(names) : names, guided: guidanceScale > 1 };
}

/** `encodePrompt` */
export async function* encodeCall(
  session: Session,
  parts: Parts,
  prompt: Prompt,
  o: EncodePromptOptions,
): Steps<{ promptEmbeds: NdArray; negativePromptEmbeds: NdArray }> {
  const op = 'encodePrompt';
  const { numImagesPerPrompt = 1, clipSkip, negativePrompt } = o;
  const args = { prompt, negativePrompt };
  checkPrompts(op, args, promptNames(''));
  checkCount(op, numImagesPerPrompt, 'numImagesPerPrompt');
  const { positive, negative } = await parts.text.encode(session, args, { op, guided: true, clipSkip });
  const many = (embeds: NdArray): NdArray => repeatRows(embeds, numImagesPerPrompt);
  return { promptEmbeds: many(positive), negativePromptEmbeds: many(negative as NdArray) };
}

/** `generateMask` */
export async function* maskCall(session: Session, parts: Parts, args: GenerateMaskArgs): Steps<MaskOutput> {
  const op = 'generateMask';
  checkCrossAttention(op, args);
  const settings = maskSettings(op, args);
  checkPair(op, parts.text.shapeOf(sourceOf(args)), parts.text.shapeOf(targetOf(args)));
  const timestep = maskTimestep(op, parts.scheduler, settings);
  const image = preparePictures(op, args.image, parts.vae, parts.warn);
  const generator = generatorOf(op, args);
  checkDraws(op, image, { batch: batchOf(targetOf(args)), repeat: settings.numMapsPerMask, generator });
  const g = settings.guidanceScale;
  const [target, source] = await parts.text.encodeAll(session, [
    { args: targetOf(args), options: encoding(op, 'target', g) },
    { args: sourceOf(args), options: encoding(op, 'source', g) },
  ]);
  const pictures = await encodePictures(session, image, parts.vae);
  return yield* maskPhase(session, parts, { settings, timestep, source, target, pictures, generator });
}

/** `invert` */
export async function* invertCall(session: Session, parts: Parts, args: InvertArgs): Steps<InversionOutput> {
  const op = 'invert';
  checkCrossAttention(op, args);
  const settings = invertSettings(op, args);
  const schedule = invertSchedule(op, parts.inverseScheduler, settings);
  const image = preparePictures(op, args.image, parts.vae, parts.warn);
  const [batch, generator] = [batchOf(args), generatorOf(op, args)];
  checkDraws(op, image, { batch, repeat: 1, generator });
  const shape = [batch, parts.denoiser.channels, ...latentSides(image, parts.vae)];
  checkRegularised(op, settings, { shape, generator, scheduler: parts.inverseScheduler });
  const embeddings = await parts.text.encode(session, args, encoding(op, '', settings.guidanceScale));
  const pictures = await encodePictures(session, image, parts.vae);
  const history = yield* invertPhase(session, parts, { settings, schedule, embeddings, pictures, generator });
  const latents = await readHistory(history);
  if (!args.decodeLatents) return { latents };
  const type = (args.outputType ?? 'pil') === 'pil' ? 'pil' : 'np';
  const flat = {
    data: latents.data,
    shape: [dim(latents.shape, 0) * dim(latents.shape, 1), ...latents.shape.slice(2)],
  };
  return { latents, images: await toOutput(session, parts, flat, type) };
}

/** `edit` */
export async function* editCall(session: Session, parts: Parts, args: EditArgs): Steps<EditOutput> {
  const op = 'edit';
  checkCrossAttention(op, args);
  const settings = editSettings(op, args);
  const batch = batchOf(args);
  const mask = prepareMask(op, args.maskImage, batch);
  const schedule = editSchedule(op, parts.scheduler, settings);
  const size = [parts.denoiser.channels, ...mask.shape.slice(2)];
  const latents = prepareLatents(op, args.imageLatents, {
    size,
    of: 'mask',
    batch,
    frames: schedule.timesteps.length,
  });
  const generator = generatorOf(op, args);
  if (settings.eta > 0) checkGenerators(op, generator, batch * settings.numImagesPerPrompt);
  const options = { ...encoding(op, '', settings.guidanceScale), clipSkip: args.clipSkip };
  const embeddings = await parts.text.encode(session, args, options);
  const inputs = { settings, schedule, embeddings, mask, latents, generator };
  return { images: yield* editAndDecode(session, parts, inputs), nsfwContentDetected: undefined };
}

async function* editAndDecode(session: Session, parts: Parts, inputs: EditInputs): Steps<RgbImage[] | NdArray> {
  const { outputType, pasteBack } = inputs.settings;
  const type = outputTypeOf(outputType, parts.warn);
  const latents = yield* editPhase(session, parts, inputs);
  const images = await toOutput(session, parts, latents, type);
  if (!pasteBack || !Array.isArray(images)) return images;
  return pasteAll(images, inputs.mask, pasteBack, { factor: parts.vae.factor, order: maskOrder(parts) });
}

/** `run` */
export async function* runCall(session: Session, parts: Parts, args: RunArgs): Steps<RunOutput> {
  const op = 'run';
  checkCrossAttention(op, args);
  const plan = planRun(op, parts, args);
  const { mask: m, invert: v, names } = plan;
  const e = plan.edit.settings;
  const none = { args: e, options: encoding(op, names.edit, 0) };
  const [embeddings, source, target, inverted] = await parts.text.encodeAll(session, [
    { args: e, options: { ...encoding(op, names.edit, e.guidanceScale), clipSkip: e.clipSkip } },
    m ? { args: sourceOf(m.settings), options: encoding(op, 'source', m.settings.guidanceScale) } : none,
    m ? { args: targetOf(m.settings), options: encoding(op, 'target', m.settings.guidanceScale) } : none,
    v ? { args: v.settings, options: encoding(op, names.invert, v.settings.guidanceScale) } : none,
  ]);
  const pictures = plan.image && (await encodePictures(session, plan.image, parts.vae));
  const found =
    m &&
    pictures &&
    (yield* maskPhase(session, parts, { ...m, source, target, pictures, generator: plan.generator() }));
  const history =
    v &&
    pictures &&
    (yield* invertPhase(session, parts, { ...v, embeddings: inverted, pictures, generator: plan.generator() }));
  const latents = args.returnLatents && history ? { latents: await readHistory(history) } : {};
  const images = yield* editAndDecode(session, parts, {
    ...plan.edit,
    embeddings,
    mask: plan.maskImage ?? prepareMask(op, found?.mask, plan.batch),
    latents: history ?? (plan.latents as NdArray),
    generator: plan.generator(),
  });
  session.endPhase();
  return { ...(found ? { mask: found } : {}), ...latents, images, timings: { ...session.timings } };
}

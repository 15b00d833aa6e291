/** The public calls: check everything, encode what is needed, run the phases, shape the result. */
import { InputError } from '../core/errors.ts';
import type { NdArray } from '../core/ndarray.ts';
import { dim } from '../core/shape.ts';
import type { RgbImage } from '../io/image.ts';
import { Generator } from '../schedulers/index.ts';
import { batchOf, checkCrossAttention, promptNames, sourceOf, targetOf } from './checks.ts';
import {
  type EditInputs,
  type EditSettings,
  editPhase,
  editSettings,
  editTimesteps,
  maskOrder,
  prepareLatents,
  prepareMask,
} from './edit-phase.ts';
import { type History, invertPhase, invertSettings, invertTimesteps, readHistory } from './invert-phase.ts';
import { maskPhase, maskSettings, maskTimestep } from './mask-phase.ts';
import { outputTypeOf, pasteAll, toOutput } from './output.ts';
import type { Parts } from './parts.ts';
import { encodePictures, preparePictures } from './picture.ts';
import type { Session } from './session.ts';
import type { EncodeOptions } from './text.ts';
import type {
  CommonArgs,
  EditArgs,
  EditOutput,
  GenerateMaskArgs,
  Generators,
  InversionOutput,
  InvertArgs,
  MaskOutput,
  RunArgs,
  RunOutput,
  StepEvent,
} from './types.ts';

type Steps<T> = AsyncGenerator<StepEvent, T>;

/** One source of noise for a call: the caller's, or a new one from entropy. */
function generatorOf(args: CommonArgs): Generators {
  if (args.generator !== undefined) return args.generator;
  const fresh = new Generator();
  fresh.seed();
  return fresh;
}

function encoding(op: string, prefix: string, guidanceScale: number): EncodeOptions {
  return { op, names: promptNames(prefix), guided: guidanceScale > 1 };
}

/** `generateMask` */
export async function* maskCall(session: Session, parts: Parts, args: GenerateMaskArgs): Steps<MaskOutput> {
  const op = 'generateMask';
  checkCrossAttention(op, args);
  const settings = maskSettings(op, args);
  const timestep = maskTimestep(op, parts.scheduler, settings);
  const image = preparePictures(op, args.image, parts.vae, parts.warn);
  const g = settings.guidanceScale;
  const [target, source] = await parts.text.encodeAll(session, [
    { args: targetOf(args), options: encoding(op, 'target', g) },
    { args: sourceOf(args), options: encoding(op, 'source', g) },
  ]);
  const pictures = await encodePictures(session, image, parts.vae);
  return yield* maskPhase(session, parts, {
    settings,
    timestep,
    source,
    target,
    pictures,
    generator: generatorOf(args),
  });
}

/** `invert` */
export async function* invertCall(session: Session, parts: Parts, args: InvertArgs): Steps<InversionOutput> {
  const op = 'invert';
  checkCrossAttention(op, args);
  const settings = invertSettings(op, args);
  const timesteps = invertTimesteps(op, parts.inverseScheduler, settings);
  const image = preparePictures(op, args.image, parts.vae, parts.warn);
  const embeddings = await parts.text.encode(session, args, encoding(op, '', settings.guidanceScale));
  const pictures = await encodePictures(session, image, parts.vae);
  const history = yield* invertPhase(session, parts, {
    settings,
    timesteps,
    embeddings,
    pictures,
    generator: generatorOf(args),
  });
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
  const timesteps = editTimesteps(op, parts.scheduler, settings);
  const size = [parts.denoiser.channels, ...mask.shape.slice(2)];
  const latents = prepareLatents(op, args.imageLatents, { size, batch, frames: timesteps.length });
  const options = { ...encoding(op, '', settings.guidanceScale), clipSkip: args.clipSkip };
  const embeddings = await parts.text.encode(session, args, options);
  const inputs = { settings, timesteps, embeddings, mask, latents, generator: generatorOf(args) };
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
  const { mask: m, invert: v, edit: e } = plan;
  const none = { args: e, options: encoding(op, 'target', 0) };
  const [edited, source, target, inverted] = await parts.text.encodeAll(session, [
    { args: e, options: { ...encoding(op, 'target', e.guidanceScale), clipSkip: e.clipSkip } },
    m ? { args: sourceOf(m.settings), options: encoding(op, 'source', m.settings.guidanceScale) } : none,
    m ? { args: targetOf(m.settings), options: encoding(op, 'target', m.settings.guidanceScale) } : none,
    v ? { args: v.settings, options: encoding(op, 'source', v.settings.guidanceScale) } : none,
  ]);
  const pictures = plan.image && (await encodePictures(session, plan.image, parts.vae));
  const found =
    m &&
    pictures &&
    (yield* maskPhase(session, parts, { ...m, source, target, pictures, generator: plan.generator() }));
  const batch = batchOf(e);
  const mask = prepareMask(op, args.maskImage ?? found?.mask, batch);
  const frames = plan.timesteps.length;
  const size = [parts.denoiser.channels, ...mask.shape.slice(2)];
  let latents: NdArray | History;
  if (v && pictures)
    latents = yield* invertPhase(session, parts, { ...v, embeddings: inverted, pictures, generator: plan.generator() });
  else latents = prepareLatents(op, args.imageLatents, { size, batch, frames });
  const known = args.returnLatents && 'tensor' in latents ? { latents: await readHistory(latents) } : {};
  const inputs = {
    settings: e,
    timesteps: plan.timesteps,
    embeddings: edited,
    mask,
    latents,
    generator: plan.generator(),
  };
  const images = yield* editAndDecode(session, parts, inputs);
  session.endPhase();
  return { ...(found ? { mask: found } : {}), ...known, images, timings: { ...session.timings } };
}

interface RunPlan {
  readonly image: NdArray | undefined;
  readonly mask: { settings: ReturnType<typeof maskSettings>; timestep: number } | undefined;
  readonly invert: { settings: ReturnType<typeof invertSettings>; timesteps: readonly number[] } | undefined;
  readonly edit: EditSettings;
  readonly timesteps: readonly number[];
  /** For the next phase. */
  generator(): Generators;
}

/** Distributes the arguments over the phases and checks all of them before any work. */
function planRun(op: string, parts: Parts, args: RunArgs): RunPlan {
  const { seed } = args;
  if (seed !== undefined && args.generator !== undefined) {
    throw new InputError({
      op,
      problem: 'seed and generator were both given',
      expected: 'one of the two',
      fix: 'Leave the generator out: each phase draws from a fresh one with the seed.',
    });
  }
  const source = { prompt: args.sourcePrompt, promptEmbeds: args.sourcePromptEmbeds };
  const target = { prompt: args.targetPrompt, promptEmbeds: args.targetPromptEmbeds };
  const ownNegative = args.negativePrompt != null || args.negativePromptEmbeds != null;
  const negative = ownNegative
    ? { negativePrompt: args.negativePrompt, negativePromptEmbeds: args.negativePromptEmbeds }
    : { negativePrompt: args.sourcePrompt, negativePromptEmbeds: args.sourcePromptEmbeds };
  const image =
    args.maskImage != null && args.imageLatents != null
      ? undefined
      : preparePictures(op, args.image, parts.vae, parts.warn);
  const maskArgs = { ...args, guidanceScale: args.maskGuidanceScale ?? args.guidanceScale, outputType: 'pil' as const };
  const mask = args.maskImage == null ? maskSettings(op, maskArgs) : undefined;
  const invertArgs: InvertArgs = {
    ...args,
    ...source,
    negativePrompt: args.invertNegativePrompt,
    negativePromptEmbeds: undefined,
    guidanceScale: args.invertGuidanceScale ?? args.guidanceScale,
  };
  const invert = args.imageLatents == null ? invertSettings(op, invertArgs) : undefined;
  const edit = editSettings(op, { ...args, ...target, ...negative });
  const shared = generatorOf(args);
  return {
    image,
    mask: mask && { settings: mask, timestep: maskTimestep(op, parts.scheduler, mask) },
    invert: invert && { settings: invert, timesteps: invertTimesteps(op, parts.inverseScheduler, invert) },
    edit,
    timesteps: editTimesteps(op, parts.scheduler, edit),
    generator: () => (seed === undefined ? shared : new Generator(seed)),
  };
}

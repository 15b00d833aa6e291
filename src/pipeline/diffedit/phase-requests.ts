/** From arguments to the request of one phase: defaults, checks in diffusers' order, schedules, noise. */
import { InputError, ShapeError } from '../../core/errors.ts';
import type { NdArray } from '../../core/ndarray.ts';
import { dim, type Shape, sameShape } from '../../core/shape.ts';
import { checkPyramid } from '../../schedulers/check-pyramid.ts';
import type { ScheduledStep } from '../../schedulers/index.ts';
import { checkCrossAttention, type Limits } from '../diffusion/argument-checks.ts';
import { checkGenerators, type Generators, generatorOf } from '../diffusion/generators.ts';
import { checkCopies, checkDraws, latentSides, preparePictures } from '../diffusion/image-latents.ts';
import type { LatentDiffusion } from '../diffusion/latent-diffusion.ts';
import { outputTypeOf } from '../diffusion/output.ts';
import {
  batchOf,
  checkPrompts,
  type Prompt,
  type PromptArgs,
  type PromptNames,
  promptNames,
  promptsWith,
} from '../diffusion/prompt-arguments.ts';
import { type PromptRequest, samePrompts, settlePrompts, shapeOfPrompts } from '../diffusion/prompt-request.ts';
import { stepsOf } from '../diffusion/steps-of.ts';
import {
  type ArgumentsOf,
  checkArgumentNames,
  checkValues,
  type Method,
  type Settled,
  withDefaults,
} from './arguments.ts';
import { checkMaskSize, prepareLatents, prepareMask } from './edit-inputs.ts';
import { checkExclusive } from './exclusive-settings.ts';
import { type Guidance, guidanceOf, guidanceOfMap } from './guidance.ts';
import { checkFittedSize, checkPasteBack } from './output.ts';
import type { EditRequest, InvertRequest, MaskRequest, Regularisation, Request } from './request.ts';
import type { PhaseMethod } from './run-arguments.ts';
import { editSchedule, invertSchedule, maskTimestep } from './schedules.ts';
import type { EditArgs, EncodePromptOptions, GenerateMaskArgs, InvertArgs } from './types.ts';

/** How a phase's arguments are read where `run` calls it. */
export interface Reading {
  /** Under which name the caller knows an argument. */
  readonly nameOf?: (name: string) => string;
  readonly limits?: Limits;
}

/** Beyond it no difference is left; a float32 holds it times any mean. */
const MOST_RATIO = 1e30;

/** The prompts of a phase, in the order in which they are checked. */
const PREFIXES: Readonly<Record<PhaseMethod, readonly string[]>> = {
  generateMask: ['target', 'source'],
  invert: [''],
  edit: [''],
};

/** Which share of the steps a phase does. */
const STRENGTHS = { generateMask: 'maskEncodeStrength', invert: 'inpaintStrength', edit: 'inpaintStrength' } as const;

function renamed(names: PromptNames, nameOf: (name: string) => string = name => name): PromptNames {
  return {
    prompt: nameOf(names.prompt),
    negativePrompt: nameOf(names.negativePrompt),
    promptEmbeds: nameOf(names.promptEmbeds),
    negativePromptEmbeds: nameOf(names.negativePromptEmbeds),
  };
}

/**
 * Fills in a phase's defaults and checks everything that needs no model.
 * @throws InputError or ShapeError
 */
export function settle<M extends PhaseMethod>(
  op: string,
  method: M,
  args: ArgumentsOf[M],
  { nameOf, limits }: Reading = {},
): Settled<M> {
  const s = withDefaults(method, args);
  const reading = { ...(nameOf ? { nameOf } : {}), ...(limits ? { limits } : {}) };
  checkValues(op, method, s, { first: true, ...reading });
  for (const prefix of PREFIXES[method]) {
    const names = promptNames(prefix);
    checkPrompts(op, promptsWith(s, names), renamed(names, nameOf));
  }
  checkValues(op, method, s, { first: false, ...reading });
  const { pasteBack, outputType } = s as EditArgs;
  if (pasteBack) checkPasteBack(op, pasteBack, { outputType, batch: batchOf(s as PromptArgs) });
  const strength = STRENGTHS[method];
  const { numInferenceSteps } = s as { readonly numInferenceSteps: number };
  stepsOf(op, numInferenceSteps, (s as Readonly<Record<string, unknown>>)[strength] as number, strength);
  return s;
}

/** What requests are made for. */
export interface RequestHome {
  readonly model: LatentDiffusion;
  readonly mendQuirks: boolean;
  /** Names of the LoRA adapters that act. */
  readonly adapters: () => readonly string[];
}

/** What the phases of one call share. */
export interface Shared extends RequestHome {
  /** The prepared pictures, [N, C, H, W]. */
  readonly pictures: () => NdArray;
  /** The source of noise of the next phase. */
  readonly generator: () => Generators;
  /** Under which name the caller knows an argument. */
  readonly nameOf?: (name: string) => string;
}

/**
 * `generateMask`
 * @throws InputError or ShapeError, before any work on the device
 */
export function maskRequest(args: GenerateMaskArgs, home: RequestHome): Request {
  const op = 'generateMask';
  checkArguments(op, args, home);
  const shared = alone(op, args, home);
  return { mask: bindMask(op, settle(op, op, args), shared), pictures: shared.pictures() };
}

/**
 * `invert`
 * @throws as maskRequest
 */
export function invertRequest(args: InvertArgs, home: RequestHome): Request {
  const op = 'invert';
  checkArguments(op, args, home);
  const shared = alone(op, args, home);
  return { invert: bindInvert(op, settle(op, op, args), shared, true), pictures: shared.pictures() };
}

/**
 * `edit`
 * @throws as maskRequest
 */
export function editRequest(args: EditArgs, home: RequestHome): Request {
  const op = 'edit';
  checkArguments(op, args, home);
  const s = settle(op, op, args, { limits: home.model.prompts.sizes });
  return { edit: bindEdit(op, s, alone(op, args, home), { mask: false, latents: false, noise: false }) };
}

/**
 * `encodePrompt`
 * @returns what the text encoder shall give, each row so many times
 * @throws InputError or ShapeError
 */
export function encodeRequest(
  prompt: Prompt,
  options: EncodePromptOptions,
  { model, adapters }: RequestHome,
): { readonly prompts: PromptRequest; readonly copies: number } {
  const op = 'encodePrompt';
  checkArguments(op, options, { adapters });
  const text = model.prompts.sizes;
  const { negativePrompt, numImagesPerPrompt: copies, clipSkip } = withDefaults(op, options);
  const args = { prompt, negativePrompt };
  checkPrompts(op, args, promptNames(''));
  checkValues(op, op, { numImagesPerPrompt: copies, clipSkip }, { first: false, limits: text });
  return { prompts: settlePrompts(op, args, promptNames(''), { guided: true, clipSkip, text }), copies };
}

/** Names, and what is not built. */
export function checkArguments<M extends Method>(
  method: M,
  args: ArgumentsOf[M],
  home: Pick<RequestHome, 'adapters'>,
): void {
  checkArgumentNames(method, method, args);
  checkCrossAttention(method, args.crossAttentionKwargs, home.adapters());
}

function alone(op: string, args: GenerateMaskArgs | InvertArgs | EditArgs, home: RequestHome): Shared {
  const { autoencoder, warn } = home.model;
  const pictures = once(() => preparePictures(op, (args as InvertArgs).image, autoencoder, warn));
  return { ...home, pictures, generator: () => generatorOf(op, args) };
}

/** The same value at every call, made at the first. */
export function once<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}

/**
 * The mask phase of settled arguments.
 * @throws InputError or ShapeError
 */
export function bindMask(op: string, s: Settled<'generateMask'>, shared: Shared): MaskRequest {
  const { model, mendQuirks } = shared;
  const [target, source] = [promptNames('target'), promptNames('source')];
  const [wanted, had] = [promptsWith(s, target), promptsWith(s, source)];
  checkPair(op, shapeOfPrompts(had, model.prompts.sizes), shapeOfPrompts(wanted, model.prompts.sizes));
  const timestep = maskTimestep(op, model.sampler, s);
  const pictures = shared.pictures();
  const generator = shared.generator();
  const [batch, maps] = [batchOf(wanted), s.numMapsPerMask];
  checkDraws(op, pictures, model.autoencoder, { batch, repeat: maps, path: 'numMapsPerMask', generator });
  const asked = guidanceOf(s, [{ timestep }], model.sampler);
  const encoding = { guided: asked.guided, text: model.prompts.sizes };
  const [to, from] = [settlePrompts(op, wanted, target, encoding), settlePrompts(op, had, source, encoding)];
  const sameNegatives = samePrompts(to.negative, from.negative);
  const { guidance, gain } = guidanceOfMap(asked, { mendQuirks, sameNegatives });
  const own = (prompts: PromptRequest): PromptRequest =>
    guidance.guided ? prompts : { ...prompts, negative: undefined };
  return {
    ...{ batch, guidance, gain, numInferenceSteps: s.numInferenceSteps, generator, mendQuirks, timestep, maps },
    target: own(to),
    source: own(from),
    ratio: Math.min(s.maskThresholdingRatio, MOST_RATIO),
    threshold: s.threshold,
    continuous: s.continuous || s.maskMode === 'soft',
    cleanup: s.maskCleanup,
    refine: { erode: s.erode, dilate: s.dilate, blur: s.blur },
    asPictures: s.outputType === 'pil',
  };
}

/** @throws InputError where a target has no source */
function checkPair(op: string, source: Shape, target: Shape): void {
  const [expected, received] = [source.slice(0, 2), target.slice(0, 2)];
  if (sameShape(expected, received)) return;
  throw new InputError({
    op,
    problem: 'source and target differ in number or length',
    expected,
    received,
    fix: 'Pass as many source prompts as target prompts.',
  });
}

/**
 * The inversion of settled arguments.
 * @param returned whether the latents are read back
 * @throws InputError or ShapeError
 */
export function bindInvert(op: string, s: Settled<'invert'>, shared: Shared, returned: boolean): InvertRequest {
  const { model, mendQuirks, nameOf } = shared;
  const { inversion: kind, inversionRounds: rounds } = s;
  const schedule =
    kind === 'ddpm' ? editSchedule(op, model.sampler, { ...s, eta: 1 }) : invertSchedule(op, model.inverseSampler, s);
  checkInversion(op, s, schedule);
  const pictures = shared.pictures();
  const [batch, generator] = [batchOf(s), shared.generator()];
  checkDraws(op, pictures, model.autoencoder, { batch, repeat: 1, path: 'prompt', generator });
  const guidance = guidanceOf(s, schedule, model.sampler);
  const shape = [batch, model.denoiser.channels, ...latentSides(pictures, model.autoencoder)];
  const regularisation = s.numRegSteps === 0 ? undefined : regularisationOf(op, s, generator);
  if (regularisation) checkRegularised(op, regularisation, { shape, guidance, schedule });
  const encoding = { guided: guidance.guided, text: model.prompts.sizes };
  return {
    ...{ batch, guidance, numInferenceSteps: s.numInferenceSteps, generator, mendQuirks, schedule },
    ...{ regularisation, returned, kind, rounds },
    prompt: settlePrompts(op, s, renamed(promptNames(''), nameOf), encoding),
    callback: s.callback,
    callbackSteps: s.callbackSteps,
    decoded: s.decodeLatents ? (s.outputType === 'pil' ? 'pil' : 'np') : undefined,
  };
}

/** @throws InputError for ways to invert that exclude each other, or a sampler that cannot be solved for its noise */
function checkInversion(op: string, s: Settled<'invert'>, schedule: readonly ScheduledStep[]): void {
  const { inversion, inversionRounds, numRegSteps } = s;
  checkExclusive(op, { inversion, inversionRounds, numRegSteps });
  if (inversion === 'ddim' || !schedule.some(step => step.coefficients.threshold)) return;
  const fix = "Pass inversion 'ddim', or a scheduler without thresholding.";
  throw new InputError({ op, problem: 'a DDPM inversion with dynamic thresholding', path: 'inversion', fix });
}

function regularisationOf(op: string, s: Settled<'invert'>, generator: Generators): Regularisation {
  const { numRegSteps, numAutoCorrRolls, lambdaAutoCorr, lambdaKl } = s;
  const list = [generator].flat();
  const [only] = list;
  if (only && list.length === 1) return { numRegSteps, numAutoCorrRolls, lambdaAutoCorr, lambdaKl, generator: only };
  throw new InputError({
    op,
    problem: 'regularisation draws from one generator',
    expected: 1,
    received: list.length,
    path: 'generator',
    fix: 'Pass one generator for the whole batch.',
  });
}

/** @throws ShapeError for several pictures where diffusers crashes, or sides that the pyramid cannot halve */
function checkRegularised(
  op: string,
  r: Regularisation,
  o: { readonly shape: Shape; readonly guidance: Guidance; readonly schedule: readonly ScheduledStep[] },
): void {
  const predictionType = o.schedule[0]?.coefficients.predictionType;
  if (dim(o.shape, 0) > 1 && o.guidance.guided && predictionType !== 'epsilon') {
    throw new ShapeError({
      op,
      problem: `guided inversion of several pictures cannot be regularised with ${predictionType}`,
      expected: 'one picture',
      received: dim(o.shape, 0),
      path: 'numRegSteps',
      fix: 'Invert the pictures one by one, or with guidanceScale 1.',
    });
  }
  if (r.lambdaAutoCorr > 0) checkPyramid(o.shape);
}

/**
 * The edit of settled arguments.
 * @param made whether mask and latents are made by phases of the same run
 * @throws InputError or ShapeError
 */
export function bindEdit(
  op: string,
  s: Settled<'edit'>,
  shared: Shared,
  made: { readonly mask: boolean; readonly latents: boolean; readonly noise: boolean },
): EditRequest {
  const { model, nameOf } = shared;
  const [batch, soft] = [batchOf(s), s.maskMode === 'soft'];
  const mask = made.mask ? undefined : prepareMask(op, s.maskImage, { batch, mode: s.maskMode });
  // Where another phase takes a picture, mask and latents must be of its size.
  const sides = made.mask || made.latents ? latentSides(shared.pictures(), model.autoencoder) : undefined;
  if (mask && sides) checkMaskSize(op, mask, sides);
  if (s.pasteBack?.fit)
    checkFittedSize(op, s.pasteBack.fit, sides ?? mask?.shape.slice(2) ?? [], model.autoencoder.factor);
  const found = made.noise || s.inversionNoise != null;
  if (found) checkFoundNoise(op, s, made);
  const schedule = editSchedule(op, model.sampler, found ? { ...s, eta: 1 } : s);
  const size = [model.denoiser.channels, ...(sides ?? mask?.shape.slice(2) ?? [])];
  const expected = { size, of: sides ? 'picture' : 'mask', batch, frames: schedule.length } as const;
  const latents = made.latents ? undefined : prepareLatents(op, s.imageLatents, expected);
  const noise =
    s.inversionNoise == null ? undefined : prepareLatents(op, s.inversionNoise, { ...expected, noise: true });
  const generator = shared.generator();
  const [copies, noisy] = [s.numImagesPerPrompt, s.eta > 0 || found];
  checkCopies(op, copies, { batch, size, vae: model.autoencoder });
  if (noisy && !found) checkGenerators(op, generator, batch * copies);
  const guidance = guidanceOf(s, schedule, model.sampler);
  const encoding = { guided: guidance.guided, clipSkip: s.clipSkip, text: model.prompts.sizes };
  return {
    ...{ batch, guidance, numInferenceSteps: s.numInferenceSteps, generator, schedule },
    mendQuirks: shared.mendQuirks || soft,
    ...{ copies, noisy, mask, latents, noise, softExponent: soft ? s.maskExponent : undefined },
    prompt: settlePrompts(op, s, renamed(promptNames(''), nameOf), encoding),
    callback: s.callback,
    callbackSteps: s.callbackSteps,
    output: outputTypeOf(s.outputType, model.warn),
    pasteBack: s.pasteBack,
  };
}

/** @throws InputError for another share of noise than was found, or noise beside an inversion that finds its own */
function checkFoundNoise(
  op: string,
  { eta, inversionNoise }: Settled<'edit'>,
  made: { readonly latents: boolean; readonly noise: boolean },
): void {
  if (inversionNoise != null && made.latents) {
    throw new InputError({
      op,
      problem: 'noise of another inversion',
      path: 'inversionNoise',
      fix: 'Pass imageLatents of the same inversion beside it, or leave it out.',
    });
  }
  checkExclusive(op, { inversion: 'ddpm', eta });
}

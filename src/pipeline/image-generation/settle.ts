/** From arguments to the request of a call: defaults, checks in diffusers' order, steps, and the noise that it begins with. */
import { InputError, ShapeError } from '../../core/errors.ts';
import { type NdArray, ndarray } from '../../core/ndarray.ts';
import { dim, type Shape, sameShape } from '../../core/shape.ts';
import type { NumericArray } from '../../io/mask.ts';
import { randnBatch } from '../../schedulers/generator.ts';
import { type LinearSampler, linearSampler, type Run } from '../../schedulers/index.ts';
import { checkCrossAttention } from '../diffusion/argument-checks.ts';
import { checkGenerators, type Generators, generatorOf } from '../diffusion/generators.ts';
import { checkCopies, isDrawn } from '../diffusion/image-latents.ts';
import type { LatentModel } from '../diffusion/latent-model.ts';
import { outputTypeOf } from '../diffusion/output.ts';
import { batchOf, checkPrompts, promptNames } from '../diffusion/prompt-arguments.ts';
import { settlePrompts } from '../diffusion/prompt-request.ts';
import { stepsOf } from '../diffusion/steps-of.ts';
import { allFinite } from '../runtime/finite.ts';
import {
  type ArgumentsOf,
  checkArgumentNames,
  checkValues,
  type Kind,
  type Settled,
  withDefaults,
} from './arguments.ts';
import type { DrawnPictures, GenerationRequest, Masking, Overlay, Start } from './request.ts';
import type { PipelineScheduler } from './schedulers.ts';
import type { GenerationArgs } from './types.ts';

/** The method, for messages. */
export const OP = 'generate';

/** What requests are made for. */
export interface RequestHome {
  readonly model: LatentModel;
  readonly scheduler: PipelineScheduler;
  /** Names of the LoRA adapters that act. */
  readonly adapters: () => readonly string[];
}

/** Arguments that were checked, and what all pipelines make of them. */
export interface Checked<K extends Kind> {
  readonly s: Settled<K>;
  /** N: pictures in all. */
  readonly images: number;
}

/**
 * Fills in defaults and checks everything that needs neither steps nor pictures.
 * @param early checked between those values that come before the prompts and the prompts
 * @throws InputError or ShapeError
 */
export function checked<K extends Kind>(
  kind: K,
  args: ArgumentsOf[K],
  home: RequestHome,
  early: (s: Settled<K>) => void = () => {},
): Checked<K> {
  checkArgumentNames(OP, kind, args);
  checkCrossAttention(OP, args.crossAttentionKwargs, home.adapters());
  const s = withDefaults(kind, args);
  checkValues(OP, kind, s, { first: true });
  early(s);
  checkPrompts(OP, s, promptNames(''));
  checkValues(OP, kind, s, { first: false, limits: home.model.prompts.sizes });
  const { numImagesPerPrompt } = s as { readonly numImagesPerPrompt: number };
  return { s, images: batchOf(s) * numImagesPerPrompt };
}

/** The steps of a call. */
export interface Steps {
  readonly sampler: LinearSampler;
  readonly run: Run;
  /** Number of the first one that is done. */
  readonly from: number;
}

/**
 * The steps that a strength leaves.
 * @throws InputError where none is left, and as the sampler's timestepsFor()
 */
export function stepsFor(args: GenerationArgs, scheduler: PipelineScheduler, strength?: number): Steps {
  const { timesteps, sigmas, numInferenceSteps = 0, eta = 0 } = args;
  if (timesteps && sigmas) {
    const [problem, fix] = ['timesteps and sigmas were both given', 'Leave one out.'];
    throw new InputError({ op: OP, problem, expected: 'one of the two', path: 'sigmas', fix });
  }
  const sampler = linearSampler(scheduler, { eta });
  const run = timesteps ? { timesteps } : sigmas ? { sigmas } : numInferenceSteps;
  const all = sampler.timestepsFor(run);
  const count = timesteps || sigmas ? all.length : numInferenceSteps;
  return { sampler, run, from: strength === undefined ? 0 : count - stepsOf(OP, count, strength, 'strength') };
}

/** What the pipelines settle by themselves. */
interface Own {
  readonly size: GenerationRequest['size'];
  readonly steps: Steps;
  readonly start: (generator: Generators) => Omit<Start, 'sigma'> & { readonly whole: boolean };
  /** Draws behind the start's. */
  readonly masking?: (generator: Generators) => Masking;
  readonly overlay?: Overlay | undefined;
}

/**
 * The request of checked arguments. Noise is drawn last, when nothing is refused any more.
 * @throws InputError or ShapeError
 */
export function requestOf<K extends Kind>({ s, images }: Checked<K>, home: RequestHome, own: Own): GenerationRequest {
  const { model } = home;
  const o: GenerationArgs = s;
  const copies = o.numImagesPerPrompt ?? 1;
  checkCopies(OP, copies, { batch: batchOf(o), size: own.size, vae: model.autoencoder });
  const generator = generatorOf(OP, o);
  checkGenerators(OP, generator, images);
  const { guidanceScale: scale = 0, guidanceRescale: rescale = 0 } = o;
  const guided = scale > 1;
  const prompt = settlePrompts(OP, o, promptNames(''), { guided, clipSkip: o.clipSkip, text: model.prompts.sizes });
  const { sampler, run, from } = own.steps;
  const steps = sampler.linearSteps(run, { from });
  const output = outputTypeOf(o.outputType ?? 'pil', model.warn);
  const { whole, ...start } = own.start(generator);
  return {
    ...{ prompt, copies, images, size: own.size, guidance: { scale, guided, rescale }, steps, generator, output },
    slots: sampler.keptSlots,
    start: { ...start, sigma: whole ? sampler.initNoiseSigmaFor(run) : undefined },
    masking: own.masking?.(generator),
    overlay: own.overlay,
    callback: o.callback,
    callbackSteps: o.callbackSteps ?? 1,
    onStepEnd: o.callbackOnStepEnd,
    changed: new Map(),
  };
}

/** Standard normal numbers. */
export function noiseOf(shape: Shape, generator: Generators): NdArray {
  return ndarray(randnBatch(shape, generator), shape);
}

/**
 * The noise that a call begins with: the caller's, or drawn.
 * @throws ShapeError for latents of another shape; InputError for values that are not finite
 */
export function givenLatents(latents: NumericArray | undefined, shape: Shape, path = 'latents'): NdArray | undefined {
  if (latents === undefined) return undefined;
  const { data, shape: own } = Object(latents) as Partial<NumericArray>;
  const size = shape.reduce((a, b) => a * b, 1);
  if (own && data && sameShape(own, shape) && data.length === size) {
    checkNumbersOf(OP, data, path);
    return ndarray(Float32Array.from(data), shape);
  }
  const problem = 'latents of another shape than the result has';
  throw new ShapeError({ op: OP, problem, expected: shape, received: own ?? typeof latents, path });
}

/** @throws InputError for latents with a NaN or an infinity, which would look like a fault of the model */
export function checkNumbersOf(op: string, latents: ArrayLike<number>, path: string): void {
  if (allFinite(latents)) return;
  const fix = 'Pass latents of finite numbers.';
  throw new InputError({ op, problem: 'latents hold values that are not finite', path, fix });
}

/** Pictures with the noise of their draw; of `rows` of them where there is a generator for each. */
export function drawn(
  pictures: NdArray,
  { autoencoder, denoiser }: LatentModel,
  { generator, rows }: { readonly generator: Generators; readonly rows: number },
): DrawnPictures {
  if (!isDrawn(pictures, autoencoder)) return { pictures, noise: undefined };
  const { factor } = autoencoder;
  const sides = [dim(pictures.shape, 2) / factor, dim(pictures.shape, 3) / factor];
  const own = Array.isArray(generator) && generator.length > 1 ? generator.slice(0, rows) : generator;
  return { pictures, noise: noiseOf([rows, denoiser.channels, ...sides], own) };
}

/** @throws InputError where pictures cannot be repeated until there is one for each result */
export function checkRepeats(count: number, images: number, path: string): void {
  if (images % count === 0) return;
  throw new InputError({
    op: OP,
    problem: 'pictures and results differ in number',
    expected: `a divisor of ${images}, the prompts times numImagesPerPrompt`,
    received: count,
    path,
    fix: 'Pass one, or one for each prompt.',
  });
}

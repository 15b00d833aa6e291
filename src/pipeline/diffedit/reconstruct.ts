/** How far a model can be trusted with a picture: inverted, denoised again under the same prompt, and compared. */
import { InputError } from '../../core/errors.ts';
import { checkByName, checkNames, namesOf } from '../../core/known-names.ts';
import type { RgbImage } from '../../io/image.ts';
import { latentSides, preparePictures } from '../diffusion/image-latents.ts';
import { CALL_OPTIONS } from '../runtime/progress.ts';
import type { RequestHome } from './phase-requests.ts';
import type { Request } from './request.ts';
import type { PhaseResults } from './run-phases.ts';
import { runRequest } from './run-request.ts';
import type { CommonArgs, RunArgs } from './types.ts';

/** What `reconstruct` takes: a picture, a prompt of what it shows, and how it is inverted and denoised. */
export interface ReconstructArgs
  extends CommonArgs,
    Pick<
      RunArgs,
      | 'image'
      | 'numInferenceSteps'
      | 'inpaintStrength'
      | 'guidanceInterval'
      | 'guidanceRescale'
      | 'inversion'
      | 'inversionRounds'
      | 'numRegSteps'
      | 'numAutoCorrRolls'
      | 'lambdaAutoCorr'
      | 'lambdaKl'
      | 'seed'
    > {
  /** What the picture shows, of both ways. */
  readonly prompt: string;
  /** Of both ways, where they are guided; default empty. */
  readonly negativePrompt?: string | undefined;
  /** Of both ways; default 1, which shows the model itself. */
  readonly guidanceScale?: number | undefined;
  /** Of the inversion alone; default guidanceScale. */
  readonly invertGuidanceScale?: number | undefined;
}

const NAMES = [
  ...namesOf<Omit<ReconstructArgs, keyof CommonArgs>>({
    ...{ image: 1, prompt: 1, negativePrompt: 1, numInferenceSteps: 1, inpaintStrength: 1, seed: 1 },
    ...{ guidanceScale: 1, invertGuidanceScale: 1, guidanceInterval: 1, guidanceRescale: 1 },
    ...{ inversion: 1, inversionRounds: 1, numRegSteps: 1, numAutoCorrRolls: 1, lambdaAutoCorr: 1, lambdaKl: 1 },
  }),
  ...[...CALL_OPTIONS, 'generator', 'crossAttentionKwargs'],
];

/** What came back. */
export interface Reconstruction {
  /** The picture as the model saw it, at the size of the result. */
  readonly picture: RgbImage;
  /** Encoded and decoded by the VAE alone: no edit comes nearer. */
  readonly decoded: RgbImage;
  /** Inverted, denoised and decoded. */
  readonly image: RgbImage;
  /** dB against `picture`, 10 log10(255^2 / mean squared error) over all bytes; Infinity for equal pictures. */
  readonly psnr: {
    /** Of `decoded`. */
    readonly decoded: number;
    /** Of `image`. */
    readonly image: number;
  };
}

/**
 * `reconstruct`: a run under one prompt whose mask is white.
 * @throws InputError or ShapeError, before any work on the device
 */
export function reconstructRequest(args: ReconstructArgs, home: RequestHome): Request {
  const op = 'reconstruct';
  checkByName(op, args);
  checkNames(op, args, NAMES);
  const { prompt, negativePrompt = '', guidanceScale = 1, ...rest } = args;
  checkIsText(op, prompt, 'prompt');
  checkIsText(op, negativePrompt, 'negativePrompt');
  const { autoencoder, warn } = home.model;
  const pictures = preparePictures(op, args.image, autoencoder, warn);
  const [height, width] = latentSides(pictures, autoencoder);
  const white = new Float32Array(height * width).fill(1);
  const run: RunArgs = {
    ...{ ...rest, guidanceScale, sourcePrompt: prompt, targetPrompt: prompt, negativePrompt },
    ...{ invertNegativePrompt: negativePrompt, maskImage: { data: white, shape: [height, width] } },
  };
  return { ...runRequest(run, { ...home, mendQuirks: true }, op), roundTrip: true };
}

/** @throws InputError for a list too: one picture is reconstructed */
function checkIsText(op: string, value: unknown, path: string): void {
  if (typeof value === 'string') return;
  const received = Array.isArray(value) ? 'a list' : typeof value;
  throw new InputError({ op, problem: 'not a prompt', expected: 'a string', received, path });
}

/** The result of such a request. */
export function reconstructionOf({ images, roundTrip }: PhaseResults): Reconstruction {
  const [image] = images as [RgbImage];
  const { picture, decoded } = roundTrip as { readonly picture: RgbImage; readonly decoded: RgbImage };
  return { picture, decoded, image, psnr: { decoded: psnr(picture, decoded), image: psnr(picture, image) } };
}

/** dB of one picture against another of the same size. */
function psnr({ data: a }: RgbImage, { data: b }: RgbImage): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += ((a[i] as number) - (b[i] as number)) ** 2;
  return 10 * Math.log10((255 ** 2 * a.length) / sum);
}

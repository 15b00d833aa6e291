/** The picture at hand: prepared, encoded once, and drawn from as often as a phase needs. */
import { InputError, ShapeError } from '../../core/errors.ts';
import type { NdArray } from '../../core/ndarray.ts';
import { dim } from '../../core/shape.ts';
import { concatenate, type PictureInput, preprocessImage } from '../../io/preprocess.ts';
import { randnBatch } from '../../schedulers/index.ts';
import type { DeviceCall } from '../runtime/device-call.ts';
import type { Autoencoder } from './autoencoder.ts';
import { checkGenerators, type Generators } from './generators.ts';
import { repeatRows } from './rows.ts';

/** Pictures as the UNet can take them: latents, or what the VAE's encoder says about them. */
export interface EncodedPictures {
  /** [N, 4, h, w] for latents, [N, 8, h, w] for means and logarithms of variances. */
  readonly values: NdArray;
  /** Whether latents are drawn from means and variances; false where `values` are latents. */
  readonly drawn: boolean;
}

/**
 * Checks pictures and brings them to [N, 3, H, W] in [-1, 1]; [N, 4, h, w] arrays pass as latents.
 * @throws InputError or ShapeError
 */
export function preparePictures(
  op: string,
  image: PictureInput,
  vae: Autoencoder,
  onWarning: (m: string) => void,
): NdArray {
  if (image === undefined || image === null) {
    throw new InputError({
      op,
      problem: 'no picture',
      expected: 'an image, an array, or a list of either',
      received: String(image),
      path: 'image',
      fix: 'Pass what loadImage or readImage returns.',
    });
  }
  const pictures = preprocessImage(image, { factor: vae.factor, onWarning });
  const { inChannels, latentChannels } = vae.network.model.config;
  const channels = dim(pictures.shape, 1);
  if (channels === inChannels || channels === latentChannels) return pictures;
  throw new ShapeError({
    op,
    problem: 'a picture with another number of channels than the VAE takes',
    expected: `${inChannels} (or ${latentChannels} for latents)`,
    received: pictures.shape,
    path: 'image',
    fix: 'Repeat a grey channel three times, or pass the picture as an image.',
  });
}

/** Runs the encoder, unless the pictures are latents. */
export async function encodePictures(call: DeviceCall, pictures: NdArray, vae: Autoencoder): Promise<EncodedPictures> {
  if (dim(pictures.shape, 1) === vae.network.model.config.latentChannels) return { values: pictures, drawn: false };
  return { values: await vae.encode(call, pictures), drawn: true };
}

/** Numbers of noise in one array: a gigabyte of them. */
const MOST_DRAWN = 2 ** 28;

/** Sides [h, w] of the latents of prepared pictures. */
export function latentSides(pictures: NdArray, vae: Autoencoder): readonly [number, number] {
  const factor = dim(pictures.shape, 1) === vae.network.model.config.latentChannels ? 1 : vae.factor;
  return [dim(pictures.shape, 2) / factor, dim(pictures.shape, 3) / factor];
}

/**
 * Checks that pictures, prompts and generators go together, before anything is encoded.
 * @param vae of the pictures
 * @param o.batch number of prompts, each of which is drawn `repeat` times
 * @param o.path of `repeat`
 * @throws InputError where the pictures do not divide the prompts, generators not the rows, or the rows no array of the host
 */
export function checkDraws(
  op: string,
  pictures: NdArray,
  vae: Autoencoder,
  o: { readonly batch: number; readonly repeat: number; readonly path: string; readonly generator: Generators },
): void {
  const { batch, repeat, generator, path } = o;
  const [height, width] = latentSides(pictures, vae);
  const most = Math.floor(MOST_DRAWN / (batch * vae.network.model.config.latentChannels * height * width));
  if (repeat > most) {
    const [problem, fix] = ['more noise than the host holds at once', 'Use fewer.'];
    throw new InputError({ op, problem, expected: `at most ${most}`, received: repeat, path, fix });
  }
  checkGenerators(op, generator, batch * repeat);
  const count = dim(pictures.shape, 0);
  if (batch % count === 0 && !(Array.isArray(generator) && generator.length > 1 && count !== batch)) return;
  throw new InputError({
    op,
    problem: 'pictures and prompts differ in number',
    expected: `${batch}, one for each prompt`,
    received: count,
    path: 'image',
    fix: 'Pass one picture, or one for each prompt.',
  });
}

/**
 * Latents of pictures that passed `checkDraws`, each `repeat` times consecutively, then all of them again until there are `batch * repeat`:
 * z = scaling * (mean + exp(clamp(logvar, -30, 20) / 2) * noise), with one draw of noise for all.
 * @see diffusers StableDiffusionDiffEditPipeline.prepare_image_latents
 */
export function drawLatents(
  from: EncodedPictures,
  batch: number,
  o: { repeat: number; generator: Generators; scaling: number },
): NdArray {
  const { repeat, generator, scaling } = o;
  const pictures = dim(from.values.shape, 0);
  const z = from.drawn ? sample(from.values, repeat, generator, scaling) : repeatRows(from.values, repeat);
  return batch === pictures ? z : concatenate(new Array<NdArray>(batch / pictures).fill(z), 'drawLatents');
}

function sample(moments: NdArray, repeat: number, generator: Generators, scaling: number): NdArray {
  const [count, channels, height, width] = moments.shape as [number, number, number, number];
  const shape = [count * repeat, channels / 2, height, width];
  const noise = randnBatch(shape, generator);
  const half = (channels / 2) * height * width;
  const { fround } = Math;
  const data = noise.map((eps, i) => {
    const at = Math.floor(i / half / repeat) * 2 * half + (i % half);
    const deviation = fround(Math.exp(0.5 * Math.min(20, Math.max(-30, moments.data[at + half] as number))));
    return scaling * fround((moments.data[at] as number) + fround(deviation * eps));
  });
  return { data, shape };
}

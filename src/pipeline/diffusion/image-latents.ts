/** The picture at hand: prepared, encoded once, and drawn from as often as a phase needs. */
import { InputError, ShapeError } from '../../core/errors.ts';
import type { NdArray } from '../../core/ndarray.ts';
import { dim, type Shape } from '../../core/shape.ts';
import { type PictureInput, preprocessImage } from '../../io/preprocess.ts';
import { randnBatch } from '../../schedulers/generator.ts';
import type { DeviceTensor } from '../../tensor/device-tensor.ts';
import { stepValues } from '../../tensor/ops/diffusion.ts';
import type { DeviceCall } from '../runtime/device-call.ts';
import type { Autoencoder } from './autoencoder.ts';
import type { Denoiser } from './denoiser.ts';
import { checkGenerators, type Generators } from './generators.ts';
import { drawsFrom, type EncodedPictures } from './latent-draws.ts';
import { pickRows } from './rows.ts';

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
  if (isDrawn(pictures, vae)) return { values: await vae.encode(call, pictures), drawn: true };
  const values = call.scope.tensor(pictures.shape, 'float32', 'latents of the pictures');
  values.write(pictures.data);
  return { values, drawn: false };
}

/** Whether prepared pictures are encoded, and their latents drawn; false where they are latents. */
export function isDrawn(pictures: NdArray, vae: Autoencoder): boolean {
  return dim(pictures.shape, 1) !== vae.network.model.config.latentChannels;
}

/** Numbers in one array of noise or pictures: a gigabyte of them. */
const MOST_DRAWN = 2 ** 28;

/**
 * Checks that the host can hold all pictures that are made.
 * @param copies pictures of each prompt
 * @param o.size [C, h, w] of the latents
 * @throws InputError where it cannot
 */
export function checkCopies(
  op: string,
  copies: number,
  o: { readonly batch: number; readonly size: Shape; readonly vae: Autoencoder },
): void {
  const { outChannels } = o.vae.network.model.config;
  const numbers = outChannels * dim(o.size, 1) * dim(o.size, 2) * o.vae.factor ** 2;
  const most = Math.max(1, Math.floor(MOST_DRAWN / (o.batch * numbers)));
  if (copies <= most) return;
  const [problem, fix] = ['more pictures than the host holds at once', 'Make fewer, in several calls.'];
  throw new InputError({ op, problem, expected: `at most ${most}`, received: copies, path: 'numImagesPerPrompt', fix });
}

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
 * Noise for drawing latents of pictures, each `repeat` times consecutively; all of them again are drawn by the same.
 * @returns [M * repeat, C, h, w]; undefined where nothing is drawn
 */
export function noiseOfDraws(
  { values, drawn }: EncodedPictures,
  { repeat, generator }: { readonly repeat: number; readonly generator: Generators },
): NdArray | undefined {
  if (!drawn) return undefined;
  const [pictures, channels, height, width] = values.shape as [number, number, number, number];
  const shape = [pictures * repeat, channels / 2, height, width];
  return { data: randnBatch(shape, generator), shape };
}

/**
 * Latents of pictures that passed `checkDraws`, one for each prompt, all pictures again until there are enough.
 * @returns f32 [batch, C, h, w], in the call's memory
 * @see diffusers StableDiffusionDiffEditPipeline.prepare_image_latents
 */
export async function drawLatents(
  call: DeviceCall,
  denoiser: Denoiser,
  from: EncodedPictures,
  o: { readonly batch: number; readonly generator: Generators; readonly scaling: number },
): Promise<DeviceTensor> {
  const { batch, generator, scaling } = o;
  const noise = noiseOfDraws(from, { repeat: 1, generator });
  const [pictures, , height, width] = from.values.shape as [number, number, number, number];
  const program = await denoiser.draw(call, { images: batch, height, width, draws: drawsFrom(from, scaling) });
  const { io } = program;
  io.pictures.copyFrom(from.values);
  const rows = Array.from({ length: batch }, (_, image) => image % pictures);
  if (noise) io.drawNoise?.write(pickRows(noise, rows).data);
  io.step.write(stepValues({}));
  await program.run(call);
  call.check();
  const clean = call.scope.tensor(io.latents.shape, 'float32', 'clean latents');
  clean.copyFrom(io.latents);
  return clean;
}

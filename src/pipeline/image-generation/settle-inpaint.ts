/** The request of inpainting. */
import { InputError } from '../../core/errors.ts';
import { type NdArray, ndarray } from '../../core/ndarray.ts';
import { dim } from '../../core/shape.ts';
import { resizeNearest } from '../../io/resize.ts';
import type { Generators } from '../diffusion/generators.ts';
import { preparePictures } from '../diffusion/image-latents.ts';
import type { LatentModel } from '../diffusion/latent-model.ts';
import { pickRows } from '../diffusion/rows.ts';
import { checkSides, type Settled } from './arguments.ts';
import { checkCropped, cropped } from './mask-crop.ts';
import { preparedMasks, sized } from './mask-pictures.ts';
import type { DrawnPictures, GenerationRequest, Masking } from './request.ts';
import {
  type Checked,
  checked,
  checkRepeats,
  drawn,
  givenLatents,
  noiseOf,
  OP,
  type RequestHome,
  requestOf,
  stepsFor,
} from './settle.ts';
import type { InpaintArgs } from './types.ts';

/** Whether the UNet sees mask and masked picture beside the latents. */
function seesMask({ denoiser }: LatentModel): boolean {
  const { inChannels, outChannels } = denoiser.network.model.config;
  return inChannels !== outChannels;
}

/** Pictures and masks at the size that the model works at. */
interface Inputs {
  /** [M, 3, H, W], or latents. */
  readonly pictures: NdArray;
  /** [M, 1, H, W] of zeros and ones. */
  readonly mask: NdArray;
  readonly overlay: GenerationRequest['overlay'];
}

/**
 * @throws InputError or ShapeError, before any work on the device
 * @see diffusers StableDiffusionInpaintPipeline.check_inputs, prepare_latents, prepare_mask_latents
 */
export function inpaintRequest(args: InpaintArgs, home: RequestHome): GenerationRequest {
  const { model } = home;
  const factor = model.vaeScaleFactor;
  const sidesOf = (s: InpaintArgs): { readonly height: number; readonly width: number } => ({
    height: s.height ?? model.defaultSize.height,
    width: s.width ?? model.defaultSize.width,
  });
  const settled = checked('inpaint', args, home, s => checkSides(OP, sidesOf(s), factor));
  const { s, images } = settled;
  const sides = sidesOf(s);
  const steps = stepsFor(s, home.scheduler, s.strength);
  const inputs = inputsOf(s, sides, model);
  const size = [model.denoiser.channels, sides.height / factor, sides.width / factor] as const;
  const count = dim(inputs.pictures.shape, 0);
  checkRepeats(count, images, 'image');
  checkRepeats(dim(inputs.mask.shape, 0), images, 'maskImage');
  const latents = givenLatents(s.latents, [images, ...size]);
  const masking = maskingOf(settled, inputs, model, size);
  const seen = seesMask(model);
  return requestOf(settled, home, {
    ...{ size, steps, overlay: inputs.overlay },
    start: generator => {
      const whole = latents !== undefined || s.strength === 1;
      const picture = seen && whole ? undefined : drawn(inputs.pictures, model, { generator, rows: count });
      return { picture, noise: latents ?? noiseOf([images, ...size], generator), whole };
    },
    masking,
  });
}

function inputsOf(
  s: Settled<'inpaint'>,
  sides: { readonly height: number; readonly width: number },
  model: LatentModel,
): Inputs {
  if (s.paddingMaskCrop !== undefined) {
    const { image, mask } = checkCropped(s);
    const part = cropped({ image, mask }, sides, { padding: s.paddingMaskCrop, blur: s.maskBlur });
    const pictures = preparePictures(OP, part.image, model.autoencoder, model.warn);
    return { pictures, mask: preparedMasks(part.mask, sides, 0), overlay: part.overlay };
  }
  const pictures = preparePictures(OP, sized(s.image, sides), model.autoencoder, model.warn);
  return { pictures, mask: preparedMasks(s.maskImage, sides, s.maskBlur), overlay: undefined };
}

/** What the mask does; a UNet that does not see the masked picture draws for it all the same, as in diffusers. */
function maskingOf(
  { s, images }: Checked<'inpaint'>,
  { pictures, mask }: Inputs,
  model: LatentModel,
  size: GenerationRequest['size'],
): (generator: Generators) => Masking {
  const seen = seesMask(model);
  const [, height, width] = size;
  const tiled = pickRows(
    resizeNearest(mask, height, width),
    Array.from({ length: images }, (_, n) => n % dim(mask.shape, 0)),
  );
  const given = maskedLatents(s, size, images);
  const isLatents = dim(pictures.shape, 1) !== 3;
  if (seen && !given && isLatents) {
    const problem = 'latents in place of a picture, of which the masked part cannot be known';
    throw new InputError({ op: OP, problem, path: 'image', fix: 'Pass maskedImageLatents too, or the picture.' });
  }
  const masked = given || isLatents ? undefined : maskedPictures(pictures, mask);
  return generator => {
    const own = masked && drawn(masked, model, { generator, rows: dim(masked.shape, 0) });
    const shown: DrawnPictures | undefined = given ? { pictures: given, noise: undefined } : own;
    return { way: seen ? 'seen' : 'blend', mask: tiled, masked: seen ? shown : undefined };
  };
}

function maskedLatents(
  { maskedImageLatents: latents }: Settled<'inpaint'>,
  size: GenerationRequest['size'],
  images: number,
): NdArray | undefined {
  if (latents === undefined) return undefined;
  const count = (Object(latents) as Partial<NdArray>).shape?.[0] ?? 1;
  const given = givenLatents(latents, [count, ...size], 'maskedImageLatents');
  checkRepeats(count, images, 'maskedImageLatents');
  return given;
}

/** Pictures with zeros where the mask is 1, as many as there are of the more numerous. @throws InputError where neither is one */
function maskedPictures(pictures: NdArray, mask: NdArray): NdArray {
  const [count, masks] = [dim(pictures.shape, 0), dim(mask.shape, 0)];
  const most = Math.max(count, masks);
  if (count !== 1 && masks !== 1 && count !== masks) {
    const problem = 'pictures and masks differ in number';
    throw new InputError({ op: OP, problem, expected: `1 or ${count}`, received: masks, path: 'maskImage' });
  }
  const [channels, plane] = [dim(pictures.shape, 1), dim(pictures.shape, 2) * dim(pictures.shape, 3)];
  const data = new Float32Array(most * channels * plane);
  for (let i = 0; i < data.length; i++) {
    const [n, pixel] = [Math.floor(i / (channels * plane)), i % plane];
    const isKept = (mask.data[(n % masks) * plane + pixel] ?? 0) < 0.5;
    data[i] = isKept ? (pictures.data[(n % count) * channels * plane + (i % (channels * plane))] ?? 0) : 0;
  }
  return ndarray(data, [most, ...pictures.shape.slice(1)]);
}

/** The request of text to image. */

import { checkSides } from './arguments.ts';
import type { GenerationRequest } from './request.ts';
import { checked, givenLatents, noiseOf, OP, type RequestHome, requestOf, stepsFor } from './settle.ts';
import type { TextToImageArgs } from './types.ts';

/** Sides that diffusers takes are multiples of this, whatever the VAE. */
const MULTIPLE = 8;

/**
 * @throws InputError or ShapeError, before any work on the device
 * @see diffusers StableDiffusionPipeline.check_inputs, prepare_latents
 */
export function textRequest(args: TextToImageArgs, home: RequestHome): GenerationRequest {
  const { model } = home;
  const factor = model.vaeScaleFactor;
  const sidesOf = ({ height, width }: TextToImageArgs): { readonly height: number; readonly width: number } =>
    height === undefined || width === undefined ? model.defaultSize : { height, width };
  const settled = checked('text', args, home, s => checkSides(OP, sidesOf(s), Math.max(MULTIPLE, factor)));
  const { s, images } = settled;
  const { height, width } = sidesOf(s);
  const steps = stepsFor(s, home.scheduler);
  const size = [model.denoiser.channels, height / factor, width / factor] as const;
  const shape = [images, ...size];
  const latents = givenLatents(s.latents, shape);
  return requestOf(settled, home, {
    ...{ size, steps },
    start: generator => ({ noise: latents ?? noiseOf(shape, generator), picture: undefined, whole: true }),
  });
}

/** The request of image to image. */
import { dim } from '../../core/shape.ts';
import { latentSides, preparePictures } from '../diffusion/image-latents.ts';
import type { GenerationRequest } from './request.ts';
import { checked, checkRepeats, drawn, noiseOf, OP, type RequestHome, requestOf, stepsFor } from './settle.ts';
import type { ImageToImageArgs } from './types.ts';

/**
 * @throws InputError or ShapeError, before any work on the device
 * @see diffusers StableDiffusionImg2ImgPipeline.check_inputs, prepare_latents
 */
export function imageRequest(args: ImageToImageArgs, home: RequestHome): GenerationRequest {
  const { model } = home;
  const settled = checked('image', args, home);
  const { s, images } = settled;
  const pictures = preparePictures(OP, s.image, model.autoencoder, model.warn);
  const steps = stepsFor(s, home.scheduler, s.strength);
  const count = dim(pictures.shape, 0);
  checkRepeats(count, images, 'image');
  const size = [model.denoiser.channels, ...latentSides(pictures, model.autoencoder)] as const;
  return requestOf(settled, home, {
    ...{ size, steps },
    start: generator => {
      // One generator draws for each picture, a list of them for each result.
      const rows = Array.isArray(generator) && generator.length > 1 ? images : count;
      const picture = drawn(pictures, model, { generator, rows });
      return { picture, noise: noiseOf([images, ...size], generator), whole: false };
    },
  });
}

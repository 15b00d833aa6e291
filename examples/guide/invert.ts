/** The picture run backwards to noise, under the prompt that says what it shows. */
import { type DiffEditPipeline, Generator, type NdArray, type RgbImage } from 'pentimento';
import { sourcePrompt } from './find-mask.ts';

/** @returns [1, T, 4, H / 8, W / 8], noisiest first */
export async function invert(
  pipeline: DiffEditPipeline,
  image: RgbImage,
  settings: { numInferenceSteps?: number } = {},
): Promise<NdArray> {
  const { latents } = await pipeline.invert({
    prompt: sourcePrompt,
    image,
    generator: new Generator(0),
    ...settings,
  });
  return latents;
}

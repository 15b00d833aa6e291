/** The three phases again, with embeddings in place of prompts. */
import { type DiffEditPipeline, Generator, type RgbImage } from 'pentimento';
import type { Averages } from './average-embeddings.ts';

export async function editWithEmbeddings(
  pipeline: DiffEditPipeline,
  image: RgbImage,
  { sourceEmbeds, targetEmbeds }: Averages,
  settings: { numInferenceSteps?: number; numMapsPerMask?: number } = {},
): Promise<RgbImage> {
  const { numMapsPerMask, ...steps } = settings;
  const { mask } = await pipeline.generateMask({
    image,
    sourcePromptEmbeds: sourceEmbeds,
    targetPromptEmbeds: targetEmbeds,
    generator: new Generator(0),
    numMapsPerMask,
    ...steps,
  });
  const { latents } = await pipeline.invert({
    promptEmbeds: sourceEmbeds,
    image,
    generator: new Generator(0),
    ...steps,
  });
  const { images } = await pipeline.edit({
    maskImage: mask,
    imageLatents: latents,
    promptEmbeds: targetEmbeds,
    negativePromptEmbeds: sourceEmbeds,
    generator: new Generator(0),
    ...steps,
  });
  return images[0];
}

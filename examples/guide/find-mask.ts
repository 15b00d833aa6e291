/** The mask: where two prompts want different pictures. */
import { type DiffEditPipeline, Generator, type NdArray, type RgbImage } from 'pentimento';

export const sourcePrompt = 'a bowl of fruits';
export const targetPrompt = 'a basket of pears';

/** @returns [1, H / 8, W / 8] of zeros and ones: 1 is what changes */
export async function findMask(
  pipeline: DiffEditPipeline,
  image: RgbImage,
  settings: { numInferenceSteps?: number; numMapsPerMask?: number } = {},
): Promise<NdArray> {
  const { mask } = await pipeline.generateMask({
    image,
    sourcePrompt,
    targetPrompt,
    generator: new Generator(0),
    ...settings,
  });
  return mask;
}

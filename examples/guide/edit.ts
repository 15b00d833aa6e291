/** The edit: noise to picture again, under the other prompt where the mask is set. Then all three side by side. */
import { type DiffEditPipeline, Generator, maskToImage, type NdArray, type RgbImage, sideBySide } from 'pentimento';
import { sourcePrompt, targetPrompt } from './find-mask.ts';

export async function edit(
  pipeline: DiffEditPipeline,
  maskImage: NdArray,
  imageLatents: NdArray,
  settings: { numInferenceSteps?: number } = {},
): Promise<RgbImage> {
  const { images } = await pipeline.edit({
    prompt: targetPrompt,
    negativePrompt: sourcePrompt,
    maskImage,
    imageLatents,
    generator: new Generator(0),
    ...settings,
  });
  return images[0];
}

/** Before, mask and after in one picture. */
export function showEdit(pipeline: DiffEditPipeline, before: RgbImage, mask: NdArray, after: RgbImage): RgbImage {
  return sideBySide([before, maskToImage(mask, pipeline.vaeScaleFactor), after]);
}

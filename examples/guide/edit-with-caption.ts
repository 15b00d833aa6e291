/** The caption as source prompt: `run` does all three phases and takes prompts and embeddings alike. */
import type { DiffEditPipeline, RgbImage, RunArgs } from 'pentimento';

/** @param target what the picture shall show, as a prompt or as averaged embeddings */
export async function editWithCaption(
  pipeline: DiffEditPipeline,
  image: RgbImage,
  caption: string,
  target: Pick<RunArgs, 'targetPrompt' | 'targetPromptEmbeds'>,
  settings: { numInferenceSteps?: number; numMapsPerMask?: number } = {},
): Promise<RgbImage> {
  const { images } = await pipeline.run({ image, sourcePrompt: caption, ...target, seed: 0, ...settings });
  return images[0];
}

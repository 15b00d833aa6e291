/** A caption that begins with "a photograph of", then the weights leave the device. */
import { type BlipForConditionalGeneration, caption, type RgbImage } from 'pentimento';

export async function captionPicture(captioner: BlipForConditionalGeneration, image: RgbImage): Promise<string> {
  const text = await caption(captioner, image, 'a photograph of');
  captioner.unload();
  return text;
}

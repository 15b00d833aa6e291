/** The picture at the size that the model works at. */
import { type DiffEditPipeline, type RgbImage, resize } from 'pentimento';
import { readImage } from 'pentimento/node';

/** @param from a path, an address or bytes of a PNG or JPEG */
export async function loadPicture(
  { defaultSize }: DiffEditPipeline,
  from = 'models/orchard/samples/fruits-bowl.png',
): Promise<RgbImage> {
  const picture = await readImage(from);
  return resize(picture, defaultSize.width, defaultSize.height, 'bicubic');
}

/** Pictures of the library on canvases of the page, and as files. */
import { encodeImage, type GreyImage, type PictureRegion, type RgbImage, resize } from 'pentimento';
import { context } from '../../shared/elements.ts';
import { saveBlob } from '../../shared/save-file.ts';

/** Puts a picture onto a canvas, which takes its size. */
export function draw(canvas: HTMLCanvasElement, { width, height, data }: RgbImage): void {
  Object.assign(canvas, { width, height });
  const pixels = new ImageData(width, height);
  for (let i = 0, o = 0; i < data.length; i += 3, o += 4) {
    pixels.data.set([data[i] ?? 0, data[i + 1] ?? 0, data[i + 2] ?? 0, 255], o);
  }
  context(canvas).putImageData(pixels, 0, 0);
}

/** A part of a picture at another size. */
export function cutTo(picture: RgbImage, region: PictureRegion, size: { width: number; height: number }): RgbImage {
  const { left, top, width, height } = region;
  const data = new Uint8Array(3 * width * height);
  for (let y = 0; y < height; y++) {
    const from = 3 * ((top + y) * picture.width + left);
    data.set(picture.data.subarray(from, from + 3 * width), 3 * y * width);
  }
  const part = { width, height, data };
  return width === size.width && height === size.height ? part : resize(part, size.width, size.height, 'lanczos');
}

/** Hands a picture to the person as a PNG file. */
export async function savePicture(picture: RgbImage | GreyImage, name: string): Promise<void> {
  saveBlob((await encodeImage(picture)) as Blob, name);
}

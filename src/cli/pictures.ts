/** What the commands do with pictures between file and model. */
import { cutPadding, type FitOptions, type PictureFit } from '../io/fit.ts';
import { type GreyImage, type RgbImage, sizeText } from '../io/image.ts';
import { resize } from '../io/resize.ts';
import type { Size } from './option-values.ts';
import type { PasteBackOptions, SizeOptions } from './options.ts';

/** What `<image>` may be, as every command's help says it. */
export const PICTURE_FILE = 'PNG, JPEG, GIF or BMP (WebP and AVIF by sharp), or its address';

/** Where a command says what is wrong with a picture that it reads all the same. */
export function warningsTo(stderr: NodeJS.WriteStream): (message: string) => void {
  return message => {
    stderr.write(`warning: ${message}\n`);
  };
}

/** How the picture is fitted, as the options say. */
export function fitOptions({ fit, keepSize, size }: SizeOptions): FitOptions {
  return { fit, size: keepSize ? 'own' : size };
}

/** Whether the result is put back into the picture: diffusers' way does not. */
export function pastesBack({ fit, pasteBack }: SizeOptions & PasteBackOptions): boolean {
  return pasteBack ?? fit !== 'squash';
}

/** Sides of the pictures that are written. */
function outputSize({ picture, content }: PictureFit, pasted: boolean): Size {
  const { width, height } = pasted ? picture : content;
  return { width, height };
}

/** Sizes for the JSON of a command that writes pictures. */
export function sizesOf(fit: PictureFit, pasted: boolean) {
  return { fit: fit.fit, workingSize: fit.working, outputSize: outputSize(fit, pasted) };
}

/** A sentence where picture, working size and result are not one and the same; else none. */
export function sizeNote(fit: PictureFit, pasted: boolean): string | undefined {
  const [from, at, out] = [fit.picture, fit.working, outputSize(fit, pasted)].map(sizeText);
  return from === at && at === out ? undefined : `Picture ${from}, worked at ${at} (--fit ${fit.fit}), result ${out}.`;
}

/** A mask of the working size laid over the photo, black where the model did not see it. */
export function maskOverPicture(mask: GreyImage, fit: PictureFit): GreyImage {
  const seen = cutPadding(mask, fit);
  const { picture, region } = fit;
  if (region.width === picture.width && region.height === picture.height) return seen;
  const part = resize(seen, region.width, region.height, 'bilinear');
  const data = new Uint8Array(picture.width * picture.height);
  for (let y = 0; y < region.height; y++) {
    const row = part.data.subarray(y * region.width, (y + 1) * region.width);
    data.set(row, (region.top + y) * picture.width + region.left);
  }
  return { ...picture, data, channels: 1 };
}

/** Longest side of a picture that is shown beside others. */
const SHOWN = 1024;

/** A picture for a sheet or a report: no larger than what a page shows. */
export function shown<T extends RgbImage | GreyImage>(image: T): T {
  const scale = SHOWN / Math.max(image.width, image.height);
  if (scale >= 1) return image;
  const side = (pixels: number): number => Math.max(1, Math.round(pixels * scale));
  return resize(image, side(image.width), side(image.height), 'bicubic');
}

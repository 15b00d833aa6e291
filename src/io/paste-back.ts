/** The way back to a photo: the edited region at the photo's own size, the photo's own pixels around it. */
import { InputError } from '../core/errors.ts';
import { checkFit, cut, cutPadding, type PictureFit, type PictureRegion } from './fit.ts';
import { checkImage, type GreyImage, type RgbImage, sizeText } from './image.ts';
import { gaussianBlur } from './mask.ts';
import { resizedRows } from './resize.ts';

/** Rows that are enlarged at a time: a photo of any size takes no more memory than itself and the result. */
const BAND = 64;

/**
 * Puts the edited pixels into the original: out = (m edited + (255 - m) original) / 255, rounded. Edited picture and
 * mask are brought to the original's size first (bicubic and bilinear).
 * @param mask 255 where the edit shows, 0 where the original stays untouched
 * @param fit what `fitImage` returned, of this original: where in it the working picture lies. By default that covers all of it
 * @returns a picture of the original's size
 * @throws InputError where the fit is of another picture, or edit or mask are not of its working size
 * @see Pillow Image.composite
 */
export function pasteBack(original: RgbImage, edited: RgbImage, mask: GreyImage, fit?: PictureFit): RgbImage {
  const { width, height, data } = checkImage(original, 'pasteBack');
  if (fit) checkFitOf('pasteBack', original, fit);
  const { left, top, ...region } = fit?.region ?? { left: 0, top: 0, width, height };
  const show = <T extends RgbImage | GreyImage>(image: T): T => (fit ? cutPadding(image, fit) : image);
  const above = resizedRows(show(edited), region.width, region.height, 'bicubic');
  const softly = resizedRows(show(mask), region.width, region.height, 'bilinear');
  const out = new Uint8Array(data);
  for (let y = 0; y < region.height; y += BAND) {
    const end = Math.min(region.height, y + BAND);
    const soft = softly(y, end);
    if (soft.every(m => m === 0)) continue;
    const rows = above(y, end);
    for (let i = 0; i < soft.length; i++) {
      const m = soft[i] ?? 0;
      if (m === 0) continue;
      const at = 3 * ((top + y + Math.floor(i / region.width)) * width + left + (i % region.width));
      for (let c = 0; c < 3; c++) out[at + c] = mixed(m, rows[3 * i + c] ?? 0, data[at + c] ?? 0);
    }
  }
  return { width, height, data: out };
}

/** Pillow's division by 255. */
function mixed(m: number, above: number, below: number): number {
  const sum = m * above + (255 - m) * below + 128;
  return (sum + (sum >> 8)) >> 8;
}

/**
 * Checks that a fit is of this picture.
 * @throws InputError
 */
export function checkFitOf(op: string, { width, height }: RgbImage, fit: PictureFit): void {
  checkFit(op, fit);
  const { picture } = fit;
  if (picture.width === width && picture.height === height) return;
  throw new InputError({
    op,
    problem: 'the fit is of another picture',
    expected: `what fitImage returns for ${sizeText({ width, height })}`,
    received: sizeText(picture),
    path: 'fit',
  });
}

/**
 * The soft edge of a mask that is pasted back. Where the model saw only a part of the photo the mask also fades towards the inner sides
 * of that part, so that no straight seam shows.
 * @param mask at the working size
 * @param fit absent where the working picture is all of the photo
 * @param sigma of the edge in working pixels, along rows and along columns
 */
export function softEdge(mask: GreyImage, fit: PictureFit | undefined, sigma: readonly [number, number]): GreyImage {
  return gaussianBlur(fit ? withoutRim(mask, fit, sigma) : mask, sigma);
}

/** A Gaussian edge that begins two sigma within has faded to 2 % at the side. */
function withoutRim(mask: GreyImage, fit: PictureFit, [x, y]: readonly [number, number]): GreyImage {
  const { width, height } = mask;
  const kept = innerPart(fit, Math.ceil(2 * x), Math.ceil(2 * y));
  if (kept.width === width && kept.height === height) return mask;
  const data = new Uint8Array(width * height);
  if (kept.width > 0 && kept.height > 0) {
    const part = cut(mask, kept);
    for (let row = 0; row < kept.height; row++) {
      const line = part.data.subarray(row * kept.width, (row + 1) * kept.width);
      data.set(line, (kept.top + row) * width + kept.left);
    }
  }
  return { ...mask, data };
}

/** What is left of the working picture without a rim at those sides behind which the photo goes on. */
function innerPart({ region, picture, working }: PictureFit, x: number, y: number): PictureRegion {
  const left = region.left > 0 ? x : 0;
  const top = region.top > 0 ? y : 0;
  const right = region.left + region.width < picture.width ? x : 0;
  const bottom = region.top + region.height < picture.height ? y : 0;
  return { left, top, width: working.width - left - right, height: working.height - top - bottom };
}

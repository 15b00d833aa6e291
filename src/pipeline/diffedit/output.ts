/** Results pasted into the pictures that they were made of. */

import { InputError } from '../../core/errors.ts';
import { checkNames, namesOf } from '../../core/known-names.ts';
import type { NdArray } from '../../core/ndarray.ts';
import { dim, type Shape } from '../../core/shape.ts';
import type { PictureFit } from '../../io/fit.ts';
import { checkImage, isGrey, type RgbImage, sizeText } from '../../io/image.ts';
import { maskToImages } from '../../io/mask.ts';
import { checkFitOf, pasteBack, softEdge } from '../../io/paste-back.ts';
import type { OutputType } from '../../io/postprocess.ts';
import { isPicture } from '../../io/preprocess.ts';
import { checkValue } from '../diffusion/argument-checks.ts';
import { rowsOf } from '../diffusion/rows.ts';
import type { PasteBack } from './types.ts';

const PASTE_BACK = namesOf<PasteBack>({ image: 1, blur: 1, fit: 1 });

/**
 * Checks where the results shall be pasted into.
 * @throws InputError for another output than pictures, what is no picture, or another number of pictures than prompts
 */
export function checkPasteBack(
  op: string,
  pasteBack: PasteBack,
  o: { readonly outputType: OutputType | undefined; readonly batch: number },
): void {
  checkNames(`${op}.pasteBack`, pasteBack, PASTE_BACK);
  const { image, blur, fit } = pasteBack;
  if (blur !== undefined) checkValue(op, 'positive', blur, 'pasteBack.blur');
  if (o.outputType !== 'pil') {
    throw new InputError({
      op,
      problem: 'pasteBack makes pictures',
      expected: "outputType 'pil'",
      value: o.outputType,
      path: 'pasteBack',
    });
  }
  const pictures: readonly unknown[] = Array.isArray(image) ? image : [image];
  for (const picture of pictures) {
    if (isRgb(picture)) checkImage(picture, op);
    else throw new InputError({ op, problem: 'not a picture', expected: 'an RGB image', path: 'pasteBack.image' });
    if (fit !== undefined) checkFitOf(`${op}.pasteBack`, picture, fit);
  }
  if (pictures.length === 1 || pictures.length === o.batch) return;
  throw new InputError({
    op,
    problem: 'pictures to paste into and prompts differ in number',
    expected: o.batch === 1 ? 1 : `1 or ${o.batch}`,
    received: pictures.length,
    path: 'pasteBack.image',
    fix: 'Pass one picture for all results, or one for each prompt.',
  });
}

/**
 * Checks that the edit has the size of the fit that it is pasted back by.
 * @param sides [h, w] of the latents
 * @throws InputError
 */
export function checkFittedSize(op: string, fit: PictureFit | undefined, sides: Shape, factor: number): void {
  if (!fit) return;
  const [height, width] = [dim(sides, 0) * factor, dim(sides, 1) * factor];
  const { working } = fit;
  if (working.width === width && working.height === height) return;
  throw new InputError({
    op,
    problem: 'the edit has another size than the fit that it is pasted back by',
    expected: sizeText(working),
    received: sizeText({ width, height }),
    path: 'pasteBack.fit',
    fix: 'Pass the image that fitImage returned with this fit.',
  });
}

function isRgb(value: unknown): value is RgbImage {
  return typeof value === 'object' && value !== null && isPicture(value) && !isGrey(value);
}

/** Puts what lies under the mask into a picture, image n under its own mask and into its own prompt's picture. */
export function pasteAll(
  images: readonly RgbImage[],
  mask: NdArray,
  into: PasteBack,
  o: { readonly factor: number; readonly order: 'tiled' | 'consecutive' },
): RgbImage[] {
  const masks = dim(mask.shape, 0);
  const pictures = [into.image].flat() as readonly RgbImage[];
  return images.map((edited, n) => {
    const which = o.order === 'tiled' ? n % masks : Math.floor((n * masks) / images.length);
    const [hard] = maskToImages(rowsOf(mask, which, which + 1), o.factor);
    const picture = pictures[Math.floor((n * pictures.length) / images.length)];
    if (!hard || !picture) return edited;
    const region = into.fit?.region ?? picture;
    const content = into.fit?.content ?? hard;
    const sigma = ([side, shown]: readonly [number, number]): number =>
      into.blur === undefined ? o.factor / 2 : (into.blur * side) / shown;
    const edge = [sigma([content.width, region.width]), sigma([content.height, region.height])] as const;
    return pasteBack(picture, edited, softEdge(hard, into.fit, edge), into.fit);
  });
}

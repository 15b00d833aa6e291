/** Pictures and masks at the size that inpainting works at. */
import { InputError } from '../../core/errors.ts';
import type { NdArray } from '../../core/ndarray.ts';
import { dim } from '../../core/shape.ts';
import { type GreyImage, type PictureSize, rgbToGrey } from '../../io/image.ts';
import { gaussianBlur, type MaskInput, type NumericArray, preprocessMask } from '../../io/mask.ts';
import { asList, isPicture, type Picture, type PictureInput, toNchw } from '../../io/preprocess.ts';
import { resize, resizeNearest } from '../../io/resize.ts';
import { OP } from './settle.ts';

/**
 * Pictures resized: images as Pillow does by Lanczos' filter, arrays by nearest neighbour; latents stay as they are.
 * @see diffusers VaeImageProcessor.preprocess
 */
export function sized(input: PictureInput, { width, height }: PictureSize): PictureInput {
  if (input === undefined || input === null) return input; // refused by whoever prepares it
  const items = asList<Picture | NdArray>(input, OP);
  if (items.every(isPicture)) return items.map(image => resize(image, width, height, 'lanczos'));
  return items.map(item => {
    const array = toNchw(item as NdArray);
    return dim(array.shape, 1) === 4 ? array : resizeNearest(array, height, width);
  });
}

/** A mask's picture in grey, blurred. */
export function greyMask(image: Picture, blur: number): GreyImage {
  const grey = rgbToGrey(image);
  return blur > 0 ? gaussianBlur(grey, blur) : grey;
}

/**
 * Masks of zeros and ones: pictures resized by Lanczos' filter, arrays by nearest neighbour, then cut at one half.
 * @returns [M, 1, H, W]
 * @throws InputError without a mask, and as preprocessMask; for numbers that are to be blurred
 */
export function preparedMasks(
  mask: MaskInput | null | undefined,
  { width, height }: PictureSize,
  blur: number,
): NdArray {
  if (mask == null) {
    const fix = 'Pass a picture: white is what is made anew.';
    throw new InputError({ op: OP, problem: 'no mask', received: String(mask), path: 'maskImage', fix });
  }
  const items = asList<Picture | NumericArray>(mask, OP);
  if (items.every(isPicture)) {
    const grey = items.map(item => resize(greyMask(item, blur), width, height, 'lanczos'));
    return preprocessMask(grey, grey.length);
  }
  if (blur > 0) {
    const [problem, expected] = ['a mask of numbers is not blurred', 'a picture'];
    throw new InputError({
      op: OP,
      problem,
      expected,
      path: 'maskBlur',
      fix: 'Pass maskToImage(mask), or no maskBlur.',
    });
  }
  return resizeNearest(preprocessMask(mask, countOf(items)), height, width);
}

/** How many masks a list of arrays holds; what makes no sense is refused elsewhere. */
function countOf(items: readonly (Picture | NumericArray)[]): number {
  const rows = (item: Picture | NumericArray): number => {
    const { shape = [] } = item as Partial<NumericArray>;
    return shape.length > 2 ? (shape[0] ?? 1) : 1;
  };
  return items.reduce((sum, item) => sum + rows(item), 0);
}

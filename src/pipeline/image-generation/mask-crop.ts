/** Inpainting of the masked region alone: cut out with some space around it, made at the full size, and put back. */
import { InputError } from '../../core/errors.ts';
import { cut, type PictureRegion } from '../../io/fit.ts';
import { type GreyImage, isGrey, type PictureSize, type RgbImage, sizeText } from '../../io/image.ts';
import { isPicture, type Picture } from '../../io/preprocess.ts';
import { resize } from '../../io/resize.ts';
import { greyMask } from './mask-pictures.ts';
import type { Overlay } from './request.ts';
import { OP } from './settle.ts';
import type { InpaintArgs } from './types.ts';

/** A picture and its mask, both of the same size. */
interface Pair {
  readonly image: RgbImage;
  readonly mask: Picture;
}

/**
 * @throws InputError for anything but one picture and one mask of the same size, or another output than pictures
 * @see diffusers StableDiffusionInpaintPipeline.check_inputs
 */
export function checkCropped({ image, maskImage, outputType }: InpaintArgs): Pair {
  const path = 'paddingMaskCrop';
  const one = (value: unknown): value is Picture => typeof value === 'object' && value !== null && isPicture(value);
  for (const [name, value] of Object.entries({ image, maskImage })) {
    if (one(value) && (name !== 'image' || !isGrey(value))) continue;
    const expected = name === 'image' ? 'one RGB picture' : 'one picture';
    throw new InputError({ op: OP, problem: `${name} cannot be cropped`, expected, received: typeof value, path });
  }
  if (outputType !== undefined && outputType !== 'pil') {
    const [problem, expected] = ['a cropped region is put back into a picture', "outputType 'pil'"];
    throw new InputError({ op: OP, problem, expected, value: outputType, path });
  }
  const pair = { image: image as RgbImage, mask: maskImage as Picture };
  if (pair.image.width !== pair.mask.width || pair.image.height !== pair.mask.height) {
    const sizes = { expected: sizeText(pair.image), received: sizeText(pair.mask) };
    const fix = 'Make the mask as large as the picture.';
    throw new InputError({ op: OP, problem: 'mask and picture differ in size', ...sizes, path: 'maskImage', fix });
  }
  return pair;
}

/**
 * The masked region of both, filled up to the size that the model works at.
 * @throws InputError for a mask that is black, or a region that is nothing at that size
 */
export function cropped(
  pair: Pair,
  size: PictureSize,
  { padding, blur }: { readonly padding: number; readonly blur: number },
): { readonly image: RgbImage; readonly mask: GreyImage; readonly overlay: Overlay } {
  const { image } = pair;
  const mask = greyMask(pair.mask, blur);
  const region = cropRegion(mask, size, padding);
  const inner = scaledSize(region, size, false);
  if (Math.min(inner.width, inner.height) < 1) throw tooNarrow(region, size);
  return {
    image: filled(cut(image, region), size),
    mask: filled(cut(mask, region), size),
    overlay: result => overlaid({ image, mask }, result, region),
  };
}

function tooNarrow(region: PictureSize, size: PictureSize): InputError {
  return new InputError({
    op: OP,
    problem: `the masked region is too long and narrow for ${sizeText(size)}`,
    received: sizeText(region),
    path: 'paddingMaskCrop',
    fix: 'Cut a part of the picture out first, or mask a part of it.',
  });
}

/**
 * The rectangle around everything that is not black, with padding, widened towards the proportions of `size`.
 * @throws InputError where all is black
 * @see diffusers VaeImageProcessor.get_crop_region
 */
function cropRegion(mask: GreyImage, { width, height }: PictureSize, padding: number): PictureRegion {
  const columns = spanOf(mask.width, x => some(mask.height, y => mask.data[y * mask.width + x] !== 0));
  const rows = spanOf(mask.height, y => some(mask.width, x => mask.data[y * mask.width + x] !== 0));
  if (!columns || !rows) {
    const fix = 'Paint white what is made anew.';
    throw new InputError({ op: OP, problem: 'the mask is black', path: 'maskImage', fix });
  }
  const around = ([from, to]: Span, end: number): Span => [Math.max(from - padding, 0), Math.min(to + padding, end)];
  const [x, y] = [around(columns, mask.width), around(rows, mask.height)];
  const ratio = width / height;
  const [across, down] = [x[1] - x[0], y[1] - y[0]];
  const isWide = across / down > ratio;
  const [left, right] = isWide ? x : widened(x, Math.trunc(down * ratio - across), mask.width);
  const [top, bottom] = isWide ? widened(y, Math.trunc(across / ratio - down), mask.height) : y;
  return { left, top, width: right - left, height: bottom - top };
}

type Span = readonly [from: number, to: number];

function some(count: number, holds: (i: number) => boolean): boolean {
  for (let i = 0; i < count; i++) if (holds(i)) return true;
  return false;
}

/** From the first to behind the last for which it holds. */
function spanOf(count: number, holds: (i: number) => boolean): Span | undefined {
  let [first, last] = [-1, -1];
  for (let i = 0; i < count; i++) {
    if (!holds(i)) continue;
    if (first < 0) first = i;
    last = i;
  }
  return first < 0 ? undefined : [first, last + 1];
}

/** The span with so much more, on both sides, moved back where it leaves [0, end). */
function widened([from, to]: Span, more: number, end: number): Span {
  let [a, b] = [from - Math.floor(more / 2), to + more - Math.floor(more / 2)];
  if (b >= end) [a, b] = [a - (b - end), end];
  if (a < 0) [a, b] = [0, b - a];
  return [a, Math.min(b, end)];
}

/** The larger of both sizes that keeps a picture's proportions and lies within (or around) the other. */
function scaledSize(picture: PictureSize, { width, height }: PictureSize, around: boolean): PictureSize {
  const isWider = picture.width / picture.height > width / height;
  const byWidth = { width, height: Math.floor((picture.height * width) / picture.width) };
  const byHeight = { width: Math.floor((picture.width * height) / picture.height), height };
  return isWider === around ? byHeight : byWidth;
}

/**
 * A picture of that size: scaled to lie within, in the middle, and at two sides its outermost lines drawn out, as Pillow's bicubic filter
 * of an empty box has them.
 * @see diffusers VaeImageProcessor._resize_and_fill
 */
function filled<T extends RgbImage | GreyImage>(picture: T, size: PictureSize): T {
  const { width, height } = size;
  const inner = scaledSize(picture, size, false);
  const small = resize(picture, inner.width, inner.height, 'lanczos');
  const channels = isGrey(picture) ? 1 : 3;
  const [left, top] = [middle(width, inner.width), middle(height, inner.height)];
  const isWider = picture.width / picture.height > width / height;
  const data = new Uint8Array(width * height * channels);
  const at = (x: number, y: number, c: number): number => small.data[(y * inner.width + x) * channels + c] ?? 0;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (let c = 0; c < channels; c++) {
        const value = isWider
          ? drawnOut(y - top, { size: inner.height, room: top }, i => at(x, i, c))
          : drawnOut(x - left, { size: inner.width, room: left }, i => at(i, y, c));
        data[(y * width + x) * channels + c] = value;
      }
    }
  }
  return { ...picture, width, height, data };
}

/** Where a picture of one side begins within another, as diffusers centres it. */
function middle(outer: number, inner: number): number {
  return Math.floor(outer / 2) - Math.floor(inner / 2);
}

/** The value at i of a line of values, beyond whose ends there is room for more; behind that it is black. */
function drawnOut(
  i: number,
  { size, room }: { readonly size: number; readonly room: number },
  at: (i: number) => number,
): number {
  if (i >= 0 && i < size) return at(i);
  if (i >= size + room) return 0;
  const [one, next] = i < 0 ? [0, Math.min(1, size - 1)] : [size - 1, Math.max(0, size - 2)];
  if (size === 1) return at(0);
  return Math.min(255, Math.max(0, Math.floor(at(one) * 1.125 - at(next) * 0.125 + 0.5)));
}

/**
 * The result in its region, under the picture where the mask is black; grey mixes both.
 * @see diffusers VaeImageProcessor.apply_overlay, _resize_and_crop
 */
function overlaid(
  { image, mask }: { readonly image: RgbImage; readonly mask: GreyImage },
  result: RgbImage,
  region: PictureRegion,
): RgbImage {
  const inner = scaledSize(result, region, true);
  const large = resize(result, inner.width, inner.height, 'lanczos');
  const [left, top] = [middle(region.width, inner.width), middle(region.height, inner.height)];
  const data = new Uint8Array(image.data.length);
  for (let i = 0; i < image.width * image.height; i++) {
    const [x, y] = [(i % image.width) - region.left, Math.floor(i / image.width) - region.top];
    const isInside = x >= 0 && x < region.width && y >= 0 && y < region.height;
    const [u, v] = [x - left, y - top];
    const has = isInside && u >= 0 && u < inner.width && v >= 0 && v < inner.height;
    const share = (255 - (mask.data[i] ?? 0)) / 255;
    for (let c = 0; c < 3; c++) {
      const made = has ? (large.data[(v * inner.width + u) * 3 + c] ?? 0) : 0;
      data[3 * i + c] = Math.round((image.data[3 * i + c] ?? 0) * share + made * (1 - share));
    }
  }
  return { ...image, data };
}

/**
 * The plain picture types, and what turns one into another. Which kind a file is stands in picture-file.ts; decoding is in
 * png.ts, jpeg.ts, bmp.ts and load-image.ts, files and encoding in src/node/images.ts.
 */
import { InputError } from '../core/errors.ts';
import { checkMember } from '../core/kinds.ts';

/** A picture: 3 bytes a pixel, R G B, rows from the top without padding. */
export interface RgbImage {
  /** Pixels, at least 1. */
  readonly width: number;
  /** Pixels, at least 1. */
  readonly height: number;
  /** 3 * width * height bytes, 0 to 255. */
  readonly data: Uint8Array | Uint8ClampedArray;
}

/** A grey picture, such as a mask: 1 byte a pixel. */
export interface GreyImage {
  /** Pixels, at least 1. */
  readonly width: number;
  /** Pixels, at least 1. */
  readonly height: number;
  /** width * height bytes, 0 (black) to 255 (white). */
  readonly data: Uint8Array | Uint8ClampedArray;
  /** Tells it from RGB. */
  readonly channels: 1;
}

/** Sides in pixels. */
export interface PictureSize {
  /** Pixels, at least 1. */
  readonly height: number;
  /** Pixels, at least 1. */
  readonly width: number;
}

/** Sides for messages, such as 768x512. */
export function sizeText({ width, height }: PictureSize): string {
  return `${width}x${height}`;
}

/** Tells a picture of one channel from one of three. */
export function isGrey(image: RgbImage | GreyImage): image is GreyImage {
  return (image as Partial<GreyImage> | null | undefined)?.channels === 1;
}

/**
 * Checks that sizes and data belong together.
 * @returns the same picture
 * @throws InputError for what is no picture, when a side is no positive whole number or the data has another length
 */
export function checkImage<T extends RgbImage | GreyImage>(image: T, op: string): T {
  if ((image as Partial<T> | null | undefined)?.data?.length === undefined) {
    const fix = 'Pass what loadImage returns.';
    const expected = '{ width, height, data }';
    throw new InputError({
      op,
      problem: 'no picture',
      expected,
      received: image === null ? 'null' : typeof image,
      fix,
    });
  }
  const { width, height, data } = image;
  if (![width, height].every(side => Number.isInteger(side) && side > 0)) {
    throw new InputError({ op, problem: 'a picture needs positive whole sides', received: `${width} x ${height}` });
  }
  const expected = width * height * (isGrey(image) ? 1 : 3);
  if (data.length === expected) return image;
  const rgba = !isGrey(image) && data.length === width * height * 4;
  throw new InputError({
    op,
    problem: `the data of a ${width} x ${height} picture has another length`,
    expected: `${expected} bytes`,
    received: `${data.length}`,
    fix: rgba ? 'This looks like RGBA: convert it with rgbaToRgb first.' : 'Pass width * height * 3 bytes, R G B.',
  });
}

/** Drops alpha: the colour under it stays as it is, nothing is blended. @see Pillow convert("RGB") */
export function rgbaToRgb(width: number, height: number, rgba: ArrayLike<number>): RgbImage {
  checkMember('rgbaToRgb', rgba, 'length', 'number', 'R, G, B, A of every pixel');
  const data = new Uint8Array(width * height * 3);
  for (let i = 0, o = 0; o < data.length; i += 4, o += 3) {
    data[o] = rgba[i] ?? 0;
    data[o + 1] = rgba[i + 1] ?? 0;
    data[o + 2] = rgba[i + 2] ?? 0;
  }
  return { width, height, data };
}

/** Grey to R = G = B. */
export function greyToRgb(image: GreyImage): RgbImage {
  const { width, height, data } = checkImage(image, 'greyToRgb');
  const out = new Uint8Array(width * height * 3);
  for (let i = 0; i < data.length; i++) out.fill(data[i] ?? 0, 3 * i, 3 * i + 3);
  return { width, height, data: out };
}

/**
 * Luma of ITU-R 601: L = (19595 R + 38470 G + 7471 B + 32768) >> 16.
 * @see Pillow convert("L") (same bytes)
 */
export function rgbToGrey(image: RgbImage | GreyImage): GreyImage {
  const { width, height, data } = checkImage(image, 'rgbToGrey');
  if (isGrey(image)) return image;
  const out = new Uint8Array(width * height);
  for (let i = 0; i < out.length; i++) {
    const [r, g, b] = [data[3 * i] ?? 0, data[3 * i + 1] ?? 0, data[3 * i + 2] ?? 0];
    out[i] = (19595 * r + 38470 * g + 7471 * b + 0x8000) >> 16;
  }
  return { width, height, data: out, channels: 1 };
}

/**
 * Turns a stored picture upright.
 * @param image as decoded
 * @param orientation EXIF value 1 to 8; anything else changes nothing
 * @see PIL.ImageOps.exif_transpose
 */
export function applyOrientation(image: RgbImage, orientation: number): RgbImage {
  checkImage(image, 'applyOrientation');
  if (!(orientation >= 2 && orientation <= 8)) return image;
  const swap = orientation >= 5;
  const [width, height] = swap ? [image.height, image.width] : [image.width, image.height];
  const flipX = [2, 3, 7, 8].includes(orientation); // along the stored picture's axes
  const flipY = [3, 4, 6, 7].includes(orientation);
  const data = new Uint8Array(image.data.length);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const [u, v] = swap ? [y, x] : [x, y];
      const from = 3 * ((flipY ? image.height - 1 - v : v) * image.width + (flipX ? image.width - 1 - u : u));
      const to = 3 * (y * width + x);
      for (let c = 0; c < 3; c++) data[to + c] = image.data[from + c] ?? 0;
    }
  }
  return { width, height, data };
}

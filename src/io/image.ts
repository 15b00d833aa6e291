/**
 * The plain picture types, and what can be done with a picture file without decoding it: telling its kind and
 * turning pixels upright. Decoding is in png.ts, jpeg.ts and load-image.ts, files and encoding in src/node/images.ts.
 */
import { InputError } from '../core/errors.ts';
import { checkMember, checkUint8 } from '../core/kinds.ts';

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

/** First bytes of the kinds of files that people take for pictures; '.' matches any byte. */
const SIGNATURES: readonly (readonly [string, string])[] = [
  ['PNG', '\x89PNG\r\n\x1a\n'],
  ['JPEG', '\xff\xd8\xff'],
  ['GIF', 'GIF8'],
  ['WebP', 'RIFF....WEBP'],
  ['BMP', 'BM'],
  ['TIFF', 'II*\0'],
  ['TIFF', 'MM\0*'],
  ['AVIF', '....ftypavif'],
  ['HEIC', '....ftyphei'],
  ['HEIC', '....ftypmif1'],
  ['JPEG XL', '\xff\x0a'],
  ['JPEG XL', '\0\0\0\x0cJXL '],
  ['JPEG 2000', '\0\0\0\x0cjP  '],
  ['ICO', '\0\0\x01\0'],
  ['Photoshop', '8BPS'],
  ['PDF', '%PDF'],
  ['ZIP', 'PK\x03\x04'],
];

/**
 * Names the kind of a file by its first bytes, whatever it is called.
 * @returns 'PNG', 'JPEG', another name for what cannot be read, or undefined
 * @throws InputError for what is no Uint8Array
 */
export function sniffImage(bytes: Uint8Array): string | undefined {
  checkUint8('sniffImage', bytes);
  const head = String.fromCharCode(...bytes.subarray(0, 64));
  const matches = (pattern: string): boolean => [...pattern].every((c, i) => (c === '.' && i < 8) || head[i] === c);
  const known = SIGNATURES.find(([, pattern]) => head.length >= pattern.length && matches(pattern));
  if (known) return known[0];
  if (/^\s*(<\?xml[^>]*>\s*)?<svg/.test(head)) return 'SVG';
  if (/^\s*<(!doctype|html)/i.test(head)) return 'HTML';
  return head.length > 0 && /^[\t\n\r\x20-\x7e]*$/.test(head) ? 'text' : undefined;
}

/** A file that unpacks to more pixels than this is taken for an attack: Pillow's limit. */
const MAX_PIXELS = 178_956_970;

/** Throws an InputError for a picture of more pixels than {@link MAX_PIXELS}. */
export function checkPixels(width: number, height: number, path: string | undefined): void {
  if (width * height <= MAX_PIXELS) return;
  const sizes = { expected: `at most ${MAX_PIXELS} pixels`, received: `${width} x ${height}` };
  const details = { op: 'loadImage', problem: 'the picture is too large', ...sizes, fix: 'Make it smaller first.' };
  throw new InputError(path === undefined ? details : { ...details, path });
}

/** The error of a picture file that is damaged. `what` is a word for messages or the decoder's error. */
export function brokenImage(kind: string, what: unknown, path: string | undefined): InputError {
  const received = what instanceof Error ? what.message : String(what);
  const details = { op: 'loadImage', problem: `the ${kind} is damaged`, received, cause: what };
  const fix = 'Download or save it again.';
  return new InputError(path === undefined ? { ...details, fix } : { ...details, path, fix });
}

/** The error of a file that is no readable picture; names what it is instead. */
export function notAnImage(bytes: Uint8Array, path: string | undefined, readable = 'PNG or JPEG'): InputError {
  const kind = bytes.length === 0 ? 'an empty file' : (sniffImage(bytes) ?? 'an unknown kind of file');
  const details = { op: 'loadImage', problem: 'not a picture that can be read', expected: readable, received: kind };
  const fix = 'Convert it to PNG or JPEG first.';
  return new InputError(path === undefined ? { ...details, fix } : { ...details, path, fix });
}

/**
 * JPEG pixels as libjpeg makes them: subsampled components are interpolated, whatever they stand for, then converted. Blocks
 * and scans are in jpeg-frame.ts.
 */
import { applyOrientation, type RgbImage } from './image.ts';
import { decodeJpegPlanes, type Plane } from './jpeg-frame.ts';
import { type JpegInfo, readJpegInfo } from './jpeg-markers.ts';
import { checkPixels, type Reading } from './picture-file.ts';

export { readJpegInfo } from './jpeg-markers.ts';

/**
 * The pixels of a JPEG, upright. Where its data are damaged the picture is libjpeg's, with grey in place of what is not
 * there, and a warning.
 * @param bytes the file
 * @param reading name for messages, limit, warnings
 * @throws InputError for a file that ends too early, is too large, is no JPEG behind its first bytes, or is of a kind that is
 * not read
 */
export function decodeJpeg(bytes: Uint8Array, reading: Reading = {}): RgbImage {
  const info = readJpegInfo(bytes, reading.path);
  checkPixels(info.width, info.height, reading);
  const { planes, damage } = decodeJpegPlanes(bytes, info, reading.path);
  if (damage !== undefined) reading.warn?.(`the JPEG is damaged: ${damage}`);
  return applyOrientation(toRgb(planes, info), info.orientation);
}

function toRgb(planes: readonly Plane[], { width, height, color }: JpegInfo): RgbImage {
  const lines = planes.map(() => new Uint8Array(width));
  const sums = planes.map(plane => new Int32Array(plane.width));
  const data = new Uint8Array(width * height * 3);
  const convert = CONVERT[color];
  for (let y = 0; y < height; y++) {
    for (const [c, plane] of planes.entries()) {
      const [line, sum] = [lines[c], sums[c]];
      if (line && sum) upsample(plane, y, line, sum);
    }
    convert(lines, data, y * width * 3);
  }
  return { width, height, data };
}

/**
 * One row at the picture's width. Triangle filter for steps of 2 (3/4 of the nearer sample, 1/4 of the next), repetition for
 * others.
 * @param sums room for a row of samples
 * @see libjpeg-turbo, jdsample.c h2v1_fancy_upsample, h1v2_fancy_upsample, h2v2_fancy_upsample
 */
function upsample(plane: Plane, y: number, out: Uint8Array, sums: Int32Array): void {
  const { stepX, stepY } = plane;
  const smooth = stepX <= 2 && stepY <= 2 && (stepX === 1 || plane.width > 2);
  const near = plane.line(Math.floor(y / stepY));
  if (stepX === 1 && (stepY === 1 || !smooth)) {
    out.set(near.subarray(0, out.length));
    return;
  }
  const mix = smooth && stepY === 2;
  const neighbour = Math.floor(y / stepY) + (y % 2 === 0 ? -1 : 1);
  const next = mix ? plane.line(Math.min(plane.height - 1, Math.max(0, neighbour))) : near;
  for (let x = 0; x < sums.length; x++) sums[x] = mix ? 3 * (near[x] ?? 0) + (next[x] ?? 0) : (near[x] ?? 0);
  if (smooth && stepX === 2) widen(sums, out, mix);
  else if (mix) for (let x = 0; x < out.length; x++) out[x] = ((sums[x] ?? 0) + 1 + (y % 2)) >> 2;
  else for (let x = 0; x < out.length; x++) out[x] = near[Math.floor(x / stepX)] ?? 0;
}

/** Doubles a line of sums; the rounding of left and right halves differs so that errors do not drift. */
function widen(sums: Int32Array, out: Uint8Array, mixed: boolean): void {
  const [shift, left, right] = mixed ? [4, 8, 7] : [2, 1, 2];
  for (let x = 0; x < out.length; x++) {
    const near = x >> 1;
    const value = sums[near] ?? 0;
    const even = (x & 1) === 0;
    // Beyond the edge the nearer sample stands for both.
    const next = sums[even ? near - 1 : near + 1] ?? value;
    out[x] = (3 * value + next + (even ? left : right)) >> shift;
  }
}

/** Turns one row of components into R, G, B from `at` on. */
type Convert = (lines: readonly Uint8Array[], data: Uint8Array, at: number) => void;

const NONE = new Uint8Array(0);

const CONVERT: Readonly<Record<JpegInfo['color'], Convert>> = {
  grey: ([grey = NONE], data, at) => {
    for (let x = 0, o = at; x < grey.length; x++, o += 3) data.fill(grey[x] ?? 0, o, o + 3);
  },
  rgb: (lines, data, at) => {
    for (const [c, line] of lines.entries()) for (let x = 0; x < line.length; x++) data[at + 3 * x + c] = line[x] ?? 0;
  },
  ycc: yccToRgb,
  cmyk: ([cyan = NONE, magenta = NONE, yellow = NONE, black = NONE], data, at) => {
    for (let x = 0, o = at; x < black.length; x++, o += 3) {
      const key = black[x] ?? 0;
      data[o] = inked(cyan[x] ?? 0, key);
      data[o + 1] = inked(magenta[x] ?? 0, key);
      data[o + 2] = inked(yellow[x] ?? 0, key);
    }
  },
  ycck: (lines, data, at) => {
    const [black = NONE] = lines.slice(3);
    yccToRgb(lines, data, at);
    for (let x = 0, o = at; x < black.length; x++) {
      for (let c = 0; c < 3; c++, o++) data[o] = inked(255 - (data[o] ?? 0), black[x] ?? 0);
    }
  },
};

/**
 * What one of the colours is under ink. Programs store CMYK inverted, 255 for no ink.
 * @see Pillow, Convert.c cmyk2rgb
 */
function inked(stored: number, key: number): number {
  const product = (255 - stored) * key + 128;
  return Math.max(0, key - (((product >> 8) + product) >> 8));
}

/**
 * R = Y + 1.402 Cr, G = Y - 0.34414 Cb - 0.71414 Cr, B = Y + 1.772 Cb in 16-bit fixed point.
 * @see libjpeg, jdcolor.c
 */
function yccToRgb([luma = NONE, blue = NONE, red = NONE]: readonly Uint8Array[], data: Uint8Array, at: number): void {
  for (let x = 0, o = at; x < luma.length; x++, o += 3) {
    const y = luma[x] ?? 0;
    const cb = (blue[x] ?? 0) - 128;
    const cr = (red[x] ?? 0) - 128;
    data[o] = clamp(y + ((91881 * cr + 32768) >> 16));
    data[o + 1] = clamp(y + ((-22554 * cb - 46802 * cr + 32768) >> 16));
    data[o + 2] = clamp(y + ((116130 * cb + 32768) >> 16));
  }
}

function clamp(value: number): number {
  return Math.max(0, Math.min(255, value));
}

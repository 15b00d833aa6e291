/**
 * JPEG pixels: jpeg-js decodes the blocks; subsampled colour is interpolated and converted here as libjpeg does it,
 * because jpeg-js repeats colour samples, which shifts and jags every coloured edge.
 */
import jpeg from 'jpeg-js';
import { applyOrientation, brokenImage, checkPixels, type RgbImage } from './image.ts';
import { type JpegInfo, readJpegInfo } from './jpeg-markers.ts';

const OPTIONS = { useTArray: true, formatAsRGBA: false, maxResolutionInMP: 200, maxMemoryUsageInMB: 8192 } as const;

/**
 * The pixels of a JPEG, upright.
 * @param bytes the file
 * @param path name for messages
 * @throws InputError for a file that is damaged, too large, or of a kind that is not read
 */
export function decodeJpeg(bytes: Uint8Array, path?: string): RgbImage {
  const info = readJpegInfo(bytes, path);
  checkPixels(info.width, info.height, path);
  try {
    return applyOrientation(decodePixels(bytes, info), info.orientation);
  } catch (cause) {
    throw brokenImage('JPEG', cause, path);
  }
}

/** The pixels, not turned upright. Throws whatever jpeg-js throws for damaged data. */
function decodePixels(bytes: Uint8Array, info: JpegInfo): RgbImage {
  if (info.color !== 'ycc') {
    const { width, height, data } = jpeg.decode(bytes, { ...OPTIONS, colorTransform: info.color === 'ycck' });
    return { width, height, data };
  }
  const raw = bytes.slice();
  // jpeg-js lets this byte overrule the option; without the transform it hands out the components themselves.
  if (info.transformAt !== undefined) raw[info.transformAt] = 0;
  const { width, height, data } = jpeg.decode(raw, { ...OPTIONS, colorTransform: false });
  const planes = [0, 1, 2].map(c => component(data, c, width, height, info.sampling));
  return { width, height, data: toRgb(planes, width * height) };
}

interface Plane {
  readonly data: Uint8Array;
  readonly width: number;
  readonly height: number;
}

/** One component at full size. jpeg-js has repeated its samples: every n-th is taken, then interpolated. */
function component(
  data: Uint8Array,
  c: number,
  width: number,
  height: number,
  sampling: JpegInfo['sampling'],
): Uint8Array {
  const [h, v] = sampling[c] ?? [1, 1];
  const stepX = Math.max(...sampling.map(s => s[0])) / h;
  const stepY = Math.max(...sampling.map(s => s[1])) / v;
  const whole = Number.isInteger(stepX) && Number.isInteger(stepY);
  const [dx, dy] = whole ? [stepX, stepY] : [1, 1];
  const small = { width: Math.ceil(width / dx), height: Math.ceil(height / dy) };
  const samples = new Uint8Array(small.width * small.height);
  for (let y = 0, at = 0; y < small.height; y++) {
    for (let x = 0; x < small.width; x++) samples[at++] = data[(y * dy * width + x * dx) * 3 + c] ?? 0;
  }
  return upsample({ ...small, data: samples }, dx, dy, width, height);
}

/**
 * Triangle filter for steps of 2 (3/4 of the nearer sample, 1/4 of the next), repetition for others.
 * @see libjpeg-turbo, jdsample.c h2v1_fancy_upsample, h1v2_fancy_upsample, h2v2_fancy_upsample
 */
function upsample(plane: Plane, dx: number, dy: number, width: number, height: number): Uint8Array {
  const smooth = dx <= 2 && dy <= 2 && (dx === 1 || plane.width > 2);
  const out = new Uint8Array(width * height);
  const line = new Int32Array(plane.width);
  for (let y = 0; y < height; y++) {
    const near = Math.floor(y / dy);
    const next = Math.min(plane.height - 1, Math.max(0, near + (y % 2 === 0 ? -1 : 1)));
    const mix = smooth && dy === 2;
    for (let x = 0; x < plane.width; x++) {
      const value = plane.data[near * plane.width + x] ?? 0;
      line[x] = mix ? 3 * value + (plane.data[next * plane.width + x] ?? 0) : value;
    }
    const row = out.subarray(y * width, (y + 1) * width);
    if (smooth && dx === 2) widen(line, row, mix ? 4 : 2, mix ? [8, 7] : [1, 2]);
    else
      for (let x = 0; x < width; x++)
        row[x] = ((line[Math.floor(x / dx)] ?? 0) + (mix ? 1 + (y % 2) : 0)) >> (mix ? 2 : 0);
  }
  return out;
}

/** Doubles a line of sums; the rounding of left and right halves differs so that errors do not drift. */
function widen(line: Int32Array, row: Uint8Array, shift: number, [left, right]: readonly [number, number]): void {
  for (let x = 0; x < row.length; x++) {
    const near = x >> 1;
    const value = line[near] ?? 0;
    // Beyond the edge the nearer sample stands for both.
    const next = line[x % 2 === 0 ? near - 1 : near + 1] ?? value;
    row[x] = (3 * value + next + (x % 2 === 0 ? left : right)) >> shift;
  }
}

/**
 * R = Y + 1.402 Cr, G = Y - 0.34414 Cb - 0.71414 Cr, B = Y + 1.772 Cb in 16-bit fixed point.
 * @see libjpeg, jdcolor.c
 */
function toRgb([luma, blue, red]: readonly Uint8Array[], pixels: number): Uint8Array {
  const out = new Uint8ClampedArray(pixels * 3);
  for (let i = 0; i < pixels; i++) {
    const y = luma?.[i] ?? 0;
    const cb = (blue?.[i] ?? 0) - 128;
    const cr = (red?.[i] ?? 0) - 128;
    out[3 * i] = y + ((91881 * cr + 32768) >> 16);
    out[3 * i + 1] = y + ((-22554 * cb - 46802 * cr + 32768) >> 16);
    out[3 * i + 2] = y + ((116130 * cb + 32768) >> 16);
  }
  return new Uint8Array(out.buffer);
}

/** What is measured of an edit whose true result is known: plain numbers, no device. */
import type { NdArray } from '../../src/core/ndarray.ts';
import type { RgbImage } from '../../src/io/image.ts';
import type { Scene } from './scenes.ts';

/**
 * Intersection over union of a mask with the true region.
 * @param mask of latents, [1, h, w]; a pixel belongs to it above one half; each is a square of pixels of the region
 * @param region a byte a pixel, `width` in a row
 * @returns 0 to 1; 0 where both are empty
 */
export function maskIou(mask: NdArray, region: Uint8Array, width: number): number {
  const [h = 0, w = 0] = mask.shape.slice(-2);
  const height = region.length / width;
  let [both, either] = [0, 0];
  for (let i = 0; i < region.length; i++) {
    const [x, y] = [i % width, Math.floor(i / width)];
    const at = Math.floor((y * h) / height) * w + Math.floor((x * w) / width);
    const inside = mask.data[at]! > 0.5;
    if (inside && region[i]) both++;
    if (inside || region[i]) either++;
  }
  return both / Math.max(1, either);
}

/**
 * Peak signal-to-noise ratio over the pixels of a region, in dB: 10 log10(255^2 / mean squared error over pixels and channels).
 * @param value of the region's pixels that count
 * @returns at most 138.1 (an error of 1e-9)
 */
export function psnrWhere(a: RgbImage, b: RgbImage, region: Uint8Array, value: 0 | 1): number {
  let [sum, count] = [0, 0];
  for (let i = 0; i < a.data.length; i++) {
    if (region[Math.floor(i / 3)] !== value) continue;
    sum += (a.data[i]! - b.data[i]!) ** 2;
    count++;
  }
  return 10 * Math.log10(255 ** 2 / Math.max(1e-9, sum / Math.max(1, count)));
}

/** Whether a caption names what the edit was to show; green apples are no apples. */
export function captionFits(caption: string, { fruit, container }: Pick<Scene, 'fruit' | 'container'>): boolean {
  const named = caption.includes(fruit) && !(fruit === 'apples' && caption.includes('green apples'));
  return named && caption.includes(container);
}

/** What was measured of one edit, or the means of many. */
export interface Measured {
  /** Share of captions that name the new fruit and the container, 0 to 1. */
  readonly ok: number;
  /** Mean squared error of the UNet's prediction on the edited latents. */
  readonly nat: number;
  /** PSNR against the source outside the true region, dB; like the three below it, absent where no result was drawn. */
  readonly bg?: number;
  /** The same behind paste-back. */
  readonly pasted?: number;
  /** PSNR against the drawn result inside the true region, dB. */
  readonly inside?: number;
  /** Of the mask with the true region, 0 to 1. */
  readonly iou?: number;
  /** Of mask, inversion, edit, encoding and decoding. */
  readonly seconds: number;
}

const MEASURES = ['ok', 'nat', 'bg', 'pasted', 'inside', 'iou', 'seconds'] as const;

/** The mean of each measure that all have, to four decimals. */
export function means(rows: readonly Measured[]): Measured {
  const mean = (name: (typeof MEASURES)[number]): number | undefined => {
    const sum = rows.reduce((sum, row) => sum + (row[name] ?? Number.NaN), 0);
    return Number.isNaN(sum) ? undefined : Number((sum / Math.max(1, rows.length)).toFixed(4));
  };
  const of = MEASURES.map(name => [name, mean(name)] as const).filter(([, value]) => value !== undefined);
  return Object.fromEntries(of) as unknown as Measured;
}

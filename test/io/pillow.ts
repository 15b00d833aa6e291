import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { GreyImage } from '../../src/io/image.ts';
import { rgbToGrey } from '../../src/io/image.ts';
import { decodeImage } from '../../src/node/images.ts';

/** The folder that scripts/golden/pillow.py wrote. */
export const pillowPath = (name: string): string => fileURLToPath(new URL(`../golden/pillow/${name}`, import.meta.url));

export const pillowBytes = (name: string): Uint8Array => new Uint8Array(readFileSync(pillowPath(name)));

export const pillowImage = (name: string): ReturnType<typeof decodeImage> => decodeImage(pillowBytes(name), name);

/** A grey PNG; its three channels are equal, and luma of equal channels is the value itself. */
export const pillowGrey = (name: string): GreyImage => rgbToGrey(pillowImage(name));

export const sha256 = (data: Uint8Array | Uint8ClampedArray): string => createHash('sha256').update(data).digest('hex');

interface FileCase {
  file: string;
  width: number;
  height: number;
}

interface Index {
  luma: string;
  resize: { source?: string; size: [number, number]; filter: string; mode: 'RGB' | 'L'; sha256: string }[];
  png: (FileCase & { sha256: string })[];
  jpeg: (FileCase & { tolerance: number })[];
  nearest: { in: number; out: number; index: number[] }[];
}

export const pillow: Index = JSON.parse(readFileSync(pillowPath('index.json'), 'utf8'));

/** Largest and mean difference of two pictures' bytes. */
export function difference(a: ArrayLike<number>, b: ArrayLike<number>): { worst: number; mean: number } {
  let [worst, sum] = [a.length === b.length ? 0 : Number.POSITIVE_INFINITY, 0];
  for (let i = 0; i < a.length; i++) {
    const d = Math.abs(a[i]! - b[i]!);
    worst = Math.max(worst, d);
    sum += d;
  }
  return { worst, mean: sum / a.length };
}

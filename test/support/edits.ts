import { readFileSync } from 'node:fs';
import { expect } from 'vitest';
import { rgbToGrey } from '../../src/io/image.ts';
import { readImage } from '../../src/node/images.ts';

/** Edits with the embedded model as the peer made them: settings in golden.json, pictures and latent masks as PNG. */
export interface RecordedEdit {
  readonly name: string;
  readonly image: string;
  readonly source: string;
  readonly target: string;
  readonly seed: number;
  readonly steps?: number;
  readonly maps?: number;
  readonly guidance?: number;
  readonly invert_guidance?: number;
}

const FOLDER = new URL('../golden/orchard/edits/', import.meta.url);

export function readEdits(): RecordedEdit[] {
  return JSON.parse(readFileSync(new URL('golden.json', FOLDER), 'utf8')).edits;
}

export async function recordedPicture(name: string): Promise<Uint8Array | Uint8ClampedArray> {
  return (await readImage(new URL(`${name}.png`, FOLDER))).data;
}

export async function recordedMask(name: string): Promise<number[]> {
  return Array.from(rgbToGrey(await readImage(new URL(`${name}.mask.png`, FOLDER))).data);
}

/** Whether a runtime made the quick edit as it was recorded: pictures within 1 of 255 on average, the same mask (0 and 1 a latent). */
export async function expectQuickEdit(made: { readonly picture: number[]; readonly mask: number[] }): Promise<void> {
  const picture = await recordedPicture('quick');
  expect(made.picture).toHaveLength(picture.length);
  const mean = made.picture.reduce((sum, v, i) => sum + Math.abs(v - picture[i]), 0) / picture.length;
  expect(mean).toBeLessThanOrEqual(1);
  expect(made.mask.map(v => 255 * v)).toEqual(await recordedMask('quick'));
}

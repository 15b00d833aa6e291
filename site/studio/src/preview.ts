/** What latents look like, drawn on a canvas. */
import { type LatentColours, latentPictures, type NdArray } from 'pentimento';
import { context } from '../../shared/elements.ts';

/** Draws latents. @param latents [1, C, h, w] */
export function drawLatents(canvas: HTMLCanvasElement, latents: NdArray, colours: LatentColours): void {
  const [picture] = latentPictures(latents, colours);
  if (!picture) return;
  const { width, height, data } = picture;
  Object.assign(canvas, { width, height });
  const pixels = new ImageData(width, height);
  for (let at = 0; at < width * height; at++) pixels.data.set([...data.subarray(3 * at, 3 * at + 3), 255], 4 * at);
  context(canvas).putImageData(pixels, 0, 0);
}

/** Colours of latents without the VAE: the map that is found, and what is drawn by it. */
import { expect, it } from 'vitest';
import { ndarray } from '../../src/core/ndarray.ts';
import { fitLatentColours, latentPictures } from '../../src/io/latent-colours.ts';

it('finds the colours of latents that are an affine map of the picture', () => {
  const [width, height] = [4, 3];
  const data = Uint8Array.from({ length: 3 * width * height }, (_, i) => (37 * i * i) % 251);
  const latents = new Float32Array(4 * width * height);
  for (let at = 0; at < width * height; at++) {
    for (let c = 0; c < 3; c++) latents[c * width * height + at] = (data[3 * at + c] - 100) / 50;
    latents[3 * width * height + at] = ((at * 7) % 5) - 2;
  }
  const colours = fitLatentColours(ndarray(latents, [1, 4, height, width]), { width, height, data });
  for (const [c, row] of colours.entries()) {
    for (const [k, v] of row.entries()) {
      expect(Math.abs(v - (k === c ? 50 : k === 4 ? 100 : 0)), `colour ${c} of channel ${k}`).toBeLessThan(1);
    }
  }
  const two = ndarray(Float32Array.from([...latents, ...latents]), [2, 4, height, width]);
  const drawn = latentPictures(two, colours);
  expect(drawn).toHaveLength(2);
  for (const picture of drawn) {
    expect([picture.width, picture.height]).toEqual([width, height]);
    for (const [i, v] of data.entries()) expect(Math.abs((picture.data[i] ?? 0) - v)).toBeLessThanOrEqual(1);
  }
});

it('refuses latents of several pictures to fit, and colours of others', () => {
  const of = (...shape: number[]) => ndarray(new Float32Array(shape.reduce((a, b) => a * b, 1)), shape);
  const picture = { width: 2, height: 2, data: new Uint8Array(12) };
  expect(() => fitLatentColours(of(2, 4, 2, 2), picture)).toThrow(/not latents: expected \[1, C, h, w\]/);
  expect(() => latentPictures(of(4, 2, 2), [])).toThrow(/not latents/);
  expect(() => latentPictures(of(1, 4, 2, 2), [[1, 2]])).toThrow(/colours of other latents: expected 3 rows of 5/);
});

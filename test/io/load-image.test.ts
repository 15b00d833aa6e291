/** Pictures of the neutral entry in a runtime without canvases: what works, and what the rest says. */
import { describe, expect, it } from 'vitest';
import { encodeImage, toCanvas } from '../../src/io/canvas.ts';
import { type ImageInput, loadImage } from '../../src/io/load-image.ts';
import { pillowBytes, pillowImage } from './pillow.ts';

const bytesOf = (text: string): Uint8Array => Uint8Array.from(text, c => c.charCodeAt(0));

describe('loadImage without a page', () => {
  it('takes bytes, a Blob and a data URL', async () => {
    const bytes = Uint8Array.from(pillowBytes('rgb.png'));
    const address = `data:image/png;base64,${Buffer.from(bytes).toString('base64')}`;
    const loud = address.replace('data', 'DATA');
    for (const input of [bytes, bytes.buffer, new Blob([bytes]), address, loud, new URL(address)])
      expect(await loadImage(input)).toEqual(pillowImage('rgb.png'));
  });

  it('names what is damaged, and what it is where nothing here reads it', async () => {
    const cut = loadImage(pillowBytes('rgb.png').subarray(0, 100));
    await expect(cut).rejects.toThrowErrorMatchingInlineSnapshot(
      `[InputError: loadImage: the PNG is damaged: the pixels are cut short. Download or save it again.]`,
    );
    await expect(loadImage(bytesOf('RIFF\x10\x00\x00\x00WEBPVP8 '))).rejects.toThrowErrorMatchingInlineSnapshot(
      `[InputError: loadImage: not a picture that can be read: expected PNG, JPEG, GIF or BMP, got WebP. In Node readImage of 'pentimento/node' reads it where the package sharp is installed; else convert it to PNG or JPEG first.]`,
    );
    await expect(loadImage(bytesOf('words'))).rejects.toThrow(/got text/);
    await expect(loadImage(new Uint8Array())).rejects.toThrow(/got an empty file/);
  });

  it('says who reads files', async () => {
    await expect(loadImage('apples.png')).rejects.toThrowErrorMatchingInlineSnapshot(
      `[InputError: loadImage: not an address (apples.png). Read files with readImage of 'pentimento/node'.]`,
    );
    await expect(loadImage(new URL('file:///apples.png'))).rejects.toThrow(/not an address.*readImage/);
  });

  it('refuses what holds no picture', async () => {
    await expect(loadImage({} as ImageInput)).rejects.toThrowErrorMatchingInlineSnapshot(
      `[InputError: loadImage: nothing that holds a picture: expected an address, a Blob, bytes, or an ImageData, bitmap, canvas or image of a page, got object]`,
    );
  });
});

describe('canvases without a page', () => {
  const image = { width: 1, height: 1, data: Uint8Array.of(1, 2, 3) };

  it('are missing by name, with what to use instead', async () => {
    expect(() => toCanvas(image)).toThrowErrorMatchingInlineSnapshot(
      `[InputError: toCanvas: this runtime has no canvas: expected OffscreenCanvas, as pages and workers have it, got 1 x 1. In Node, Deno or Bun use encodePng, encodeJpeg or saveImage of 'pentimento/node', or the picture's data as it is.]`,
    );
    await expect(encodeImage(image)).rejects.toThrowErrorMatchingInlineSnapshot(
      `[InputError: encodeImage: this runtime has no canvas: expected OffscreenCanvas, as pages and workers have it, got 1 x 1. In Node, Deno or Bun use encodePng, encodeJpeg or saveImage of 'pentimento/node', or the picture's data as it is.]`,
    );
  });

  it('come after the check of the picture', () => {
    expect(() => toCanvas({ ...image, width: 2 })).toThrow(/another length/);
  });
});

import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import type { Browser, Page } from 'playwright';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type * as Canvas from '../../src/io/canvas.ts';
import type * as LoadImage from '../../src/io/load-image.ts';
import { decodeImage } from '../../src/node/images.ts';
import { openPage } from '../support/page.ts';
import { brought, broughtBytes } from './brought.ts';
import { difference, pillow, pillowBytes, pillowImage, sha256 } from './pillow.ts';

declare const io: typeof LoadImage & typeof Canvas;

let browser: Browser;
let page: Page;
beforeAll(async () => {
  const stdin = {
    contents: "export * from './load-image.ts'; export * from './canvas.ts';",
    resolveDir: fileURLToPath(new URL('../../src/io', import.meta.url)),
  };
  const bundle = await build({ stdin, bundle: true, write: false, format: 'iife', globalName: 'io' });
  ({ browser, page } = await openPage());
  await page.addScriptTag({ content: bundle.outputFiles[0]!.text });
});
afterAll(() => browser?.close());

interface Plain {
  width: number;
  height: number;
  data: number[];
}

const inPage = (bytes: Uint8Array): Promise<Plain> =>
  page.evaluate(
    async list => {
      const image = await io.loadImage(Uint8Array.from(list));
      return { ...image, data: [...image.data] };
    },
    [...bytes],
  );

describe('loadImage in a page', () => {
  it.each(pillow.png)('reads $file as Pillow does', async c => {
    const image = await inPage(pillowBytes(c.file));
    expect([image.width, image.height]).toEqual([c.width, c.height]);
    expect(sha256(Uint8Array.from(image.data))).toBe(c.sha256);
  });

  it.each(pillow.jpeg)('reads $file as Pillow does, within $tolerance levels', async c => {
    const image = await inPage(pillowBytes(c.file));
    expect([image.width, image.height]).toEqual([c.width, c.height]);
    const expected = pillowImage(`${c.file}.png`);
    expect(difference(image.data, expected.data).worst).toBeLessThanOrEqual(c.tolerance);
  });

  it.each(brought.filter(c => c.sha256 && /\.(png|gif|bmp)$/.test(c.file)))('reads $file as Pillow does', async c => {
    const image = await inPage(broughtBytes(c.file));
    expect([image.width, image.height]).toEqual([c.width, c.height]);
    expect(sha256(Uint8Array.from(image.data))).toBe(c.sha256);
  });

  // Where data are missing each browser shows what it likes.
  it.each(brought.filter(c => c.sha256 && /\.jpg$/.test(c.file) && !/440|damaged/.test(c.file)))(
    'reads $file as Pillow does, within 3 levels',
    async c => {
      const image = await inPage(broughtBytes(c.file));
      expect([image.width, image.height]).toEqual([c.width, c.height]);
      const expected = decodeImage(broughtBytes(c.file));
      expect(difference(image.data, expected.data).worst).toBeLessThanOrEqual(3);
    },
  );

  it.each(['lossless.webp', 'turned.webp', 'moving.webp', 'alpha.webp'])('reads %s by the browser', async name => {
    const c = brought.find(({ file }) => file === name);
    const image = await inPage(broughtBytes(name));
    expect([image.width, image.height, sha256(Uint8Array.from(image.data))]).toEqual([c?.width, c?.height, c?.sha256]);
  });

  it('reads AVIF by the browser', async () => {
    const image = await inPage(broughtBytes('whole-colour.avif'));
    expect(difference(image.data, decodeImage(broughtBytes('whole-colour.avif.png')).data).worst).toBeLessThanOrEqual(
      3,
    );
  });

  it('reads and refuses a JPEG that the browser gives up as Node does', async () => {
    const jpeg = pillowBytes('orientation-1.jpg');
    const whole = await inPage(jpeg.subarray(0, jpeg.length - 2)); // no marker of the end
    expect(Uint8Array.from(whole.data)).toEqual(decodeImage(jpeg).data);
    await expect(inPage(jpeg.subarray(0, jpeg.length - 300))).rejects.toThrow(
      'loadImage: the JPEG is damaged: the pixels are cut short. Download or save it again.',
    );
  });

  it('refuses what is no picture by name, and claims before the browser takes memory for them', async () => {
    const said = (bytes: Uint8Array, options = {}): Promise<string> =>
      page.evaluate(
        async ([list, o]) =>
          io.loadImage(Uint8Array.from(list), o).then(
            image => `${image.width} x ${image.height}`,
            error => `${error.name}: ${error.message}`,
          ),
        [[...bytes], options] as const,
      );
    expect(await said(broughtBytes('cases/x_lfs.png'))).toMatch(/got a Git LFS pointer\. .* git lfs pull\.$/);
    const photo = Uint8Array.from('\0\0\0\x18ftypheic\0\0\0\0mif1heic', c => c.charCodeAt(0));
    expect(await said(photo)).toMatch(/got HEIC\. Save it as JPEG: /);
    for (const name of ['cases/j_bomb_12k.jpg', 'cases/p_bomb_13k.png']) {
      expect(await said(broughtBytes(name))).toMatch(/is damaged: the pixels are cut short/);
    }
    for (const name of ['lossless.webp', 'whole-colour.avif', 'rgb-420-sequential.jpg', 'interlaced.gif', 'rgb.bmp'])
      expect(await said(broughtBytes(name), { maxPixels: 50 })).toMatch(
        /too large: expected at most 50 pixels, got \d+ x/,
      );
  });

  it('takes URLs, Blobs, ImageData, bitmaps, canvases and image elements', async () => {
    const expected = pillowImage('rgb.png');
    const images = await page.evaluate(
      async list => {
        const bytes = Uint8Array.from(list);
        const blob = new Blob([bytes], { type: 'image/png' });
        const url = URL.createObjectURL(blob);
        const element = new Image();
        element.src = url;
        await element.decode();
        const bitmap = await createImageBitmap(blob);
        const canvas = document.createElement('canvas');
        canvas.width = bitmap.width;
        canvas.height = bitmap.height;
        const context = canvas.getContext('2d');
        context?.drawImage(bitmap, 0, 0);
        const pixels = context?.getImageData(0, 0, bitmap.width, bitmap.height);
        const off = io.toCanvas(await io.loadImage(blob));
        const inputs = [url, new URL(url), blob, bytes.buffer, pixels ?? url, bitmap, canvas, element, off];
        const loaded = [];
        for (const input of inputs) {
          const image = await io.loadImage(input);
          loaded.push({ ...image, data: [...image.data] });
        }
        return loaded;
      },
      [...pillowBytes('rgb.png')],
    );
    expect(images.length).toBe(9);
    for (const image of images) expect(image).toEqual({ ...expected, data: [...expected.data] });
  });

  it('ends a download by its signal', async () => {
    const error = await page.evaluate(() => {
      const url = URL.createObjectURL(new Blob(['words']));
      return io.loadImage(url, { signal: AbortSignal.abort('stop') }).catch(e => `rejected with ${e}`);
    });
    expect(error).toBe('rejected with stop');
  });

  it('says what a file is instead of a picture', async () => {
    const message = (text: string): Promise<string> =>
      page.evaluate(
        t =>
          io.loadImage(new Blob([t])).then(
            () => 'loaded',
            error => `${error.name}: ${error.message}`,
          ),
        text,
      );
    expect(await message('only words')).toMatchInlineSnapshot(
      `"InputError: loadImage: not a picture that can be read: expected a picture that this browser can decode, got text. Convert it to PNG or JPEG first."`,
    );
    expect(await message('%PDF-1.7')).toMatch(/got PDF/);
    expect(await message('\x89PNG\r\n')).toMatch(/got an unknown kind of file/);
    const damaged = page.evaluate(
      list =>
        io.loadImage(Uint8Array.from(list)).then(
          () => 'loaded',
          error => error.message,
        ),
      [...pillowBytes('rgb.png').subarray(0, 40)],
    );
    expect(await damaged).toMatchInlineSnapshot(
      `"loadImage: the PNG is damaged: the file is cut short. Download or save it again."`,
    );
    expect(await page.evaluate(() => io.loadImage('blob:none').catch(error => error.message))).toMatch(
      /^loadImage: no answer/,
    );
  });
});

describe('encodeImage in a page', () => {
  it('writes PNG that Node reads back to the byte, RGB and grey', async () => {
    const rgb = pillowImage('base.png');
    const write = (image: { width: number; height: number; channels?: 1 }, data: number[]): Promise<number[]> =>
      page.evaluate(
        async ([i, d]) => {
          const blob = await io.encodeImage({ ...i, data: Uint8Array.from(d) });
          return [...new Uint8Array(await blob.arrayBuffer())];
        },
        [image, data] as const,
      );
    expect(decodeImage(Uint8Array.from(await write({ width: 61, height: 43 }, [...rgb.data])))).toEqual(rgb);
    const grey = decodeImage(Uint8Array.from(await write({ width: 2, height: 1, channels: 1 }, [7, 250])));
    expect([...grey.data]).toEqual([7, 7, 7, 250, 250, 250]);
  });

  it('refuses a kind that the browser cannot write', async () => {
    const image = { width: 1, height: 1 };
    const refused = page.evaluate(
      i => io.encodeImage({ ...i, data: Uint8Array.of(1, 2, 3) }, 'image/tiff').catch(e => e.message),
      image,
    );
    expect(await refused).toMatchInlineSnapshot(
      `"encodeImage: the browser cannot write that kind: got "image/tiff". Use image/png."`,
    );
  });
});

import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type GreyImage, type RgbImage, rgbToGrey } from '../../src/io/image.ts';
import { decodeImage, encodeJpeg, encodePng, readImage, saveImage } from '../../src/node/images.ts';
import { difference, pillow, pillowBytes, pillowImage, pillowPath, sha256 } from '../io/pillow.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pentimento-images-'));
});
afterAll(() => rm(folder, { recursive: true }));

const bytesOf = (text: string): Uint8Array => Uint8Array.from(text, c => c.charCodeAt(0));

describe('decodeImage of PNG', () => {
  it.each(pillow.png)('reads $file as Pillow does', c => {
    const image = pillowImage(c.file);
    expect([image.width, image.height, sha256(image.data)]).toEqual([c.width, c.height, c.sha256]);
  });

  it('keeps the colour under full transparency', () => {
    const { data } = pillowImage('rgba.png');
    expect(data.subarray(0, 13 * 3).some(v => v > 0)).toBe(true);
  });

  it('ignores what follows the end of the picture', () => {
    const junk = new Uint8Array([...pillowBytes('rgb.png'), 1, 2, 3]);
    expect(decodeImage(junk)).toEqual(pillowImage('rgb.png'));
  });

  it('refuses damage: cut short, a flipped byte, wrong first chunk, a bomb', () => {
    const png = pillowBytes('rgb.png');
    const flipped = png.slice();
    flipped[60] = (flipped[60] ?? 0) ^ 255;
    const renamed = png.slice();
    renamed[12] = 0x4a;
    const bomb = png.slice();
    bomb.set([0, 1, 0, 0, 0, 1, 0, 0], 16);
    expect(() => decodeImage(png.subarray(0, 100), 'a.png')).toThrowErrorMatchingInlineSnapshot(
      `[InputError: loadImage: the PNG is damaged: the pixels are cut short (a.png). Download or save it again.]`,
    );
    expect(() => decodeImage(flipped, 'a.png')).toThrow(/^loadImage: the PNG is damaged: /);
    expect(() => decodeImage(renamed, 'a.png')).toThrowErrorMatchingInlineSnapshot(
      `[InputError: loadImage: the PNG is damaged: no IHDR at the start (a.png). Download or save it again.]`,
    );
    expect(() => decodeImage(bomb, 'a.png')).toThrowErrorMatchingInlineSnapshot(
      `[InputError: loadImage: the picture is too large: expected at most 178956970 pixels, got 65536 x 65536 (a.png). Make it smaller first, or raise maxPixels.]`,
    );
  });
});

describe('decodeImage of JPEG', () => {
  it.each(pillow.jpeg)('reads $file as Pillow does, within $tolerance levels', c => {
    const image = pillowImage(c.file);
    const expected = pillowImage(`${c.file}.png`);
    expect([image.width, image.height]).toEqual([c.width, c.height]);
    expect(difference(image.data, expected.data).worst).toBeLessThanOrEqual(c.tolerance);
  });

  it('refuses by name what it cannot decode', () => {
    const jpeg = pillowBytes('orientation-1.jpg');
    const frame = jpeg.findIndex((v, i) => v === 0xff && jpeg[i + 1] === 0xc0);
    const changed = (at: number, value: number): Uint8Array => {
      const copy = jpeg.slice();
      copy[at] = value;
      return copy;
    };
    expect(() => decodeImage(changed(frame + 1, 0xc9), 'a.jpg')).toThrowErrorMatchingInlineSnapshot(
      `[InputError: loadImage: a kind of JPEG that is not read: got arithmetic coding (a.jpg). Save it again as an ordinary JPEG or PNG.]`,
    );
    expect(() => decodeImage(changed(frame + 1, 0xc3), 'a.jpg')).toThrowErrorMatchingInlineSnapshot(
      `[InputError: loadImage: a kind of JPEG that is not read: got lossless coding (a.jpg). Save it again as an ordinary JPEG or PNG.]`,
    );
    expect(() => decodeImage(changed(frame + 4, 12), 'a.jpg')).toThrowErrorMatchingInlineSnapshot(
      `[InputError: loadImage: a kind of JPEG that is not read: got 12 bits a sample (a.jpg). Save it again as an ordinary JPEG or PNG.]`,
    );
    expect(() => decodeImage(jpeg.subarray(0, frame + 3), 'a.jpg')).toThrowErrorMatchingInlineSnapshot(
      `[InputError: loadImage: the file is cut short: got no frame header (a.jpg). Save it again as an ordinary JPEG or PNG.]`,
    );
    expect(() => decodeImage(jpeg.subarray(0, jpeg.length - 300), 'a.jpg')).toThrow(/the JPEG is (damaged|cut short)/);
  });

  it('takes CMYK for inverted where no segment says so, as Pillow does', () => {
    const jpeg = pillowBytes('cmyk.jpg');
    const adobe = jpeg.findIndex((v, i) => v === 0xff && jpeg[i + 1] === 0xee);
    const length = 2 + (jpeg[adobe + 2] ?? 0) * 256 + (jpeg[adobe + 3] ?? 0);
    const without = new Uint8Array([...jpeg.subarray(0, adobe), ...jpeg.subarray(adobe + length)]);
    expect(decodeImage(without, 'a.jpg')).toEqual(pillowImage('cmyk.jpg.png'));
  });

  it('takes the orientation from XMP where EXIF has none', () => {
    const jpeg = pillowBytes('grey.jpg');
    const xmp = bytesOf('http://ns.adobe.com/xap/1.0/\0<x tiff:Orientation="6"/>');
    const segment = new Uint8Array([0xff, 0xe1, 0, xmp.length + 2, ...xmp]);
    const turned = decodeImage(new Uint8Array([...jpeg.subarray(0, 2), ...segment, ...jpeg.subarray(2)]));
    expect([turned.width, turned.height]).toEqual([24, 40]);
  });
});

describe('decodeImage of anything else', () => {
  const CONVERT = 'Convert it to PNG or JPEG first.';
  const OTHERS = 'Read it with readImage, or convert it to PNG or JPEG first.';
  const PHOTOS =
    'Save it as JPEG: in the Photos app by exporting it, on the command line with heif-convert or sips; the camera of an iPhone writes JPEG when its format is set to Most Compatible.';
  const PAGE =
    'This is a page, not the picture that it shows: download the picture itself (on the Hub /resolve/ in place of /blob/).';
  it.each([
    ['WebP', bytesOf('RIFF\x10\x00\x00\x00WEBPVP8 '), OTHERS],
    ['AVIF', bytesOf('\x00\x00\x00\x20ftypavif'), OTHERS],
    ['AVIF', bytesOf('\x00\x00\x00\x1cftypmif1\x00\x00\x00\x00mif1avifmiaf'), OTHERS],
    ['TIFF', bytesOf('II*\x00\x08\x00'), CONVERT],
    ['HEIC', bytesOf('\x00\x00\x00\x20ftypheic'), PHOTOS],
    ['HEIC', bytesOf('\x00\x00\x00\x18ftypmif1\x00\x00\x00\x00mif1heic'), PHOTOS],
    ['JPEG XL', bytesOf('\xff\x0a\x00'), CONVERT],
    ['SVG', bytesOf('<?xml version="1.0"?>\n<svg xmlns="x">'), CONVERT],
    ['HTML', bytesOf('<!doctype html><html>'), PAGE],
    ['HTML', bytesOf('\xef\xbb\xbf\n<!-- saved -->\n<HTML lang="en">'), PAGE],
    ['HTML', bytesOf('<?xml version="1.0"?>\n<!DOCTYPE html PUBLIC "x">'), PAGE],
    ['PDF', bytesOf('%PDF-1.7'), CONVERT],
    [
      'a Git LFS pointer',
      bytesOf('version https://git-lfs.github.com/spec/v1\noid sha256:1'),
      'It stands in place of the picture: fetch that with git lfs pull.',
    ],
    ['text', bytesOf('not a picture\n'), CONVERT],
    ['an unknown kind of file', Uint8Array.of(1, 2, 3, 250), CONVERT],
    ['an empty file', new Uint8Array(), CONVERT],
  ])('calls %s by its name', (kind, bytes, fix) => {
    expect(() => decodeImage(bytes, 'x')).toThrow(
      `loadImage: not a picture that can be read: expected PNG, JPEG, GIF or BMP, got ${kind} (x). ${fix}`,
    );
  });
});

describe('loadImage', () => {
  it('takes a path, a file URL, a data URL, a Blob and bytes', async () => {
    const bytes = pillowBytes('rgb.png');
    const expected = pillowImage('rgb.png');
    const path = pillowPath('rgb.png');
    const data = `data:image/png;base64,${Buffer.from(bytes).toString('base64')}`;
    const copy = Uint8Array.from(bytes);
    for (const input of [
      path,
      pathToFileURL(path),
      String(pathToFileURL(path)),
      data,
      new Blob([copy]),
      bytes,
      copy.buffer,
    ]) {
      expect(await readImage(input)).toEqual(expected);
    }
  });

  it('takes an address, and says which status it met', async () => {
    const server = createServer((request, response) => {
      response.statusCode = request.url === '/a.png' ? 200 : 404;
      response.end(pillowBytes('rgb.png'));
    });
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
    const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    try {
      expect(await readImage(`${base}/a.png`)).toEqual(pillowImage('rgb.png'));
      expect(await readImage(`${base.replace('http', 'HTTP')}/a.png`)).toEqual(pillowImage('rgb.png'));
      await expect(readImage(new URL(`${base}/b.png`))).rejects.toThrow(/no picture: got status 404 \(http:.*b\.png\)/);
    } finally {
      server.close();
    }
    await expect(readImage(`${base}/a.png`)).rejects.toThrow(/loadImage: no answer/);
  });

  it('ends a download by its signal, before the answer and in the middle of it, and says when one breaks off', async () => {
    const bytes = pillowBytes('rgb.png');
    let controller = new AbortController();
    const server = createServer((request, response) => {
      if (request.url !== '/silent')
        response.writeHead(200, { 'content-length': bytes.length }).write(bytes.slice(0, 50));
      setTimeout(() => (request.url === '/cut' ? response.destroy() : controller.abort()), 50);
    });
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
    const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    try {
      for (const name of ['silent', 'half']) {
        controller = new AbortController();
        const error: unknown = await readImage(`${base}/${name}`, { signal: controller.signal }).catch(e => e);
        expect(error, name).toBe(controller.signal.reason);
      }
      await expect(readImage(`${base}/cut`)).rejects.toThrow(`loadImage: the download broke off (${base}/cut)`);
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });

  it('names a path that does not exist', async () => {
    await expect(readImage('no/such.png')).rejects.toThrowErrorMatchingInlineSnapshot(
      `[InputError: readImage: no readable file: got no such file or directory (no/such.png). Check the path.]`,
    );
  });
});

describe('encodePng and saveImage', () => {
  it('write RGB and grey pictures that read back the same', async () => {
    const rgb = pillowImage('base.png');
    expect(decodeImage(encodePng(rgb))).toEqual(rgb);
    const grey: GreyImage = { width: 3, height: 2, data: Uint8Array.of(0, 1, 2, 253, 254, 255), channels: 1 };
    const png = encodePng(grey);
    expect(png[25]).toBe(0); // colour type grey
    expect([...decodeImage(png).data].filter((_, i) => i % 3 === 1)).toEqual([...grey.data]);
    const view = { ...grey, data: Uint8Array.of(9, 9, 0, 1, 2, 253, 254, 255).subarray(2) };
    expect(encodePng(view)).toEqual(png);
  });

  it('write a JPEG that is close to the picture', async () => {
    const rgb = pillowImage('orientation-1.jpg');
    const again = decodeImage(encodeJpeg(rgb, 98));
    expect(difference(again.data, rgb.data).mean).toBeLessThan(2);
  });

  it('leave one whole file, and nothing when they fail', async () => {
    const image = pillowImage('rgb.png');
    await saveImage(join(folder, 'a.PNG'), image);
    await saveImage(join(folder, 'a.jpg'), image);
    expect((await readdir(folder)).sort()).toEqual(['a.PNG', 'a.jpg']);
    expect(decodeImage(new Uint8Array(await readFile(join(folder, 'a.PNG'))))).toEqual(image);
    await expect(saveImage(join(folder, 'a.webp'), image)).rejects.toThrow(
      /expected \.png, \.jpg or \.jpeg, got \.webp/,
    );
    await expect(saveImage(join(folder, 'none', 'a.png'), image)).rejects.toThrow(
      /cannot be written: got no such file or directory/,
    );
    await writeFile(join(folder, 'plain'), '');
    await expect(saveImage(join(folder, 'plain', 'a.png'), image)).rejects.toThrow(
      /cannot be written: got a file in place of a folder/,
    );
    expect((await readdir(folder)).sort()).toEqual(['a.PNG', 'a.jpg', 'plain']);
  });

  it('refuse a picture whose data has another length', () => {
    expect(() => encodePng({ width: 2, height: 2, data: new Uint8Array(16) })).toThrowErrorMatchingInlineSnapshot(
      `[InputError: encodePng: the data of a 2 x 2 picture has another length: expected 12 bytes, got 16. This looks like RGBA: convert it with rgbaToRgb first.]`,
    );
  });
});

it('what is no picture is refused by name', async () => {
  for (const none of [null, undefined, 5, {}, { width: 1, height: 1 }]) {
    const image = none as unknown as RgbImage;
    const refused =
      /no picture: expected { width, height, data }, got (null|undefined|number|object)\. Pass what loadImage returns/;
    expect(() => encodePng(image)).toThrow(refused);
    expect(() => encodeJpeg(image)).toThrow(refused);
    expect(() => rgbToGrey(image)).toThrow(refused);
    await expect(saveImage('never.png', image)).rejects.toThrow(refused);
  }
});

import { describe, expect, it } from 'vitest';
import {
  cutPadding,
  type FitMode,
  type FitOptions,
  fitImage,
  fitMask,
  fitSize,
  type PictureFit,
} from '../../src/io/fit.ts';
import type { GreyImage, PictureSize, RgbImage } from '../../src/io/image.ts';
import { maskToImage } from '../../src/io/mask.ts';
import { pasteBack, softEdge } from '../../src/io/paste-back.ts';
import { resize } from '../../src/io/resize.ts';
import { readImage } from '../../src/node/images.ts';
import { pillowImage } from './pillow.ts';

const MODES: readonly FitMode[] = ['nearest', 'crop', 'pad', 'squash'];
const MODEL = { defaultSize: { width: 128, height: 128 }, vaeScaleFactor: 8 };
const STABLE = { defaultSize: { width: 512, height: 512 }, vaeScaleFactor: 8 };

const of = (width: number, height: number): PictureSize => ({ width, height });
const text = ({ width, height }: PictureSize) => `${width}x${height}`;

/** Red says how far right a pixel lies, green how far down: (i + 1/2) / side, in 255 steps. */
function ramp({ width, height }: PictureSize): RgbImage {
  const data = new Uint8Array(3 * width * height);
  for (let i = 0; i < width * height; i++) {
    data[3 * i] = Math.round((255 * ((i % width) + 0.5)) / width);
    data[3 * i + 1] = Math.round((255 * (Math.floor(i / width) + 0.5)) / height);
  }
  return { width, height, data };
}

function flat({ width, height }: PictureSize, value: number): GreyImage {
  return { width, height, data: new Uint8Array(width * height).fill(value), channels: 1 };
}

/** Where in the photo a working pixel's centre lies, in pixels of the photo. */
function place({ region, content }: PictureFit, x: number, y: number) {
  return [
    region.left + ((x + 0.5 - content.left) * region.width) / content.width,
    region.top + ((y + 0.5 - content.top) * region.height) / content.height,
  ] as const;
}

describe('fitSize', () => {
  it.each<[string, PictureSize, FitOptions, string]>([
    ['nearest keeps the proportions at the area of the model', of(300, 200), {}, '624x416'],
    ['also upright', of(3000, 4000), {}, '440x592'],
    ['and leaves a square as large as it is', of(40, 40), {}, '512x512'],
    ['and takes the area of a size', of(300, 200), { size: of(768, 768) }, '936x624'],
    ['crop has the shape of the model', of(300, 200), { fit: 'crop' }, '512x512'],
    ['or of a size', of(300, 200), { fit: 'crop', size: of(768, 512) }, '768x512'],
    ['pad has the shape of the model', of(300, 200), { fit: 'pad' }, '512x512'],
    ['or of a size', of(300, 200), { fit: 'pad', size: of(256, 512) }, '256x512'],
    ['squash has the shape of the model', of(300, 200), { fit: 'squash' }, '512x512'],
    ["own cuts the picture's sides down to multiples", of(301, 207), { size: 'own' }, '296x200'],
    ['and fills them up where it pads', of(301, 207), { fit: 'pad', size: 'own' }, '304x208'],
  ])('%s', (_, picture, options, working) => {
    const fit = fitSize(picture, STABLE, options);
    expect(text(fit.working)).toBe(working);
    expect(fit.picture).toEqual(picture);
    expect([fit.working.width % 8, fit.working.height % 8]).toEqual([0, 0]);
  });

  it('nearest never stretches a side by more than half a latent, nor is far from the area', () => {
    for (let width = 40; width <= 600; width += 7) {
      const { working } = fitSize(of(width, 300), STABLE);
      const scale = Math.sqrt((512 * 512) / (width * 300));
      expect(Math.abs(working.width - width * scale)).toBeLessThan(8);
      expect(Math.abs(working.height - 300 * scale)).toBeLessThan(8);
      const stretch = working.width / working.height / (width / 300);
      expect(Math.abs(Math.log(stretch))).toBeLessThan(4 / working.width + 4 / working.height);
    }
  });

  it('crops around the centre and pads around the picture, to a pixel', () => {
    const crop = fitSize(of(300, 200), MODEL, { fit: 'crop' });
    expect(crop.region).toEqual({ left: 50, top: 0, width: 200, height: 200 });
    const pad = fitSize(of(300, 200), MODEL, { fit: 'pad' });
    expect(pad.content).toEqual({ left: 0, top: 21, width: 128, height: 85 });
    expect(pad.region).toEqual({ left: 0, top: 0, width: 300, height: 200 });
    const own = fitSize(of(301, 207), MODEL, { fit: 'crop', size: 'own' });
    expect(own.region).toEqual({ left: 2, top: 3, width: 296, height: 200 });
    const filled = fitSize(of(301, 207), MODEL, { fit: 'pad', size: 'own' });
    expect(filled.content).toEqual({ left: 1, top: 0, width: 301, height: 207 });
  });

  it('takes extreme proportions where they make sense, and refuses them where they make none', () => {
    expect(text(fitSize(of(1000, 63), STABLE).working)).toBe('2032x128');
    expect(() => fitSize(of(1, 1000), STABLE)).toThrowErrorMatchingInlineSnapshot(
      `[InputError: fitImage: the picture is too long and narrow to be worked at in its own proportions: expected sides of at most 16 to 1, got 1x1000 (fit). Cut a part out first, or pass fit: 'crop' or fit: 'squash'.]`,
    );
    expect(() => fitSize(of(1, 1000), STABLE, { fit: 'pad' })).toThrowErrorMatchingInlineSnapshot(
      `[InputError: fitImage: the picture is so narrow that nearly all would be padding: expected at least 8 pixels of it, got 1x512 of 512x512, from 1x1000 (fit). Cut a part out first, or pass fit: 'crop' or fit: 'squash'.]`,
    );
    expect(fitSize(of(1, 1000), STABLE, { fit: 'crop' }).region).toEqual({ left: 0, top: 499, width: 1, height: 1 });
    expect(text(fitSize(of(1, 1000), STABLE, { fit: 'squash' }).working)).toBe('512x512');
    for (const fit of MODES) {
      expect(() => fitSize(of(7, 1000), STABLE, { fit, size: 'own' })).toThrow('the picture is smaller than 8 pixels');
      expect(() => fitSize(of(300, 200), STABLE, { fit, size: of(100, 128) })).toThrow(
        'sides must be multiples of 8: got 100x128. Pass size: { width: 96, height: 128 }.',
      );
    }
    expect(() => fitSize(of(300, 200), STABLE, { size: of(0, 8) })).toThrow('no sides of a picture');
    expect(() => fitSize(of(300, 200), STABLE, { fit: 'stretch' as FitMode })).toThrowErrorMatchingInlineSnapshot(
      `[InputError: fitImage: unknown fit: expected nearest, crop, pad, squash, got "stretch" (fit)]`,
    );
  });
});

describe('a photo that is fitted', () => {
  const photos = [of(300, 200), of(200, 300), of(128, 128), of(61, 43), of(400, 130), of(9, 12)];
  const cases = photos.flatMap(photo =>
    MODES.flatMap(fit => [undefined, 'own' as const].map(size => [text(photo), fit, size, photo] as const)),
  );

  it.each(cases)('%s by %s (size %s) lies where it says, and comes back to the same place', (_, fit, size, photo) => {
    const picture = ramp(photo);
    const { image, ...found } = fitImage(picture, MODEL, { fit, size });
    expect(text(image)).toBe(text(found.working));
    const { content, region, working } = found;
    // Half a working pixel in pixels of the photo, and what 8 bits leave open on the way there and back.
    const reach = [
      0.5 * Math.max(1, region.width / content.width) + (1.1 * photo.width) / 255,
      0.5 * Math.max(1, region.height / content.height) + (1.1 * photo.height) / 255,
    ];
    let misplaced = 0;
    for (let y = content.top + 1; y < content.top + content.height - 1; y++) {
      for (let x = content.left + 1; x < content.left + content.width - 1; x++) {
        const at = 3 * (y * working.width + x);
        const [wantedX, wantedY] = place(found, x, y);
        const off = [
          (image.data[at] * photo.width) / 255 - wantedX,
          (image.data[at + 1] * photo.height) / 255 - wantedY,
        ];
        if (off.some((by, axis) => Math.abs(by) > reach[axis])) misplaced++;
      }
    }
    expect(misplaced).toBe(0);
    const black = { ...photo, data: new Uint8Array(picture.data.length).fill(0) };
    const back = pasteBack(black, image, flat(working, 255), found);
    let [wrong, outside] = [0, 0];
    for (let y = 0; y < photo.height; y++) {
      for (let x = 0; x < photo.width; x++) {
        const at = 3 * (y * photo.width + x);
        const [dx, dy] = [x - region.left, y - region.top];
        if (dx < 0 || dy < 0 || dx >= region.width || dy >= region.height) {
          if (back.data[at] !== 0 || back.data[at + 1] !== 0) outside++;
        } else if (
          Math.abs(back.data[at] - picture.data[at]) > (reach[0] * 255) / photo.width ||
          Math.abs(back.data[at + 1] - picture.data[at + 1]) > (reach[1] * 255) / photo.height
        ) {
          wrong++;
        }
      }
    }
    expect([wrong, outside]).toEqual([0, 0]);
  });

  it('is not resampled where crop or pad keep its size, and is itself where nothing is to be done', () => {
    const photo = ramp(of(71, 66));
    const cropped = fitImage(photo, MODEL, { fit: 'crop', size: 'own' });
    expect(text(cropped.image)).toBe('64x64');
    expect([...cropped.image.data.subarray(0, 3)]).toEqual([...photo.data.subarray(3 * (71 + 3), 3 * (71 + 4))]);
    const padded = fitImage(photo, MODEL, { fit: 'pad', size: 'own' });
    expect(cutPadding(padded.image, padded)).toEqual(photo);
    for (const fit of MODES) expect(fitImage(ramp(of(128, 128)), MODEL, { fit }).image).toEqual(ramp(of(128, 128)));
  });

  it("by squash has the bytes of resize, which is diffusers' way", () => {
    const photo = ramp(of(300, 200));
    expect(fitImage(photo, MODEL, { fit: 'squash' }).image).toEqual(resize(photo, 128, 128, 'bicubic'));
  });

  it('by pad repeats its outermost pixels', () => {
    const { image, content } = fitImage(ramp(of(300, 200)), MODEL, { fit: 'pad' });
    const row = (y: number) => [...image.data.subarray(3 * 128 * y, 3 * 128 * (y + 1))];
    expect(row(0)).toEqual(row(content.top));
    expect(row(127)).toEqual(row(content.top + content.height - 1));
    expect(row(content.top + 1)).not.toEqual(row(content.top + 5));
  });

  it('is fitted upright, as the camera held it', async () => {
    const [lying, upright] = [pillowImage('orientation-1.jpg'), pillowImage('orientation-6.jpg')];
    expect(text(upright)).toBe(`${lying.height}x${lying.width}`);
    const [a, b] = [fitImage(lying, MODEL), fitImage(upright, MODEL)];
    expect(a.working.width).toBeGreaterThan(a.working.height);
    expect(text(b.image)).toBe(`${a.working.height}x${a.working.width}`);
    // The stored rows of the second become its columns, from the right.
    const turned = (x: number, y: number) => b.image.data[3 * (x * b.working.width + b.working.width - 1 - y)];
    const errors = Array.from({ length: a.working.width * a.working.height }, (_, i) => {
      const [x, y] = [i % a.working.width, Math.floor(i / a.working.width)];
      return Math.abs(a.image.data[3 * i] - turned(x, y));
    });
    expect(Math.max(...errors)).toBeLessThanOrEqual(2); // the passes of the filter round in another order
  });

  it('of four channels, of none, or with options that nobody knows is refused', async () => {
    const rgba = { width: 2, height: 2, data: new Uint8Array(16) };
    expect(() => fitImage(rgba, MODEL)).toThrow('This looks like RGBA: convert it with rgbaToRgb first.');
    expect(() => fitImage(undefined as unknown as RgbImage, MODEL)).toThrow('fitImage: no picture');
    expect(() => fitImage(ramp(of(8, 8)), MODEL, { mode: 'crop' } as object)).toThrow('mode');
    const { width, height } = await readImage('models/orchard/samples/market.jpg');
    expect(text(fitSize({ width, height }, MODEL).working)).toBe('144x112');
  });
});

describe('fitMask', () => {
  const photo = of(300, 200);
  const white = (size: PictureSize): RgbImage => ({
    ...size,
    data: new Uint8Array(3 * size.width * size.height).fill(255),
  });

  it.each(MODES)('takes masks of every size that a command writes or a person draws, for %s', fit => {
    const found = fitSize(photo, MODEL, { fit });
    const latents = of(found.working.width / 8, found.working.height / 8);
    for (const size of [photo, found.working, found.content, latents]) {
      const mask = fitMask(white(size), found, 'm.png');
      expect(text(mask)).toBe(text(latents));
      expect(mask.data.every(v => v === 255)).toBe(true);
    }
  });

  it.each(MODES)('puts a drawn square where the photo has it, for %s', fit => {
    const drawn = flat(photo, 0);
    for (let y = 60; y < 140; y++) drawn.data.fill(255, y * 300 + 110, y * 300 + 190);
    const found = fitSize(photo, MODEL, { fit });
    const mask = fitMask(drawn, found);
    for (let y = 0; y < mask.height; y++) {
      for (let x = 0; x < mask.width; x++) {
        const corners = [place(found, 8 * x - 0.5, 8 * y - 0.5), place(found, 8 * x + 7.5, 8 * y + 7.5)] as const;
        const [[left, top], [right, bottom]] = corners;
        const inside = left >= 110 && top >= 60 && right <= 190 && bottom <= 140;
        const outside = right <= 110 || bottom <= 60 || left >= 190 || top >= 140;
        if (inside) expect(mask.data[y * mask.width + x]).toBe(255);
        if (outside) expect(mask.data[y * mask.width + x]).toBeLessThan(16); // to the padding's whole pixels
      }
    }
  });

  it.each(MODES)('reads a mask back that was cut out of the padding, for %s', fit => {
    const found = fitSize(photo, MODEL, { fit });
    const [width, height] = [found.working.width / 8, found.working.height / 8];
    const { top, height: shown } = found.content;
    const seen = (y: number) => 8 * (y + 1) > top && 8 * y < top + shown;
    const data = Float32Array.from({ length: width * height }, (_, i) =>
      seen(Math.floor(i / width)) && (i * 7919) % 5 < 2 ? 1 : 0,
    );
    const drawn = cutPadding(maskToImage({ data, shape: [height, width] }, 8), found);
    const back = fitMask(drawn, found);
    for (let i = 0; i < data.length; i++) if (seen(Math.floor(i / width))) expect(back.data[i]).toBe(255 * data[i]);
  });

  it('of any other size is refused by all that fit', () => {
    const refused = (fit: FitMode) => () => fitMask(white(of(17, 16)), fitSize(photo, MODEL, { fit }), 'm.png');
    expect(refused('squash')).toThrow('expected 300x200 or 128x128 or 16x16, got 17x16 (m.png)');
    expect(refused('pad')).toThrow('expected 300x200 or 128x128 or 128x85 or 16x16, got 17x16 (m.png)');
    expect(() => cutPadding(ramp(of(4, 4)), fitSize(photo, MODEL))).toThrowErrorMatchingInlineSnapshot(
      `[InputError: cutPadding: not the size that the model worked at: expected 160x104, got 4x4]`,
    );
  });
});

describe('pasting back by a fit', () => {
  const photo = { ...of(300, 200), data: new Uint8Array(3 * 300 * 200).fill(100) };
  const edit = (size: PictureSize): RgbImage => ({
    ...size,
    data: new Uint8Array(3 * size.width * size.height).fill(200),
  });
  const at = ({ data }: RgbImage, x: number, y: number) => data[3 * (300 * y + x)];

  it('leaves no seam where a crop ends within the photo, and covers its real edges', () => {
    const fit = fitSize(photo, MODEL, { fit: 'crop' });
    const soft = softEdge(flat(fit.working, 255), fit, [4, 4]);
    const made = pasteBack(photo, edit(fit.working), soft, fit);
    expect([at(made, 49, 100), at(made, 250, 100)]).toEqual([100, 100]);
    expect([at(made, 150, 0), at(made, 150, 199)]).toEqual([200, 200]);
    for (let x = 1; x < 300; x++) expect(Math.abs(at(made, x, 100) - at(made, x - 1, 100))).toBeLessThan(10);
    expect(at(made, 80, 100)).toBe(200);
  });

  it.each(MODES)('changes nothing beyond the edge of the mask, for %s', fit => {
    const found = fitSize(photo, MODEL, { fit });
    const mask = flat(found.working, 0);
    for (let y = 56; y < 72; y++) mask.data.fill(255, y * mask.width + 56, y * mask.width + 72);
    const made = pasteBack(photo, edit(found.working), softEdge(mask, found, [4, 4]), found);
    const changed = (margin: number) => {
      const [left, top] = place(found, 56 - margin, 56 - margin);
      const [right, bottom] = place(found, 71 + margin, 71 + margin);
      let count = 0;
      for (let y = 0; y < 200; y++)
        for (let x = 0; x < 300; x++)
          if ((x < left || x > right || y < top || y > bottom) && at(made, x, y) !== 100) count++;
      return count;
    };
    expect(changed(20)).toBe(0);
    expect(changed(0)).toBeGreaterThan(0); // it is soft
    const [x, y] = place(found, 63, 63);
    expect(at(made, Math.floor(x), Math.floor(y))).toBeGreaterThan(190);
  });

  it('refuses the fit of another picture, and edits of another size', () => {
    const fit = fitSize(of(301, 200), MODEL);
    const mask = flat(fit.working, 255);
    expect(() => pasteBack(photo, edit(fit.working), mask, fit)).toThrowErrorMatchingInlineSnapshot(
      `[InputError: pasteBack: the fit is of another picture: expected what fitImage returns for 300x200, got 301x200 (fit)]`,
    );
    const own = fitSize(photo, MODEL);
    expect(() => pasteBack(photo, edit(of(128, 128)), mask, own)).toThrow('not the size that the model worked at');
    expect(() => pasteBack(photo, edit(own.working), mask, {} as PictureFit)).toThrow('this is no fit');
  });

  it('gives rows in bands that no result shows: a photo higher than several bands is that of one composite', () => {
    const tall = ramp(of(37, 301));
    const [edited, mask] = [ramp(of(24, 40)), resize(flat(of(3, 5), 128), 24, 40, 'bilinear')];
    const whole = [resize(edited, 37, 301, 'bicubic').data, resize(mask, 37, 301, 'bilinear').data] as const;
    const made = pasteBack(tall, edited, mask);
    const expected = tall.data.map((v, i) => {
      const m = whole[1][Math.floor(i / 3)];
      const sum = m * whole[0][i] + (255 - m) * v + 128;
      return (sum + (sum >> 8)) >> 8;
    });
    expect(made.data).toEqual(expected);
  });
});

/** One picture to the model and back: what `run` is given, and what becomes of its result. */
import { describe, expect, it } from 'vitest';
import { cutPadding, fitImage, fitMask } from '../../../src/io/fit.ts';
import type { RgbImage } from '../../../src/io/image.ts';
import { maskToImage } from '../../../src/io/mask.ts';
import { pictureEdit } from '../../../src/pipeline/batch/picture-edit.ts';
import type { RunOutput } from '../../../src/pipeline/diffedit/types.ts';

const MODEL = { defaultSize: { width: 64, height: 64 }, vaeScaleFactor: 8 };

function picture(width: number, height: number): RgbImage {
  return { width, height, data: Uint8Array.from({ length: 3 * width * height }, (_, i) => (7 * i) % 251) };
}

const photo = picture(50, 30);
const drawn = {
  width: 50,
  height: 30,
  data: Uint8Array.from({ length: 1500 }, (_, i) => (i % 3 ? 0 : 255)),
  channels: 1,
} as const;

/** A result of the size that the model saw. */
function output({ width, height }: { width: number; height: number }, masked = true): RunOutput {
  const shape = [1, height / 8, width / 8];
  const mask = { data: Float32Array.from({ length: (width * height) / 64 }, (_, i) => i % 2), shape };
  return { images: [picture(width, height)], ...(masked ? { mask: { mask, map: mask } } : {}) } as unknown as RunOutput;
}

describe('a picture that is edited', () => {
  it.each(['nearest', 'crop', 'pad', 'squash'] as const)('is fitted by %s, and its result cut or pasted back', fit => {
    const fitted = fitImage(photo, MODEL, { fit });
    const edit = pictureEdit(photo, MODEL, { fit }, drawn);
    expect(edit.fitted).toEqual(fitted);
    expect(edit.args.image).toEqual(fitted.image);
    expect(edit.args.maskImage).toEqual(fitMask(drawn, fitted));
    expect(edit.pasted).toBe(fit !== 'squash');
    expect(edit.args.pasteBack).toEqual(fit === 'squash' ? undefined : { image: photo, fit: fitted });
    const made = output(fitted.working);
    const mask = made.mask && maskToImage(made.mask.mask, 8);
    const whole = edit.results(made);
    expect(whole.mask).toEqual(mask && cutPadding(mask, fitted));
    // What is pasted back has the photo's size already.
    const images = edit.pasted ? made.images : (made.images as RgbImage[]).map(image => cutPadding(image, fitted));
    expect(whole.images).toEqual(images);
    const cut = pictureEdit(photo, MODEL, { fit, pasteBack: false });
    expect(cut.results(made).images).toEqual([
      cutPadding(picture(fitted.working.width, fitted.working.height), fitted),
    ]);
    expect(cut.args).toMatchObject({ pasteBack: undefined, maskImage: undefined });
  });

  it('goes to the model as it is where nothing says how, as in diffusers', () => {
    const square = picture(64, 64);
    const mask = { width: 64, height: 64, data: new Uint8Array(3 * 4096).fill(255) };
    const edit = pictureEdit(square, MODEL, {}, mask);
    expect([edit.fitted, edit.pasted, edit.args.image]).toEqual([undefined, false, square]);
    expect(edit.args.maskImage).toMatchObject({ width: 64, height: 64, channels: 1 });
    expect(edit.results(output(square, false))).toEqual({ images: [square] });
    expect(pictureEdit(square, MODEL, { pasteBack: true }).args.pasteBack).toEqual({ image: square });
  });

  it('is refused where it cannot be one, with the name of the mask where that is wrong', () => {
    expect(() => pictureEdit({ width: 2, height: 2, data: new Uint8Array(3) }, MODEL, {})).toThrow(/^pictureEdit: /);
    const small = { width: 5, height: 5, data: new Uint8Array(25), channels: 1 } as const;
    expect(() => pictureEdit(photo, MODEL, { fit: 'crop' }, small, 'm.png')).toThrow(/got 5x5 \(m\.png\)/);
    const arrays = { images: { data: new Float32Array(3), shape: [1, 1, 1, 3] } } as unknown as RunOutput;
    expect(() => pictureEdit(photo, MODEL, { fit: 'crop' }).results(arrays)).toThrow(
      'the pipeline returned no pictures',
    );
  });
});

import { describe, expect, it } from 'vitest';
import { ndarray } from '../../src/core/ndarray.ts';
import { rgbToGrey } from '../../src/io/image.ts';
import { type Resample, resize, resizeNearest } from '../../src/io/resize.ts';
import { pillow, pillowImage, sha256 } from './pillow.ts';

describe('resize', () => {
  it('has cases of every filter and both kinds of picture', () => {
    expect(new Set(pillow.resize.map(c => `${c.filter} ${c.mode}`)).size).toBe(8);
    expect(pillow.resize.length).toBe(84);
  });

  it.each(pillow.resize)('gives the bytes of Pillow: $source $mode by $filter to $size', c => {
    const rgb = pillowImage(c.source ?? 'base.png');
    const image = c.mode === 'L' ? rgbToGrey(rgb) : rgb;
    const done = resize(image, ...c.size, c.filter as Resample);
    expect([done.width, done.height, sha256(done.data)]).toEqual([...c.size, c.sha256]);
  });

  it('does not change or share the bytes of its input', () => {
    const image = { width: 2, height: 1, data: Uint8Array.of(0, 0, 0, 255, 255, 255) };
    const copy = resize(image, 2, 1);
    copy.data[0] = 9;
    expect([...image.data]).toEqual([0, 0, 0, 255, 255, 255]);
  });

  it('refuses sides that are no pixel counts, filters it does not know, and data of another length', () => {
    const image = { width: 1, height: 1, data: Uint8Array.of(1, 2, 3) };
    expect(() => resize(image, 0, 4)).toThrowErrorMatchingInlineSnapshot(
      `[InputError: resize: sides must be positive whole: got 0 x 4]`,
    );
    expect(() => resize(image, 4, 4, 'nearest' as never)).toThrowErrorMatchingInlineSnapshot(
      `[InputError: resize: unknown filter: expected box, bilinear, bicubic, lanczos, got "nearest" (resample)]`,
    );
    expect(() => resize(image, 2.5, 4)).toThrowErrorMatchingInlineSnapshot(
      `[InputError: resize: sides must be positive whole: got 2.5 x 4]`,
    );
    for (const width of [0, -1, 1.5, Number.NaN])
      expect(() => resize({ ...image, width }, 2, 2)).toThrow(`a picture needs positive whole sides: got ${width} x 1`);
    expect(() => resize({ ...image, data: new Uint8Array(4) }, 2, 2)).toThrowErrorMatchingInlineSnapshot(
      `[InputError: resize: the data of a 1 x 1 picture has another length: expected 3 bytes, got 4. This looks like RGBA: convert it with rgbaToRgb first.]`,
    );
    expect(() => resize({ ...image, data: new Uint8Array(2) }, 2, 2)).toThrowErrorMatchingInlineSnapshot(
      `[InputError: resize: the data of a 1 x 1 picture has another length: expected 3 bytes, got 2. Pass width * height * 3 bytes, R G B.]`,
    );
  });
});

describe('resizeNearest', () => {
  it.each(pillow.nearest)('takes the indices of torch from $in to $out', c => {
    const row = ndarray(
      Float32Array.from({ length: c.in }, (_, i) => i),
      [1, 1, c.in],
    );
    expect([...resizeNearest(row, 1, c.out).data]).toEqual(c.index);
    const column = ndarray(row.data, [1, c.in, 1]);
    expect([...resizeNearest(column, c.out, 1).data]).toEqual(c.index);
  });

  it('resizes every plane of a batch by itself', () => {
    const array = ndarray(Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8), [2, 1, 2, 2]);
    expect(resizeNearest(array, 1, 4)).toMatchObject({
      data: Float32Array.of(1, 1, 2, 2, 5, 5, 6, 6),
      shape: [2, 1, 1, 4],
    });
  });
});

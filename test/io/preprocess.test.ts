import { describe, expect, it } from 'vitest';
import { type NdArray, ndarray } from '../../src/core/ndarray.ts';
import { arrayToImages, postprocessImage } from '../../src/io/postprocess.ts';
import { nchwToNhwc, nhwcToNchw, preprocessImage } from '../../src/io/preprocess.ts';
import { resize } from '../../src/io/resize.ts';
import { pillowGrey, pillowImage } from './pillow.ts';

const filled = (shape: number[], value: (i: number) => number, layout?: 'nchw' | 'nhwc'): NdArray =>
  ndarray(
    Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => value(i)),
    shape,
    layout,
  );

describe('preprocessImage on images', () => {
  it('cuts the sides to a multiple of the factor by Lanczos and maps bytes to [-1, 1]', () => {
    const image = pillowImage('base.png'); // 61 x 43
    const array = preprocessImage(image, { factor: 8 });
    const small = resize(image, 56, 40, 'lanczos');
    expect(array.shape).toEqual([1, 3, 40, 56]);
    expect(array.layout).toBe('nchw');
    const expected = Float32Array.from({ length: 3 * 40 * 56 }, (_, i) => {
      const [c, p] = [Math.floor(i / (40 * 56)), i % (40 * 56)];
      return Math.fround(2 * Math.fround(small.data[3 * p + c]! / 255) - 1);
    });
    expect(array.data).toEqual(expected);
  });

  it('resizes every image of a list to the first one', () => {
    const array = preprocessImage([pillowImage('mask.png'), pillowImage('base.png')], { factor: 2 }); // 31 x 23 first
    expect(array.shape).toEqual([2, 3, 22, 30]);
  });

  it('takes a grey picture as three equal channels', () => {
    const array = preprocessImage(pillowGrey('base-grey.png'), { factor: 1 });
    const plane = 61 * 43;
    expect(array.shape).toEqual([1, 3, 43, 61]);
    expect(array.data.slice(0, plane)).toEqual(array.data.slice(2 * plane));
  });

  it('refuses an empty list, a mixture, a picture below the factor, and paths', () => {
    const image = pillowImage('grey-2bit.png');
    const options = { factor: 8 };
    expect(() => preprocessImage([], options)).toThrowErrorMatchingInlineSnapshot(
      `[InputError: preprocessImage: an empty list of pictures]`,
    );
    expect(() =>
      preprocessImage([image, filled([8, 8, 3], () => 0)] as never, options),
    ).toThrowErrorMatchingInlineSnapshot(
      `[InputError: preprocessImage: a list must hold either images or arrays, at least one: got a mixture]`,
    );
    expect(() => preprocessImage([filled([8, 8, 3], () => 0), image] as never, options)).toThrow(/a mixture/);
    expect(() => preprocessImage(image, options)).toThrowErrorMatchingInlineSnapshot(
      `[InputError: preprocessImage: the picture is too small: expected sides of at least 8, got 8 x 5]`,
    );
    expect(() => preprocessImage('a.png' as never, options)).toThrowErrorMatchingInlineSnapshot(
      `[InputError: preprocessImage: not a picture or array: got string. Read addresses with loadImage, files with readImage of 'pentimento/node'.]`,
    );
  });
});

describe('preprocessImage on arrays', () => {
  it('reads HWC and NHWC, CHW and NCHW, and [H, W] as one channel', () => {
    const shapes = [
      [4, 6, 3],
      [1, 4, 6, 3],
      [3, 4, 6],
      [1, 3, 4, 6],
    ];
    for (const shape of shapes) {
      expect(
        preprocessImage(
          filled(shape, () => 0.5),
          { factor: 2 },
        ).shape,
      ).toEqual([1, 3, 4, 6]);
    }
    expect(
      preprocessImage(
        filled([4, 6], () => 0.5),
        { factor: 2 },
      ).shape,
    ).toEqual([1, 1, 4, 6]);
  });

  it('lets the layout decide where both ends look like channels', () => {
    const shape = [1, 3, 5, 3];
    expect(
      preprocessImage(
        filled(shape, () => 0),
        { factor: 1 },
      ).shape,
    ).toEqual([1, 3, 3, 5]);
    expect(
      preprocessImage(
        filled(shape, () => 0, 'nchw'),
        { factor: 1 },
      ).shape,
    ).toEqual([1, 3, 5, 3]);
  });

  it('maps [0, 1] to [-1, 1] and moves the channels', () => {
    const array = preprocessImage(
      filled([1, 2, 3], i => i / 8, 'nhwc'),
      { factor: 1 },
    );
    expect(array).toMatchObject({ data: Float32Array.of(-1, -0.25, -0.75, 0, -0.5, 0.25), shape: [1, 3, 1, 2] });
  });

  it('resizes by nearest neighbour only where a side is no multiple', () => {
    const odd = preprocessImage(
      filled([1, 1, 5, 4], i => i / 32, 'nchw'),
      { factor: 4 },
    );
    expect(odd.shape).toEqual([1, 1, 4, 4]);
    expect([...odd.data].map(v => (v + 1) * 16)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
  });

  it('leaves values alone when one is negative, and says so', () => {
    const warnings: string[] = [];
    const array = filled([1, 3, 2, 2], i => i / 12 - 0.5, 'nchw');
    const done = preprocessImage(array, { factor: 2, onWarning: message => warnings.push(message) });
    expect(done.data).toEqual(array.data);
    expect(warnings).toEqual(['preprocessImage: negative values: taken to be in [-1, 1] already']);
  });

  it('returns latents [N, 4, H, W] untouched, odd sides included', () => {
    const latents = filled([2, 4, 5, 7], i => i);
    expect(preprocessImage(latents, { factor: 8 }).data).toEqual(latents.data);
  });

  it('refuses a picture with alpha instead of taking it for latents', () => {
    expect(() =>
      preprocessImage(
        filled([8, 8, 4], () => 1),
        { factor: 8 },
      ),
    ).toThrowErrorMatchingInlineSnapshot(
      `[InputError: preprocessImage: a picture with alpha: got [8, 8, 4]. Drop the fourth channel; latents are passed as [N, 4, H, W].]`,
    );
  });

  it('joins lists of 3-D and of 4-D arrays, and refuses unequal ones', () => {
    const one = (): NdArray => filled([3, 2, 2], () => 1);
    expect(preprocessImage([one(), one()], { factor: 1 }).shape).toEqual([2, 3, 2, 2]);
    const two = [filled([2, 3, 2, 2], () => 1), filled([1, 3, 2, 2], () => 1)];
    expect(preprocessImage(two, { factor: 1 }).shape).toEqual([3, 3, 2, 2]);
    expect(() =>
      preprocessImage([one(), filled([3, 2, 3], () => 1, 'nchw')], { factor: 1 }),
    ).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: preprocessImage: arrays of one list differ: expected [1, 3, 2, 2], got [1, 3, 2, 3]]`,
    );
  });

  it('refuses shapes that are no pictures', () => {
    expect(() =>
      preprocessImage(
        filled([5], () => 1),
        { factor: 1 },
      ),
    ).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: preprocessImage: not a picture: expected 2 to 4 axes, got [5]. Pass HWC, NHWC, CHW or NCHW with 1, 3 or 4 channels, or say which by layout.]`,
    );
    expect(() =>
      preprocessImage(
        filled([2, 5, 5], () => 1),
        { factor: 1 },
      ),
    ).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: preprocessImage: no axis of channels: got [2, 5, 5]. Pass HWC, NHWC, CHW or NCHW with 1, 3 or 4 channels, or say which by layout.]`,
    );
    expect(() =>
      preprocessImage({ data: new Float32Array(3), shape: [2, 2] }, { factor: 1 }),
    ).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: ndarray: shape [2, 2] does not fit the data: expected 4 values, got 3]`,
    );
    expect(() => ndarray(new Float32Array(3), [1.5, 2])).toThrowErrorMatchingInlineSnapshot(
      `[InputError: ndarray: a size is not a whole number >= 0: got [1.5, 2]]`,
    );
  });
});

describe('postprocessImage', () => {
  const x = filled([1, 3, 1, 2], i => [-2, -1, 0, 0.5, 1, 3][i]!, 'nchw');

  it('clamps to [0, 1] as tensor and as array', () => {
    expect(postprocessImage(x, 'pt')).toEqual(ndarray(Float32Array.of(0, 0, 0.5, 0.75, 1, 1), [1, 3, 1, 2], 'nchw'));
    expect(postprocessImage(x, 'np')).toEqual(ndarray(Float32Array.of(0, 0.5, 1, 0, 0.75, 1), [1, 1, 2, 3], 'nhwc'));
    expect(postprocessImage(x, 'latent')).toBe(x);
  });

  it('rounds halves to even on the way to bytes', () => {
    const [image] = postprocessImage(x, 'pil'); // 0.5 * 255 = 127.5 -> 128, 0.75 * 255 = 191.25 -> 191
    expect(image).toEqual({ width: 2, height: 1, data: Uint8Array.of(0, 128, 255, 0, 191, 255) });
    const halves = filled([1, 1, 2, 1], i => [2.5, 126.5][i]! / 255);
    expect([...halves.data].map(v => Math.fround(v * 255))).toEqual([2.5, 126.5]);
    expect([...arrayToImages(halves)[0]!.data]).toEqual([2, 126]);
  });

  it('gives grey pictures for one channel, and refuses two', () => {
    const [image] = postprocessImage(
      filled([1, 1, 2, 2], () => 1),
      'pil',
    );
    expect(image).toEqual({ width: 2, height: 2, channels: 1, data: Uint8Array.of(255, 255, 255, 255) });
    expect(() =>
      postprocessImage(
        filled([1, 2, 2, 2], () => 1),
        'pil',
      ),
    ).toThrowErrorMatchingInlineSnapshot(
      `[InputError: arrayToImages: not pictures: expected [N, H, W, 1 or 3], got [1, 2, 2, 2]]`,
    );
    expect(() => postprocessImage(x, 'png' as never)).toThrowErrorMatchingInlineSnapshot(
      `[InputError: postprocessImage: unknown output type: expected pil, np, pt or latent, got png]`,
    );
  });

  it('undoes preprocessImage to the byte', () => {
    const image = pillowImage('base.png');
    expect(postprocessImage(preprocessImage(image, { factor: 1 }), 'pil')).toEqual([image]);
  });

  it('swaps layouts back and forth', () => {
    const array = filled([2, 3, 4, 5], i => i, 'nchw');
    const moved = nchwToNhwc(array);
    expect(moved.data[((1 * 4 + 2) * 5 + 3) * 3 + 1]).toBe(((1 * 3 + 1) * 4 + 2) * 5 + 3);
    expect(nhwcToNchw(moved)).toEqual(array);
  });
});

import { describe, expect, it } from 'vitest';
import { ndarray } from '../../src/core/ndarray.ts';
import type { GreyImage } from '../../src/io/image.ts';
import { greyToRgb, rgbToGrey } from '../../src/io/image.ts';
import {
  blurMap,
  dilate,
  dilateMap,
  gaussianBlur,
  maskToImage,
  maskToImages,
  preprocessMask,
  sideBySide,
} from '../../src/io/mask.ts';
import { pasteBack } from '../../src/io/paste-back.ts';
import { difference, pillow, pillowGrey, pillowImage, sha256 } from './pillow.ts';

const grey = (width: number, ...data: number[]): GreyImage => ({
  width,
  height: data.length / width,
  data: Uint8Array.from(data),
  channels: 1,
});

describe('preprocessMask', () => {
  it('cuts images at 127 and 128 of 255', () => {
    expect(preprocessMask(grey(4, 0, 127, 128, 255))).toEqual(
      ndarray(Float32Array.of(0, 0, 1, 1), [1, 1, 1, 4], 'nchw'),
    );
  });

  it('takes the luma of a colour picture', () => {
    expect(sha256(rgbToGrey(pillowImage('base.png')).data)).toBe(pillow.luma);
    const green = { width: 1, height: 1, data: Uint8Array.of(0, 255, 0) };
    const blue = { width: 1, height: 1, data: Uint8Array.of(0, 0, 255) };
    expect([...preprocessMask([green, blue], 2).data]).toEqual([1, 0]);
  });

  it('takes arrays of two, three and four axes, integers too, without changing them', () => {
    const data = Float32Array.of(0.2, 0.5, 0.49, 1);
    for (const shape of [
      [2, 2],
      [1, 2, 2],
      [1, 1, 2, 2],
    ]) {
      expect(preprocessMask({ data, shape })).toMatchObject({ data: Float32Array.of(0, 1, 0, 1), shape: [1, 1, 2, 2] });
    }
    expect(data[0]).toBeCloseTo(0.2);
    expect(preprocessMask({ data: [0, 1, 1, 0], shape: [2, 1, 2] }, 2).shape).toEqual([2, 1, 1, 2]);
  });

  it('stacks lists of planes and joins lists of batches', () => {
    const plane = { data: [0, 1], shape: [1, 2] };
    expect(preprocessMask([plane, plane], 2).shape).toEqual([2, 1, 1, 2]);
    const batch = { data: [0, 1, 1, 1], shape: [2, 1, 1, 2] };
    expect(preprocessMask([batch, batch], 4)).toMatchObject({
      data: Float32Array.of(0, 1, 1, 1, 0, 1, 1, 1),
      shape: [4, 1, 1, 2],
    });
  });

  it('repeats one mask for all prompts', () => {
    expect(preprocessMask(grey(2, 255, 0), 3)).toMatchObject({
      data: Float32Array.of(1, 0, 1, 0, 1, 0),
      shape: [3, 1, 1, 2],
    });
  });

  it('refuses what is no mask', () => {
    const mask =
      (data: number[], shape: number[]): (() => unknown) =>
      () =>
        preprocessMask({ data, shape });
    expect(mask([0, 255], [1, 2])).toThrowErrorMatchingInlineSnapshot(
      `[InputError: preprocessMask: a mask value outside [0, 1]: got 255. Divide bytes by 255.]`,
    );
    expect(mask([0, -0.1], [1, 2])).toThrowErrorMatchingInlineSnapshot(
      `[InputError: preprocessMask: a mask value outside [0, 1]: got -0.10000000149011612. Divide bytes by 255.]`,
    );
    expect(mask([0, Number.NaN], [1, 2])).toThrowErrorMatchingInlineSnapshot(
      `[InputError: preprocessMask: a mask value outside [0, 1]: got NaN. Divide bytes by 255.]`,
    );
    expect(mask([0, 1], [1, 2, 1, 1])).toThrowErrorMatchingInlineSnapshot(
      `[InputError: preprocessMask: a mask has one channel: expected [B, 1, H, W], got [1, 2, 1, 1]]`,
    );
    expect(mask([0, 1], [2])).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: preprocessMask: not a mask: expected 2 to 4 axes, got [2]]`,
    );
    expect(mask([0, 1], [2, 1, 1])).toThrowErrorMatchingInlineSnapshot(
      `[InputError: preprocessMask: masks and prompts differ in number: expected 1 or 1, got 2]`,
    );
    expect(() => preprocessMask([grey(1, 1), { data: [1], shape: [1, 1] }] as never)).toThrow(/mixture/);
  });
});

describe('maskToImage', () => {
  it('draws every value as a square', () => {
    expect(maskToImage({ data: [0, 1], shape: [1, 1, 2] }, 2)).toEqual(grey(4, 0, 0, 255, 255, 0, 0, 255, 255));
  });

  it('shows continuous maps, clipped', () => {
    expect([...maskToImage({ data: [-1, 0.5, 2], shape: [1, 3] }).data]).toEqual([0, 128, 255]);
  });

  it('gives one picture a mask, and refuses several where one is asked for', () => {
    const masks = { data: [0, 1, 1, 0], shape: [2, 1, 1, 2] };
    expect(maskToImages(masks).map(m => [...m.data])).toEqual([
      [0, 255],
      [255, 0],
    ]);
    expect(() => maskToImage(masks)).toThrowErrorMatchingInlineSnapshot(
      `[InputError: maskToImage: not one mask: got [2, 1, 1, 2]. Use maskToImages for a batch.]`,
    );
    expect(() => maskToImage({ data: [1], shape: [1, 1] }, 0)).toThrowErrorMatchingInlineSnapshot(
      `[InputError: maskToImages: not a mask and a whole scale: got [[1, 1], 0]]`,
    );
  });
});

describe('dilate and gaussianBlur', () => {
  it('dilates as Pillow MaxFilter(7) does', () => {
    expect(dilate(pillowGrey('mask.png'), 3)).toEqual(pillowGrey('mask-max7.png'));
  });

  it('blurs as a reference in float64 does', () => {
    expect(
      difference(gaussianBlur(pillowGrey('mask.png'), 2).data, pillowGrey('mask-blur2.png').data).worst,
    ).toBeLessThanOrEqual(1);
  });

  it('dilates and blurs each map of a batch by itself', () => {
    const batch = ndarray(Float32Array.of(0, 0, 1, 0, 0, 0), [2, 1, 3]);
    expect([...dilateMap(batch, 1).data]).toEqual([0, 1, 1, 0, 0, 0]);
    const blurred = blurMap(batch, 0.5).data;
    expect(blurred[1]).toBeGreaterThan(0);
    expect([...blurred.slice(3)]).toEqual([0, 0, 0]);
  });

  it('keeps a constant constant, and everything at radius 0', () => {
    const flat = ndarray(new Float32Array(35).fill(0.25), [5, 7]);
    for (const v of blurMap(flat, 1.7).data) expect(v).toBeCloseTo(0.25, 6);
    const map = ndarray(Float32Array.of(1, 2, 3), [1, 3]);
    expect(dilateMap(map, 0).data).toEqual(map.data);
    expect(blurMap(map, 0)).toBe(map);
  });

  it('reads the ends of a line for all that a wide blur finds beyond them, however wide it is', () => {
    const line = [0.9, 0.1, 0.4, 0.2, 0.7];
    const blurred = (sigma: number) => blurMap(ndarray(Float32Array.from(line), [1, 5]), [sigma, 0]).data;
    for (const sigma of [0.8, 1.2, 3, 40]) {
      const reach = Math.floor(4 * sigma + 0.5);
      for (const [i, value] of blurred(sigma).entries()) {
        let [sum, weights] = [0, 0];
        for (let d = -reach; d <= reach; d++) {
          const weight = Math.exp(-0.5 * (d / sigma) ** 2);
          sum += weight * line[Math.min(4, Math.max(0, i + d))];
          weights += weight;
        }
        expect(value).toBeCloseTo(sum / weights, 6);
      }
    }
    for (const value of blurred(1e300)) expect(value).toBeCloseTo((0.9 + 0.7) / 2, 3);
    expect([...blurMap(ndarray(Float32Array.of(0.25), [1, 1]), 1e9).data]).toEqual([0.25]);
  });

  it('refuse sizes that make no sense', () => {
    const map = ndarray(Float32Array.of(1), [1, 1]);
    expect(() => dilateMap(map, 1.5)).toThrowErrorMatchingInlineSnapshot(
      `[InputError: dilate: the radius is no whole number >= 0: got 1.5]`,
    );
    expect(() => blurMap(map, -1)).toThrowErrorMatchingInlineSnapshot(
      `[InputError: blur: sigma is no number >= 0: got -1]`,
    );
  });
});

describe('pasteBack', () => {
  it('gives the bytes of Pillow Image.composite', () => {
    const done = pasteBack(
      pillowImage('paste-original.png'),
      pillowImage('paste-edited.png'),
      pillowGrey('mask-blur2.png'),
    );
    expect(done).toEqual(pillowImage('paste-result.png'));
  });

  it('leaves the picture untouched under black and takes the edit under white, at the original size', () => {
    const original = pillowImage('base.png');
    const edited = pillowImage('noise.png');
    expect(pasteBack(original, edited, grey(1, 0)).data).toEqual(original.data);
    const all = pasteBack(original, edited, grey(1, 255));
    expect([all.width, all.height]).toEqual([61, 43]);
    expect(all.data).not.toEqual(original.data);
  });
});

describe('sideBySide', () => {
  it('sets pictures in a row at the height of the first', () => {
    const red = { width: 1, height: 2, data: Uint8Array.of(255, 0, 0, 255, 0, 0) };
    const sheet = sideBySide([red, grey(2, 0, 0, 0, 0), greyToRgb(grey(4, ...new Array<number>(16).fill(9)))], {
      gap: 1,
      background: [1, 2, 3],
    });
    expect([sheet.width, sheet.height]).toEqual([1 + 1 + 1 + 2 + 1 + 2 + 1, 4]);
    const pixel = (x: number, y: number): number[] => [...sheet.data.slice((y * 9 + x) * 3, (y * 9 + x) * 3 + 3)];
    expect([pixel(0, 0), pixel(1, 1), pixel(2, 1), pixel(3, 2), pixel(6, 1), pixel(8, 3)]).toEqual([
      [1, 2, 3],
      [255, 0, 0],
      [1, 2, 3],
      [0, 0, 0],
      [9, 9, 9],
      [1, 2, 3],
    ]);
    expect(() => sideBySide([])).toThrow(/empty list/);
  });
});

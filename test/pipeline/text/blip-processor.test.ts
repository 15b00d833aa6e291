import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import type { RgbImage } from '../../../src/io/image.ts';
import { BLIP_PROCESSOR, parseBlipProcessor, processPictures } from '../../../src/pipeline/text/blip-processor.ts';
import { goldenPath } from '../../support/checkpoint.ts';
import { loadGolden } from '../../support/golden.ts';

const golden = loadGolden('blip');
const config = parseBlipProcessor(
  JSON.parse(readFileSync(goldenPath('blip/model/preprocessor_config.json'), 'utf8')),
  'preprocessor_config.json',
);

function goldenPicture(): RgbImage {
  const { data, shape } = golden.ints('image');
  return { width: shape[1] as number, height: shape[0] as number, data: Uint8Array.from(data) };
}

test('the recorded picture gives the recorded pixels to the bit', () => {
  const pixels = processPictures(goldenPicture(), config);
  const expected = golden.floats('pixel_values');
  expect(pixels.shape).toEqual(expected.shape);
  expect(pixels.data).toEqual(expected.data);
});

test('several pictures of several sizes become one batch, each as alone', () => {
  const [a, b] = [goldenPicture(), { width: 2, height: 1, data: Uint8Array.of(0, 10, 20, 250, 240, 255) }];
  const both = processPictures([a, b], config);
  expect(both.shape).toEqual([2, 3, 48, 48]);
  const half = both.data.length / 2;
  expect(both.data.slice(0, half)).toEqual(processPictures(a, config).data);
  expect(both.data.slice(half)).toEqual(processPictures(b, config).data);
});

test('grey pictures count as R = G = B', () => {
  const grey = { width: 2, height: 1, data: Uint8Array.of(7, 200), channels: 1 } as const;
  const rgb = { width: 2, height: 1, data: Uint8Array.of(7, 7, 7, 200, 200, 200) };
  expect(processPictures(grey, config)).toEqual(processPictures(rgb, config));
});

test('each step can be switched off', () => {
  const picture = { width: 2, height: 1, data: Uint8Array.of(0, 51, 255, 1, 2, 3) };
  const off = { ...config, resize: false };
  expect([...processPictures(picture, { ...off, rescale: false, normalize: false }).data]).toEqual([
    0, 1, 51, 2, 255, 3,
  ]);
  expect(processPictures(picture, { ...off, normalize: false }).data[2]).toBe(Math.fround(0.2));
  const mean = Math.fround(config.mean[0]);
  const raw = processPictures(picture, { ...off, rescale: false }).data[1] as number;
  expect(raw).toBe(Math.fround(Math.fround(1 - mean) / Math.fround(config.std[0])));
  expect(processPictures(picture, off).shape).toEqual([1, 3, 1, 2]);
});

test('another size may be asked for', () => {
  expect(processPictures(goldenPicture(), config, { height: 16, width: 40 }).shape).toEqual([1, 3, 16, 40]);
  expect(processPictures(goldenPicture(), { ...config, resize: false }, { height: 16, width: 40 }).shape).toEqual([
    1, 3, 16, 40,
  ]);
});

test('what the file leaves out is as published', () => {
  expect(parseBlipProcessor({}, 'preprocessor_config.json')).toEqual(BLIP_PROCESSOR);
  const published = {
    do_resize: true,
    size: { height: 384, width: 384 },
    resample: 3,
    rescale_factor: 0.00392156862745098,
    processor_class: 'BlipProcessor',
  };
  expect(parseBlipProcessor(published, 'preprocessor_config.json')).toEqual(BLIP_PROCESSOR);
  expect(parseBlipProcessor({ resample: 2 }, 'preprocessor_config.json').resample).toBe('bilinear');
});

test('refuses damaged files and pictures, by name', () => {
  const parse = (json: unknown) => () => parseBlipProcessor(json, 'preprocessor_config.json');
  expect(parse([])).toThrowErrorMatchingInlineSnapshot(
    `[InputError: BlipProcessor: unsupported file: expected a JSON object, got [] (preprocessor_config.json). Use the preprocessor_config.json of a BLIP model.]`,
  );
  expect(parse({ resample: 0 })).toThrowErrorMatchingInlineSnapshot(
    `[InputError: BlipProcessor: unsupported resample: expected 1, 2, 3 or 4, a filter of Pillow, got 0 (preprocessor_config.json). Use the preprocessor_config.json of a BLIP model.]`,
  );
  expect(parse({ size: { shortest_edge: 384 } })).toThrowErrorMatchingInlineSnapshot(
    `[InputError: BlipProcessor: unsupported size: expected height and width in pixels, got {"shortest_edge":384} (preprocessor_config.json). Use the preprocessor_config.json of a BLIP model.]`,
  );
  expect(parse({ image_mean: [0.5] })).toThrowErrorMatchingInlineSnapshot(
    `[InputError: BlipProcessor: unsupported image_mean: expected three numbers, got [0.5] (preprocessor_config.json). Use the preprocessor_config.json of a BLIP model.]`,
  );
  expect(parse({ do_rescale: 'yes' })).toThrowErrorMatchingInlineSnapshot(
    `[InputError: BlipProcessor: unsupported do_rescale: expected true or false, got "yes" (preprocessor_config.json). Use the preprocessor_config.json of a BLIP model.]`,
  );
  const picture = { width: 1, height: 1, data: Uint8Array.of(1, 2, 3) };
  const off = { ...config, resize: false };
  expect(() => processPictures([picture, goldenPicture()], off)).toThrowErrorMatchingInlineSnapshot(
    `[InputError: BlipProcessor: pictures of several sizes, and the config does not resize them: expected 1 x 1, got 75 x 61. Resize them first, or pass a size.]`,
  );
  expect(() => processPictures([], config)).toThrowErrorMatchingInlineSnapshot(
    `[InputError: BlipProcessor: an empty list of pictures]`,
  );
  expect(() => processPictures({ ...picture, width: 2 }, config)).toThrowErrorMatchingInlineSnapshot(
    `[InputError: BlipProcessor: the data of a 2 x 1 picture has another length: expected 6 bytes, got 3. Pass width * height * 3 bytes, R G B.]`,
  );
  expect(() => processPictures(picture, config, { height: 0, width: 4 })).toThrowErrorMatchingInlineSnapshot(
    `[InputError: resize: sides must be positive whole: got 4 x 0]`,
  );
});

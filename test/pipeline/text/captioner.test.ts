import { describe, expect, test } from 'vitest';
import type { NdArray } from '../../../src/core/ndarray.ts';
import { Generator } from '../../../src/schedulers/index.ts';
import { openCaptioner } from '../../support/captioner.ts';
import { loadGolden } from '../../support/golden.ts';
import { picture } from '../../support/pipeline.ts';

const golden = loadGolden('blip');
const variants = loadGolden('blip-variants');

function rows(name: string): number[][] {
  const { data, shape } = (golden.has(name) ? golden : variants).ints(name);
  const [count, length] = shape as [number, number];
  return Array.from({ length: count }, (_, r) => [...data.subarray(r * length, (r + 1) * length)]);
}

function floats(name: string): NdArray {
  return (golden.has(name) ? golden : variants).floats(name);
}

describe.each(['float32', 'float16'] as const)('in %s', dtype => {
  test('greedy, by beams and without a prefix the ids are the recorded ones', async () => {
    const blip = await openCaptioner('test/golden/blip/model', { dtype });
    const input = { pixels: floats('pixel_values'), ids: rows('prefix_ids') };
    expect((await blip.generate(input, { maxNewTokens: 12 })).sequences).toEqual(rows('greedy'));
    expect((await blip.generate(input, { maxNewTokens: 12, numBeams: 3 })).sequences).toEqual(rows('beam3'));
    expect((await blip.generate({ pixels: input.pixels }, { maxNewTokens: 12 })).sequences).toEqual(
      rows('unconditional'),
    );
    blip.dispose();
  });
});

test('a checkpoint of torch.save writes the same ids', async () => {
  const blip = await openCaptioner('test/golden/blip-variants/model');
  const input = { pixels: floats('pixel_values'), ids: rows('prefix_ids') };
  expect((await blip.generate(input, { maxNewTokens: 12 })).sequences).toEqual(rows('greedy'));
  blip.dispose();
});

test('sampled ids are those of the same seed in torch', async () => {
  const blip = await openCaptioner('test/golden/blip/model');
  const input = { pixels: floats('pixel_values'), ids: rows('prefix_ids') };
  for (const seed of [0, 1]) {
    const options = { doSample: true, temperature: 0.8, topK: 10, maxNewTokens: 12, numReturnSequences: 3 };
    const { sequences } = await blip.generate(input, { ...options, generator: new Generator(seed) });
    expect(sequences).toEqual(rows(`sampled.${seed}`));
  }
  blip.dispose();
});

test('a batch of pictures with one prefix writes one caption each', async () => {
  const blip = await openCaptioner('test/golden/blip/model');
  const [ids] = rows('prefix_ids') as [number[]];
  const { sequences } = await blip.generate({ pixels: floats('pixels'), ids: [ids, ids] }, { maxNewTokens: 12 });
  expect(sequences).toEqual(rows('batch'));
  blip.dispose();
});

test('20 ids follow the start where nothing else is asked for', async () => {
  const blip = await openCaptioner('test/golden/blip/model');
  expect((await blip.generate({ pixels: floats('pixel_values') })).sequences).toEqual(rows('default_length'));
  blip.dispose();
});

test.each(['64x64', '48x96', '40x24', '71x83'])(
  'pictures of %s are captioned with interpolated positions',
  async size => {
    const blip = await openCaptioner('test/golden/blip/model');
    const input = { pixels: floats(`size.${size}.pixels`), interpolatePositions: true };
    expect((await blip.generate(input, { maxNewTokens: 12 })).sequences).toEqual(rows(`size.${size}.greedy`));
    blip.dispose();
  },
);

test('an odd model ends at its own length, whatever its widths', async () => {
  const blip = await openCaptioner('test/golden/blip-variants/odd');
  const { sequences } = await blip.generate(
    { pixels: floats('odd.pixels'), ids: [[98, 5, 17, 90, 2]] },
    { maxNewTokens: 9 },
  );
  expect(sequences).toEqual(rows('odd.greedy'));
  blip.dispose();
});

test('a picture and a prefix become what the recorded arrays hold', async () => {
  const blip = await openCaptioner('test/golden/blip/model');
  const image = picture(golden);
  // The borrowed tokenizer has other words, and more of them: the ids tell how the prefix was cut.
  const { ids } = blip.tokenizer.encode('a b');
  const { text, ids: written } = await blip.caption(image, 'a b', { maxNewTokens: 3 });
  expect(written.slice(0, 3)).toEqual([118, ...ids.slice(1, -1)]);
  expect(written).toHaveLength(6);
  expect(text).toContain('a b');
  await expect(blip.caption(image, 'a bowl')).rejects.toThrow(
    'no row for a token: expected ids from 0 to 119, got "bowl"',
  );
  const alone = await blip.caption(image, undefined, { maxNewTokens: 12 });
  expect([alone.ids]).toEqual(rows('unconditional'));
  blip.dispose();
});

test('the embedded model names the end: [SEP], not the eos of its config', async () => {
  const blip = await openCaptioner('models/orchard/blip');
  expect(blip.config.text).toMatchObject({ startId: 221, endId: 102, padId: 0 });
  blip.dispose();
});

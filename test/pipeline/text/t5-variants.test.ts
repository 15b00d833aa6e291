import { describe, expect, test } from 'vitest';
import type { T5Config } from '../../../src/models/t5/index.ts';
import { T5ForConditionalGeneration } from '../../../src/pipeline/text/t5.ts';
import { Generator } from '../../../src/schedulers/index.ts';
import { goldenPath } from '../../support/checkpoint.ts';
import { expectClose } from '../../support/close.ts';
import { diskFolder } from '../../support/folder.ts';
import { loadGolden } from '../../support/golden.ts';
import { testGpu } from '../../support/gpu.ts';
import { rowsOf } from '../../support/t5.ts';

const golden = loadGolden('t5-variants');

/** What each folder asks for. */
const VARIANTS: Record<string, Partial<T5Config>> = {
  original: { gated: false, activation: 'relu', tied: true, buckets: 8 },
  odd: { gated: true, activation: 'silu', tied: false, encoderLayers: 3, decoderLayers: 1 },
};

describe.each(Object.keys(VARIANTS))('the %s layout', name => {
  const rows = (key: string) => rowsOf(golden.ints(`${name}.${key}`).data, golden.ints(`${name}.${key}`).shape);
  const input = { ids: rows('input_ids'), attentionMask: rows('attention_mask') };
  const open = async (bare: boolean, dtype: 'float32' | 'float16') => {
    const gpu = await testGpu(bare ? { bare } : {});
    return T5ForConditionalGeneration.fromPretrained(diskFolder(goldenPath(`t5-variants/${name}`)), { gpu, dtype });
  };

  test.each([
    [false, 'float32', 1e-4],
    [true, 'float32', 1e-4],
    [false, 'float16', 1e-2],
  ] as const)('gives the recorded logits (bare %s, %s)', async (bare, dtype, tolerance) => {
    const t5 = await open(bare, dtype);
    expect(t5.config).toMatchObject(VARIANTS[name]);
    const { data } = await t5.logits(input, rows('decoder_input_ids'));
    expectClose(data, golden.floats(`${name}.logits`).data, tolerance);
    t5.dispose();
  });

  test('writes the recorded answers: greedy, by beams, by chance', async () => {
    const t5 = await open(false, 'float32');
    const { max_new_tokens: maxNewTokens, greedy, beams, sampled } = golden.json;
    const repetitionPenalty = greedy.repetition_penalty;
    expect((await t5.generate(input, { maxNewTokens, repetitionPenalty })).sequences).toEqual(rows('greedy'));
    const several = { maxNewTokens, numReturnSequences: beams.num_return_sequences };
    expect((await t5.generate(input, { ...several, numBeams: beams.num_beams })).sequences).toEqual(rows('beams'));
    const generator = new Generator(sampled.torch_seed);
    expect((await t5.generate(input, { ...several, doSample: true, generator })).sequences).toEqual(rows('sampled'));
    t5.dispose();
  });

  test('goes on from given ids as recorded, with the start id and without', async () => {
    const t5 = await open(false, 'float32');
    const settings = { maxNewTokens: 6, repetitionPenalty: golden.json.greedy.repetition_penalty };
    const whole = rows('decoder_input_ids').map(row => row.slice(0, 4));
    for (const [key, decoderIds] of [
      ['begun', whole],
      ['begun_bare', whole.map(row => row.slice(1))],
    ] as const) {
      expect((await t5.generate({ ...input, decoderIds }, settings)).sequences).toEqual(rows(key));
      const beams = await t5.generate({ ...input, decoderIds }, { maxNewTokens: 6, numBeams: 3 });
      expect(beams.sequences).toEqual(rows(`${key}_beams`));
    }
    await expect(t5.generate({ ...input, decoderIds: [[0, 4]] })).rejects.toThrowErrorMatchingInlineSnapshot(
      `[InputError: T5ForConditionalGeneration: one answer for each input: expected 3 rows, got 1 (decoderIds)]`,
    );
    await expect(t5.generate({ ...input, decoderIds: [[0], [0, 4], [0]] })).rejects.toThrow('decoderIds');
    t5.dispose();
  });
});

test('an index may name the embeddings once more than the shards do', async () => {
  const folder = diskFolder(goldenPath('t5-variants/original'));
  const name = 'model.safetensors.index.json';
  const index = JSON.parse(await folder.text(name));
  for (const stack of ['encoder', 'decoder']) {
    index.weight_map[`${stack}.embed_tokens.weight`] = 'model-00001-of-00003.safetensors';
  }
  const source = {
    ...folder,
    text: async (path: string) => (path === name ? JSON.stringify(index) : folder.text(path)),
  };
  const warnings: string[] = [];
  const options = { gpu: await testGpu(), onWarning: (m: string) => warnings.push(m) };
  const t5 = await T5ForConditionalGeneration.fromPretrained({ ...source, label: 'original' }, options);
  expect(warnings).toEqual([
    `original/${name} names tensors that no shard holds: encoder.embed_tokens.weight, decoder.embed_tokens.weight`,
  ]);
  const rows = (key: string) => rowsOf(golden.ints(`original.${key}`).data, golden.ints(`original.${key}`).shape);
  const input = { ids: rows('input_ids'), attentionMask: rows('attention_mask') };
  const { data } = await t5.logits(input, rows('decoder_input_ids'));
  expectClose(data, golden.floats('original.logits').data, 1e-4);
  t5.dispose();
});

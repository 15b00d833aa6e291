import { afterAll, expect, test } from 'vitest';
import { generatePrompts, promptRequest } from '../../../src/pipeline/guide/captions-and-prompts.ts';
import { T5ForConditionalGeneration } from '../../../src/pipeline/text/t5.ts';
import { diskFolder } from '../../support/folder.ts';
import { testGpu } from '../../support/gpu.ts';
import { scene, texts, written } from '../../support/guide.ts';
import { seeded } from '../../support/pipeline.ts';
import { renewed } from '../../support/renewed.ts';

const { source, target, seed } = scene;
let t5: T5ForConditionalGeneration;
renewed(async () => {
  t5 = await T5ForConditionalGeneration.fromPretrained(diskFolder('models/orchard/t5'), { gpu: await testGpu() });
});
afterAll(() => t5.dispose());

test("the guide's question has the recorded ids, its space at the end included", () => {
  for (const concept of [source, target]) {
    expect(t5.tokenizer?.encode(promptRequest(concept)).ids).toEqual(written[concept].input_ids);
  }
});

test.each(Object.entries(texts.greedy))('the greedy answer about a %s is the recorded one', async (concept, text) => {
  expect((await t5.generate(promptRequest(concept), { maxNewTokens: 128 })).texts).toEqual([text]);
});

test('draws from one stream give the recorded ids, the source first', async () => {
  const generator = seeded(seed);
  const settings = { doSample: true, numReturnSequences: 16, temperature: 0.8, topK: 10, maxNewTokens: 128, generator };
  for (const concept of [source, target]) {
    const { sequences } = await t5.generate(promptRequest(concept), settings);
    expect(sequences).toEqual(written[concept].ids);
  }
});

test('generatePrompts gives the recorded sentences, and tells of each that is done', async () => {
  const generator = seeded(seed);
  for (const concept of [source, target]) {
    const done: number[] = [];
    const onToken = (e: { readonly row: number; readonly done: boolean }) => {
      if (e.done) done.push(e.row);
    };
    expect(await generatePrompts(t5, concept, { generator, onToken })).toEqual(written[concept].texts);
    expect(done.sort((a, b) => a - b)).toEqual(Array.from({ length: 16 }, (_, i) => i));
  }
});

test('texts are tidied up where that is asked for, with the same ids', async () => {
  const ids = (text: string) => t5.tokenizer?.encode(text, { addSpecialTokens: false }).ids ?? [];
  const input = { ids: [ids('a bowl')], decoderIds: [ids('a bowl . a table')] };
  const write = (cleanUp?: boolean) => t5.generate(input, { maxNewTokens: 1, cleanUp });
  const [tidy, plain] = [await write(true), await write(false)];
  expect(tidy.sequences).toEqual(plain.sequences);
  expect(plain.texts[0]).toMatch(/^a bowl \. a table/);
  expect(tidy.texts[0]).toMatch(/^a bowl\. a table/);
  expect((await write()).texts).toEqual(plain.texts);
});

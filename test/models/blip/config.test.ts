import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { BLIP_BASE, parseBlipConfig } from '../../../src/models/blip/index.ts';
import { goldenPath } from '../../support/checkpoint.ts';

const silent = (message: string): never => {
  throw new Error(message);
};
const parse = (json: unknown) => parseBlipConfig(json, 'config.json', silent);
const text = (changes: object) => () => parse({ text_config: changes });
const vision = (changes: object) => () => parse({ vision_config: changes });

test('what a file leaves out is as published', () => {
  expect(parse({})).toEqual(BLIP_BASE);
  expect(parse({ text_config: null, vision_config: {} })).toEqual(BLIP_BASE);
  expect(parse({ model_type: 'blip', text_config: { num_attention_heads: 12 } })).toEqual(BLIP_BASE);
});

test('reads every field that matters', () => {
  expect(parse(JSON.parse(readFileSync(goldenPath('blip-variants/odd/config.json'), 'utf8')))).toEqual({
    text: {
      vocabulary: 99,
      width: 36,
      hiddenWidth: 37,
      layers: 2,
      heads: 3,
      positions: 20,
      activation: 'gelu_new',
      normEps: 1e-12,
      tied: false,
      startId: 98,
      endId: 102,
      padId: 0,
    },
    vision: {
      width: 30,
      hiddenWidth: 43,
      layers: 2,
      heads: 2,
      imageSize: 25,
      patchSize: 5,
      activation: 'quick_gelu',
      normEps: 1e-5,
    },
  });
});

test('8 heads in the text decoder are taken, with a warning', () => {
  const warnings: string[] = [];
  const config = parseBlipConfig({ text_config: { num_attention_heads: 8 } }, 'config.json', m => warnings.push(m));
  expect(config.text.heads).toBe(8);
  expect(warnings).toMatchInlineSnapshot(`
    [
      "config.json: the text decoder has 8 heads, a slip of early files; published models were trained with 12, and with 8 their captions are wrong. Set text_config.num_attention_heads to 12.",
    ]
  `);
});

test('refuses other models and what is not built, by name', () => {
  expect(() => parse({ model_type: 'blip-2' })).toThrowErrorMatchingInlineSnapshot(
    `[InputError: BlipConfig: unsupported model_type: expected blip, got "blip-2" (config.json). Use the folder of a BLIP captioning model as transformers saves it.]`,
  );
  expect(() => parse({ architectures: ['BlipForQuestionAnswering'] })).toThrowErrorMatchingInlineSnapshot(
    `[InputError: BlipConfig: unsupported architectures: expected BlipForConditionalGeneration or null, got ["BlipForQuestionAnswering"] (config.json). Use the folder of a BLIP captioning model as transformers saves it.]`,
  );
  expect(text({ is_decoder: false })).toThrowErrorMatchingInlineSnapshot(
    `[InputError: BlipConfig: unsupported is_decoder: expected true, got false (config.json text_config). Use the folder of a BLIP captioning model as transformers saves it.]`,
  );
  expect(text({ hidden_act: 'swish' })).toThrowErrorMatchingInlineSnapshot(
    `[InputError: BlipConfig: unsupported hidden_act: expected one of gelu, gelu_new, quick_gelu, relu, got "swish" (config.json text_config). Use the folder of a BLIP captioning model as transformers saves it.]`,
  );
  expect(text({ hidden_size: 100 })).toThrowErrorMatchingInlineSnapshot(
    `[InputError: BlipConfig: unsupported num_attention_heads: expected a divisor of hidden_size 100, got 12 (config.json text_config). Use the folder of a BLIP captioning model as transformers saves it.]`,
  );
  expect(text({ vocab_size: 30522 })).toThrowErrorMatchingInlineSnapshot(
    `[InputError: BlipConfig: unsupported bos_token_id: expected below vocab_size 30522, got 30522 (config.json text_config). Use the folder of a BLIP captioning model as transformers saves it.]`,
  );
  expect(text({ position_embedding_type: 'relative_key' })).toThrowErrorMatchingInlineSnapshot(
    `[InputError: BlipConfig: unsupported position_embedding_type: expected absolute, got "relative_key" (config.json text_config). Use the folder of a BLIP captioning model as transformers saves it.]`,
  );
  expect(vision({ patch_size: 400 })).toThrowErrorMatchingInlineSnapshot(
    `[InputError: BlipConfig: unsupported patch_size: expected at most 384, got 400 (config.json vision_config). Use the folder of a BLIP captioning model as transformers saves it.]`,
  );
  expect(vision({ num_channels: 1 })).toThrowErrorMatchingInlineSnapshot(
    `[InputError: BlipConfig: unsupported num_channels: expected 3, got 1 (config.json vision_config). Use the folder of a BLIP captioning model as transformers saves it.]`,
  );
  const quantized = { quantization_config: { load_in_8bit: true } };
  expect(() => parse(quantized)).toThrow('unsupported quantization_config: expected null');
  expect(() => parse({ a_later_addition: 1, text_config: { torch_dtype: 'float16' } })).not.toThrow();
  expect(() => parse('blip')).toThrowErrorMatchingInlineSnapshot(
    `[InputError: BlipConfig: not a config: expected a JSON object, got "blip" (config.json)]`,
  );
});

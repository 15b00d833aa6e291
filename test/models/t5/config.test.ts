import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { FLAN_T5_LARGE, parseT5Config } from '../../../src/models/t5/config.ts';
import { goldenPath } from '../../support/checkpoint.ts';

const parse = (json: unknown) => parseT5Config(json, 'config.json');

/** google/flan-t5-large, as published. */
const LARGE = {
  architectures: ['T5ForConditionalGeneration'],
  d_ff: 2816,
  d_kv: 64,
  d_model: 1024,
  decoder_start_token_id: 0,
  dropout_rate: 0.1,
  eos_token_id: 1,
  feed_forward_proj: 'gated-gelu',
  initializer_factor: 1.0,
  is_encoder_decoder: true,
  layer_norm_epsilon: 1e-6,
  model_type: 't5',
  n_positions: 512,
  num_decoder_layers: 24,
  num_heads: 16,
  num_layers: 24,
  output_past: true,
  pad_token_id: 0,
  relative_attention_max_distance: 128,
  relative_attention_num_buckets: 32,
  tie_word_embeddings: false,
  torch_dtype: 'float32',
  transformers_version: '4.23.1',
  use_cache: true,
  vocab_size: 32128,
};

describe('parseT5Config', () => {
  test('ignores what nobody knows, as transformers does, but for weights in another form', () => {
    expect(parse({ model_type: 't5', a_later_addition: 1 })).toEqual(parse({ model_type: 't5' }));
    expect(() => parse({ quantization_config: { bits: 4 } })).toThrow('unsupported quantization_config: expected null');
  });

  test('reads Flan-T5', () => {
    expect(parse(LARGE)).toEqual(FLAN_T5_LARGE);
  });

  test('reads the recorded model', () => {
    const json = JSON.parse(readFileSync(goldenPath('t5/model/config.json'), 'utf8'));
    expect(parse(json)).toMatchObject({
      width: 48,
      headWidth: 12,
      heads: 6,
      encoderLayers: 3,
      decoderLayers: 2,
      gated: true,
    });
  });

  test("has the class's defaults: t5-small, ReLU, tied", () => {
    expect(parse({ model_type: 't5' })).toEqual({
      vocabulary: 32128,
      width: 512,
      headWidth: 64,
      heads: 8,
      hiddenWidth: 2048,
      encoderLayers: 6,
      decoderLayers: 6,
      activation: 'relu',
      gated: false,
      buckets: 32,
      maxDistance: 128,
      normEps: 1e-6,
      tied: true,
      startId: 0,
      endId: 1,
      padId: 0,
    });
    expect(parse({ model_type: 't5', num_layers: 4 }).decoderLayers).toBe(4);
    expect(parse({ model_type: 't5', pad_token_id: 3 }).startId).toBe(3);
  });

  test.each([
    ['relu', 'relu', false],
    ['gelu', 'gelu', false],
    ['gated-gelu', 'gelu_new', true],
    ['gated-relu', 'relu', true],
    ['gated-silu', 'silu', true],
    ['gelu_new', 'gelu_new', false],
  ])('feed_forward_proj %s is %s, gated %s', (feed_forward_proj, activation, gated) => {
    expect(parse({ model_type: 't5', feed_forward_proj })).toMatchObject({ activation, gated });
  });

  test('what the file says the activation comes to goes before its name', () => {
    const json = { model_type: 't5', feed_forward_proj: 'gated-gelu', dense_act_fn: 'gelu' };
    expect(parse(json)).toMatchObject({ activation: 'gelu', gated: true });
  });

  test.each([
    [{ model_type: 'mt5' }],
    [{ model_type: 't5', architectures: ['T5EncoderModel'] }],
    [{ model_type: 't5', feed_forward_proj: 'gated-mish' }],
    [{ model_type: 't5', feed_forward_proj: 'gelu-gated' }],
    [{ model_type: 't5', dense_act_fn: 'tanh' }],
    [{ model_type: 't5', is_encoder_decoder: false }],
    [{ model_type: 't5', relative_attention_num_buckets: 6 }],
    [{ model_type: 't5', relative_attention_max_distance: 16 }],
    [{ model_type: 't5', d_kv: 0 }],
    [{ model_type: 't5', decoder_start_token_id: 40000 }],
    [[]],
  ])('refuses %j', json => {
    expect(() => parse(json)).toThrowErrorMatchingSnapshot();
  });
});

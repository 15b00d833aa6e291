import { describe, expect, test } from 'vitest';
import { readLoraKeys } from '../../src/io/lora-keys.ts';

const read = (...names: string[]) => readLoraKeys('loadLoraWeights', names, 'style.safetensors');

describe('one form for all names', () => {
  const block = 'down_blocks.0.attentions.0.transformer_blocks.0.attn1';
  test.each([
    [`unet.${block}.to_q.lora_A.weight`, `unet.${block}.to_q.lora_B.weight`, 'unet', `${block}.to_q`],
    [`unet.${block}.to_q.lora_A.default.weight`, `unet.${block}.to_q.lora_B.default.weight`, 'unet', `${block}.to_q`],
    [
      `base_model.model.${block}.to_q.lora_A.weight`,
      `base_model.model.${block}.to_q.lora_B.weight`,
      undefined,
      `${block}.to_q`,
    ],
    [
      `unet.base_model.model.${block}.to_q.lora_A.weight`,
      `unet.base_model.model.${block}.to_q.lora_B.weight`,
      'unet',
      `${block}.to_q`,
    ],
    [
      `base_model.model.unet.${block}.to_q.lora_A.weight`,
      `base_model.model.unet.${block}.to_q.lora_B.weight`,
      'unet',
      `${block}.to_q`,
    ],
    [
      `unet.${block}.processor.to_q_lora.down.weight`,
      `unet.${block}.processor.to_q_lora.up.weight`,
      'unet',
      `${block}.to_q`,
    ],
    [`${block}.processor.to_q_lora.down.weight`, `${block}.processor.to_q_lora.up.weight`, undefined, `${block}.to_q`],
    [`unet.${block}.to_q.lora.down.weight`, `unet.${block}.to_q.lora.up.weight`, 'unet', `${block}.to_q`],
    [
      'text_encoder.a.q_proj.lora_linear_layer.down.weight',
      'text_encoder.a.q_proj.lora_linear_layer.up.weight',
      'text_encoder',
      'a.q_proj',
    ],
    ['lora_unet_mid_block_x.lora_down.weight', 'lora_unet_mid_block_x.lora_up.weight', 'unet', 'mid_block_x'],
    ['lora_te_text_model_x.lora_down.weight', 'lora_te_text_model_x.lora_up.weight', 'text_encoder', 'text_model_x'],
    ['lora_te1_text_model_x.lora_down.weight', 'lora_te1_text_model_x.lora_up.weight', 'text_encoder', 'text_model_x'],
    ['lycoris_mid_block_x.lora_down.weight', 'lycoris_mid_block_x.lora_up.weight', undefined, 'mid_block_x'],
    [
      'diffusion_model.middle_block.1.x.lora_down.weight',
      'diffusion_model.middle_block.1.x.lora_up.weight',
      'unet',
      'middle_block.1.x',
    ],
  ])('%s', (down, up, network, module) => {
    expect(read(down, up)).toEqual({ modules: [{ network, module, down, up }], unknown: [] });
  });

  test('scalars and middles belong to their module, what is no part of a product is told', () => {
    const name = 'lora_unet_mid_block_resnets_0_conv1';
    const [down, up, mid, alpha] = ['lora_down.weight', 'lora_up.weight', 'lora_mid.weight', 'alpha'].map(
      end => `${name}.${end}`,
    );
    const { modules, unknown } = read(alpha, down, mid, up, 'bundle_emb.word.string_to_param.*');
    expect(modules).toEqual([{ network: 'unet', module: 'mid_block_resnets_0_conv1', down, up, mid, alpha }]);
    expect(unknown).toEqual(['bundle_emb.word.string_to_param.*']);
  });
});

describe('other kinds are refused by name', () => {
  test.each([
    ['lora_unet_x.dora_scale', 'DoRA'],
    ['unet.x.lora_magnitude_vector.weight', 'DoRA'],
    ['lora_unet_x.hada_w1_a', 'LoHa'],
    ['lora_unet_x.lokr_w1', 'LoKr'],
    ['lora_unet_x.on_input', '(IA)3'],
    ['lora_unet_x.oft_blocks', 'OFT'],
    ['lora_unet_x.a1.weight', 'GLoRA'],
    ['lora_unet_x.diff', 'whole differences'],
    ['unet.x.lora_B.bias', 'LoRA with biases'],
    ['text_encoder.x.lora_embedding_A', 'LoRA of a token table'],
  ])('%s is %s', (name, kind) => {
    expect(() => read('lora_unet_a.lora_down.weight', 'lora_unet_a.lora_up.weight', name)).toThrow(
      `the adapter is ${kind}`,
    );
  });

  test.each([
    ['lora_te2_text_model_x.lora_down.weight', 'Stable Diffusion XL'],
    ['text_encoder_2.x.lora_A.weight', 'Stable Diffusion XL'],
    ['lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight', 'Flux'],
    ['transformer.single_transformer_blocks.0.x.lora_A.weight', 'Flux'],
    ['transformer.transformer_blocks.0.x.lora_A.weight', 'a diffusion transformer'],
  ])('%s is for %s', (name, model) => {
    expect(() => read(name)).toThrow(`the adapter was made for ${model}`);
  });

  test('messages name key, file and remedy', () => {
    expect(() => read('lora_unet_x.lokr_w1')).toThrowErrorMatchingInlineSnapshot(
      `[InputError: loadLoraWeights: the adapter is LoKr (Kronecker products), which is not built: expected LoRA: low-rank products of linear layers and convolutions, got lora_unet_x.lokr_w1 (style.safetensors). Merge it into the checkpoint with the program that it comes from, and open the merged model.]`,
    );
    expect(() => read('lora_te2_x.lora_down.weight')).toThrowErrorMatchingInlineSnapshot(
      `[InputError: loadLoraWeights: the adapter was made for Stable Diffusion XL: expected one for Stable Diffusion 1.x or 2.x, got lora_te2_x.lora_down.weight (style.safetensors). An adapter fits only the family of models that it was trained on; look for one of this family.]`,
    );
    expect(() => read('model.diffusion_model.out.2.weight')).toThrowErrorMatchingInlineSnapshot(
      `[WeightsError: loadLoraWeights: the file holds no LoRA: expected pairs such as *.lora_A.weight and *.lora_B.weight, or *.lora_down.weight and *.lora_up.weight, got model.diffusion_model.out.2.weight (style.safetensors). This is a whole model, not an adapter: open it as the model itself.]`,
    );
    expect(() => read('emb_params')).toThrowErrorMatchingInlineSnapshot(
      `[WeightsError: loadLoraWeights: the file holds no LoRA: expected pairs such as *.lora_A.weight and *.lora_B.weight, or *.lora_down.weight and *.lora_up.weight, got emb_params (style.safetensors). This looks like a textual inversion: load it with loadTextualInversion.]`,
    );
    expect(() => read()).toThrowErrorMatchingInlineSnapshot(
      `[WeightsError: loadLoraWeights: the file holds no LoRA: expected pairs such as *.lora_A.weight and *.lora_B.weight, or *.lora_down.weight and *.lora_up.weight, got no tensors (style.safetensors). Name the file that the training script wrote, such as pytorch_lora_weights.safetensors.]`,
    );
  });
});

import { describe, expect, test } from 'vitest';
import { textEncoderLoraModules, unetLoraModules } from '../../../src/models/stable-diffusion/index.ts';
import { fullSize } from '../../support/fake-weights.ts';

describe('a UNet of the published size', () => {
  const keys = [...fullSize('unet').source.tensors.keys()];
  const modules = unetLoraModules(keys);

  test('finds every module under its own name, with dots and with underscores', () => {
    for (const weight of keys.filter(key => key.endsWith('.weight'))) {
      const module = weight.slice(0, -'.weight'.length);
      expect(modules.weightOf(module)).toBe(weight);
      expect(modules.weightOf(module.replaceAll('.', '_'))).toBe(weight);
    }
    expect(modules.weightOf('down_blocks.4.resnets.0.conv1')).toBeUndefined();
    expect(modules.weightOf('')).toBeUndefined();
  });

  // The rows of the original code's checkpoint beside diffusers' names, first and last of each kind.
  test.each([
    ['input_blocks.0.0', 'conv_in'],
    ['time_embed.0', 'time_embedding.linear_1'],
    ['time_embed.2', 'time_embedding.linear_2'],
    ['out.2', 'conv_out'],
    ['input_blocks.1.0.in_layers.2', 'down_blocks.0.resnets.0.conv1'],
    ['input_blocks.2.1.transformer_blocks.0.attn2.to_k', 'down_blocks.0.attentions.1.transformer_blocks.0.attn2.to_k'],
    ['input_blocks.3.0.op', 'down_blocks.0.downsamplers.0.conv'],
    ['input_blocks.4.0.skip_connection', 'down_blocks.1.resnets.0.conv_shortcut'],
    ['input_blocks.8.1.proj_out', 'down_blocks.2.attentions.1.proj_out'],
    ['input_blocks.9.0.op', 'down_blocks.2.downsamplers.0.conv'],
    ['input_blocks.11.0.out_layers.3', 'down_blocks.3.resnets.1.conv2'],
    ['middle_block.0.emb_layers.1', 'mid_block.resnets.0.time_emb_proj'],
    ['middle_block.1.transformer_blocks.0.ff.net.0.proj', 'mid_block.attentions.0.transformer_blocks.0.ff.net.0.proj'],
    ['middle_block.2.in_layers.2', 'mid_block.resnets.1.conv1'],
    ['output_blocks.0.0.in_layers.2', 'up_blocks.0.resnets.0.conv1'],
    ['output_blocks.2.1.conv', 'up_blocks.0.upsamplers.0.conv'],
    [
      'output_blocks.3.1.transformer_blocks.0.attn1.to_out.0',
      'up_blocks.1.attentions.0.transformer_blocks.0.attn1.to_out.0',
    ],
    ['output_blocks.5.2.conv', 'up_blocks.1.upsamplers.0.conv'],
    ['output_blocks.11.0.skip_connection', 'up_blocks.3.resnets.2.conv_shortcut'],
    ['output_blocks.11.1.proj_in', 'up_blocks.3.attentions.2.proj_in'],
  ])('%s is %s', (original, module) => {
    expect(modules.weightOf(original)).toBe(`${module}.weight`);
    expect(modules.weightOf(original.replaceAll('.', '_'))).toBe(`${module}.weight`);
    expect(keys).toContain(`${module}.weight`);
  });

  test('the oldest name of the output projection', () => {
    const attention = 'mid_block.attentions.0.transformer_blocks.0.attn1';
    expect(modules.weightOf(`${attention}.to_out`)).toBe(`${attention}.to_out.0.weight`);
  });
});

test.each(['text_model.', ''])('a text encoder whose keys begin with "%s" is found by every name', prefix => {
  const keys = ['self_attn.q_proj', 'self_attn.out_proj', 'mlp.fc1'].map(
    name => `${prefix}encoder.layers.1.${name}.weight`,
  );
  const modules = textEncoderLoraModules(keys);
  const [query, out, fc1] = keys;
  for (const name of [
    'encoder.layers.1.self_attn.q_proj',
    'text_model_encoder_layers_1_self_attn_q_proj',
    'text_model.encoder.layers.1.self_attn.to_q',
  ])
    expect(modules.weightOf(name)).toBe(query);
  expect(modules.weightOf('text_model.encoder.layers.1.self_attn.to_out')).toBe(out);
  expect(modules.weightOf('text_model_encoder_layers_1_mlp_fc1')).toBe(fc1);
  expect(modules.weightOf('text_model_encoder_layers_2_mlp_fc1')).toBeUndefined();
});

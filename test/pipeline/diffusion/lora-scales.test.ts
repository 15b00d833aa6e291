import { describe, expect, test } from 'vitest';
import { loraScales, peftSettings } from '../../../src/pipeline/diffusion/lora-scales.ts';

const ranked = (...pairs: (readonly [rank: number, alpha?: number])[]) =>
  pairs.map(([rank, alpha], i) => ({ module: `down_blocks.0.x.${i}`, rank, alpha }));

describe('alpha / rank', () => {
  test('of each module by its own rank and alpha', () => {
    expect(loraScales('unet', ranked([4, 2], [8, 8], [16, 1]), undefined)).toEqual([0.5, 1, 1 / 16]);
  });

  test('without an alpha of its own: the one that most modules have', () => {
    expect(loraScales('unet', ranked([4, 2], [4], [8, 2], [2, 1]), undefined)).toEqual([0.5, 0.5, 0.25, 0.5]);
  });

  test('without any: the first rank, as diffusers has it', () => {
    expect(loraScales('unet', ranked([4], [4]), undefined)).toEqual([1, 1]);
    expect(loraScales('unet', ranked([4], [8]), undefined)).toEqual([1, 0.5]);
  });

  test('in a text encoder the first is the first attention, in the order of diffusers', () => {
    const layer = (name: string, rank: number) => ({
      module: `text_model.encoder.layers.${name}`,
      rank,
      alpha: undefined,
    });
    const modules = [
      layer('0.mlp.fc1', 2),
      layer('1.self_attn.out_proj', 16),
      layer('0.self_attn.k_proj', 8),
      layer('0.self_attn.q_proj', 4),
    ];
    expect(loraScales('text_encoder', modules, undefined)).toEqual([2, 0.25, 0.5, 1]);
    expect(loraScales('text_encoder', [layer('1.mlp.fc2', 2), layer('0.mlp.fc2', 4)], undefined)).toEqual([2, 1]);
  });

  test("PEFT's settings come first: patterns by the end of a name, scales by the root of the rank", () => {
    const json = { 'unet.lora_alpha': 8, 'unet.alpha_pattern': { '^x.1': 2, x: 100 }, 'unet.use_rslora': true };
    const settings = peftSettings(json, 'unet.');
    expect(loraScales('unet', ranked([4, 1], [4]), settings)).toEqual([4, 1]);
    expect(loraScales('unet', ranked([4, 1], [4]), peftSettings({ lora_alpha: 8 }, ''))).toEqual([2, 2]);
    expect(peftSettings({ 'text_encoder.lora_alpha': 8 }, 'unet.')).toBeUndefined();
    expect(peftSettings(undefined, '')).toBeUndefined();
    expect(peftSettings({ lora_alpha: 1, use_dora: true }, '')?.dora).toBe(true);
  });
});

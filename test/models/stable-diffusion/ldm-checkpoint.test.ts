import { describe, expect, it } from 'vitest';
import type { TensorSource } from '../../../src/core/tensor-source.ts';
import { viewTensors } from '../../../src/io/tensor-view.ts';
import { foreignCheckpoint } from '../../../src/models/stable-diffusion/checkpoint-kind.ts';
import {
  AutoencoderKL,
  ClipTextModel,
  parseClipTextConfig,
  parseUNetConfig,
  parseVaeConfig,
  SD21_CLIP_TEXT,
  SD21_UNET,
  SD21_VAE,
  UNet2DConditionModel,
} from '../../../src/models/stable-diffusion/index.ts';
import { type LdmNetwork, sortLdmTensors } from '../../../src/models/stable-diffusion/ldm-checkpoint.ts';
import { textConfigOf, unetConfigOf, vaeConfigOf } from '../../../src/models/stable-diffusion/ldm-configs.ts';
import { Weights } from '../../../src/nn/weights.ts';
import { type LdmFile, ldmShapes } from '../../support/single-file.ts';

type Shapes = ReturnType<typeof ldmShapes>;

/** A file of shapes alone. */
function hollow(shapes: Shapes): TensorSource {
  const tensors = [...shapes].map(([name, { shape }]) => {
    return [name, { name, dtype: 'F16', shape, byteLength: 2 * shape.reduce((a, b) => a * b, 1) }] as const;
  });
  return { label: 'hollow', tensors: new Map(tensors), read: async () => {} };
}

/** Configs and networks of a file: every tensor is asked for by a network, and there in its shape. */
function networks(shapes: Shapes, imageSize = 768) {
  const file = hollow(shapes);
  const checkpoint = sortLdmTensors(shapes, false);
  const weights = (network: LdmNetwork) => Weights.open(viewTensors(file, network));
  const facts = { path: 'file', imageSize, training: undefined };
  const unet = parseUNetConfig(unetConfigOf(checkpoint, facts, 8), 'unet');
  const vae = parseVaeConfig(vaeConfigOf(checkpoint, facts), 'vae');
  const text = parseClipTextConfig(textConfigOf(checkpoint, facts), 'text');
  const all = [weights(checkpoint.unet), weights(checkpoint.vae), weights(checkpoint.textEncoder)] as const;
  new UNet2DConditionModel(all[0], unet);
  new AutoencoderKL(all[1], vae);
  new ClipTextModel(all[2], text);
  for (const w of all) {
    w.check();
    expect(w.unused()).toEqual([]);
  }
  return { checkpoint, unet, vae, text };
}

/** A file under changed names, or with tensors more. */
function changed(file: LdmFile, rename: (name: string) => string | undefined, more: Record<string, number[]> = {}) {
  const kept = [...ldmShapes(file)].flatMap(([name, value]) => {
    const to = rename(name);
    return to === undefined ? [] : [[to, value] as const];
  });
  return new Map([...kept, ...Object.entries(more).map(([name, shape]) => [name, { shape }] as const)]);
}
const same = (name: string) => name;

describe('the published architectures', () => {
  it('of Stable Diffusion 2.1: nothing is missing, nothing is left, and the configs are the published ones', () => {
    const { checkpoint, unet, vae, text } = networks(ldmShapes('sd21'));
    expect(checkpoint).toMatchObject({ version: 2, averaged: false, foreign: [], surplus: [] });
    expect([checkpoint.unet.size, checkpoint.vae.size, checkpoint.textEncoder.size]).toEqual([686, 248, 372]);
    expect({ unet, vae, text }).toEqual({ unet: SD21_UNET, vae: SD21_VAE, text: SD21_CLIP_TEXT });
  });

  it('of Stable Diffusion 1.5', () => {
    const { checkpoint, unet, vae, text } = networks(ldmShapes('sd15'), 512);
    expect(checkpoint).toMatchObject({ version: 1, averaged: false, foreign: [], surplus: [] });
    expect([checkpoint.unet.size, checkpoint.vae.size, checkpoint.textEncoder.size]).toEqual([686, 248, 196]);
    const levels = SD21_UNET.levels.map(level => ({ ...level, heads: 8, contextWidth: 768 }));
    expect(unet).toEqual({ ...SD21_UNET, levels, sampleSize: [64, 64] });
    expect(vae).toEqual({ ...SD21_VAE, sampleSize: 512 });
    const small = { width: 768, hiddenWidth: 3072, layers: 12, heads: 12, activation: 'quick_gelu' };
    expect(text).toEqual({ ...SD21_CLIP_TEXT, ...small });
  });

  it('with 23 layers of OpenCLIP, as files written by diffusers have, or 24', () => {
    const short = changed('sd21', name => (name.includes('resblocks.23.') ? undefined : name));
    expect(networks(short).text).toEqual(SD21_CLIP_TEXT);
  });

  it('with CLIP without text_model., the VAE under vae., and what training leaves', () => {
    const renamed = changed(
      'sd15',
      name => name.replace('.transformer.text_model.', '.transformer.').replace('first_stage_model.', 'vae.'),
      {
        ...{ 'model_ema.decay': [], 'model_ema.num_updates': [], 'first_stage_model.loss.logvar': [] },
        ...{ 'cond_stage_model.transformer.logit_scale': [], 'cond_stage_model.logit_scale': [] },
      },
    );
    expect(networks(renamed).checkpoint).toMatchObject({ foreign: [], surplus: [] });
  });

  it("with the autoencoder's attention under diffusers' names, new or old", () => {
    for (const names of [
      ['to_q', 'to_k', 'to_v', 'to_out.0', 'group_norm'],
      ['query', 'key', 'value', 'proj_attn', 'group_norm'],
    ]) {
      const [q, k, v, out, norm] = names;
      const to: Record<string, string> = { q, k, v, proj_out: out, norm };
      const renamed = changed('sd15', name => name.replace(/(mid\.attn_1\.)(\w+)/, (_, at, n) => at + (to[n] ?? n)));
      expect(networks(renamed).checkpoint.foreign).toEqual([]);
    }
  });

  it('takes the moving average by its name without dots', () => {
    const average = Object.fromEntries(
      [...ldmShapes('sd15')]
        .filter(([name]) => name.startsWith('model.diffusion_model.'))
        .map(([name, { shape }]) => [`model_ema.${name.slice(6).replaceAll('.', '')}`, [...shape]]),
    );
    const shapes = changed('sd15', same, average);
    const { unet, averaged } = sortLdmTensors(shapes, true);
    expect(averaged).toBe(true);
    expect(unet.get('down_blocks.0.resnets.0.norm1.weight')?.from).toBe(
      'model_ema.diffusion_modelinput_blocks10in_layers0weight',
    );
    expect([...unet.values()].filter(({ from }) => !shapes.has(from))).toEqual([]);
    expect(sortLdmTensors(shapes, false).unet.get('conv_in.weight')?.from).toBe(
      'model.diffusion_model.input_blocks.0.0.weight',
    );
  });

  it('tells tensors that Stable Diffusion does not have from those that nobody needs', () => {
    const shapes = changed('sd15', same, {
      'first_stage_model.encoder.down.0.attn.0.q.weight': [128, 128, 1, 1],
      'model.diffusion_model.input_blocks.1.2.norm.weight': [320],
      'something.else': [1],
    });
    expect(sortLdmTensors(shapes, false)).toMatchObject({
      foreign: [
        'first_stage_model.encoder.down.0.attn.0.q.weight',
        'model.diffusion_model.input_blocks.1.2.norm.weight',
      ],
      surplus: ['something.else'],
    });
  });
});

describe('what shapes do not tell', () => {
  const facts = { path: 'f.safetensors', imageSize: 512, training: undefined };
  const narrow = (file: LdmFile) => sortLdmTensors(ldmShapes(file), false);

  it('heads that would not divide the channels are asked for', () => {
    const unet = new Map(narrow('tiny2').unet);
    unet.set('down_blocks.0.resnets.0.conv2.weight', { from: 'x', shape: [96, 96, 3, 3] });
    expect(() => unetConfigOf({ ...narrow('tiny2'), unet }, facts, 2)).toThrow(
      'the number of attention heads cannot be told from the shapes: expected levels divisible by heads 64 wide, got [96, 128]',
    );
  });

  it('groups that would not', () => {
    const vae = new Map(narrow('tiny1').vae);
    vae.set('encoder.down_blocks.0.resnets.0.conv2.weight', { from: 'x', shape: [24, 24, 3, 3] });
    expect(() => vaeConfigOf({ ...narrow('tiny1'), vae }, facts)).toThrow('divisible by 32');
  });

  it('a missing tensor that sizes are read from is named', () => {
    const vae = new Map(narrow('tiny1').vae);
    vae.delete('decoder.conv_in.weight');
    expect(() => vaeConfigOf({ ...narrow('tiny1'), vae }, facts)).toThrow('the file lacks decoder.conv_in.weight');
  });
});

describe('other files are called by their names', () => {
  const of = (shapes: Record<string, number[]>) =>
    foreignCheckpoint(new Map(Object.entries(shapes).map(([name, shape]) => [name, { shape }])))?.what;

  it.each([
    ['a LoRA', 'lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight'],
    ['a LoRA', 'unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.lora.up.weight'],
    ['a LoRA', 'base_model.model.text_model.encoder.layers.0.self_attn.q_proj.lora_A.weight'],
    ['a LoRA', 'lora_unet_down_blocks_0_attentions_0_proj_in.hada_w1_a'],
    ['a textual inversion', 'emb_params'],
    ['a textual inversion', 'string_to_param.*'],
    ['a textual inversion', '<cat-toy>'],
    ['a ControlNet', 'control_model.input_blocks.0.0.weight'],
    ['a ControlNet', 'controlnet_cond_embedding.conv_in.weight'],
    ['a VAE alone', 'first_stage_model.encoder.conv_in.weight'],
    ['a VAE alone', 'decoder.mid.block_1.conv1.weight'],
    ['a motion module (AnimateDiff)', 'down_blocks.0.motion_modules.0.temporal_transformer.proj_in.weight'],
    ['Stable Diffusion XL', 'conditioner.embedders.0.transformer.text_model.embeddings.position_embedding.weight'],
    ['Stable Diffusion 3', 'joint_blocks.0.x_block.attn.qkv.weight'],
    ['Flux or a model of its kind', 'double_blocks.0.img_attn.qkv.weight'],
    ["a UNet without its text encoder and VAE, in LDM's names", 'input_blocks.0.0.weight'],
    ["a pipeline's networks under diffusers' names", 'unet.conv_in.weight'],
    ['the UNet of a diffusers folder', 'down_blocks.0.resnets.0.conv1.weight'],
    ['a text encoder alone', 'text_model.encoder.layers.0.mlp.fc1.weight'],
    ['T5', 'encoder.block.0.layer.0.SelfAttention.q.weight'],
    ['an adapter (T2I-Adapter or IP-Adapter)', 'ip_adapter.1.to_k_ip.weight'],
    ['a file of other tensors (x ...)', 'x'],
  ])('%s: %s', (what, name) => {
    expect(of({ [name]: [2, 3] })).toBe(what);
  });

  it('a vector as wide as CLIP under any name', () => {
    expect(of({ 'my-token': [2, 768] })).toBe('a textual inversion');
  });

  it('an empty file', () => {
    expect(of({})).toBe('a file without tensors');
  });

  it.each([
    [9, 'an inpainting model (its UNet takes 9 channels)'],
    [8, 'InstructPix2Pix (its UNet takes 8 channels)'],
    [5, "Stable Diffusion 2's depth model (its UNet takes 5 channels)"],
    [7, "Stable Diffusion's upscaler (its UNet takes 7 channels)"],
    [4, undefined],
  ])('by the channels that enter the UNet: %i', (channels, what) => {
    const shapes = changed('sd15', same);
    shapes.set('model.diffusion_model.input_blocks.0.0.weight', { shape: [320, channels, 3, 3] });
    expect(foreignCheckpoint(shapes)?.what).toBe(what);
  });

  it.each([
    ['Stable Diffusion XL', 'conditioner.embedders.1.model.ln_final.weight'],
    ["Stable Diffusion XL's refiner or a model of its kind", 'conditioner.embedders.0.model.ln_final.weight'],
    ['a ControlNet with its model', 'control_model.input_blocks.0.0.weight'],
    [
      'a UNet with class or size embeddings (Stable Diffusion XL, Stable unCLIP)',
      'model.diffusion_model.label_emb.0.0.weight',
    ],
    ['Flux or a model of its kind', 'model.diffusion_model.double_blocks.0.img_attn.qkv.weight'],
    ['Stable Diffusion 3', 'model.diffusion_model.joint_blocks.0.x_block.attn.qkv.weight'],
    ["Stable Diffusion 2's depth model", 'depth_model.model.pretrained.x'],
  ])('by what stands beside the UNet: %s', (what, name) => {
    expect(foreignCheckpoint(changed('sd15', same, { [name]: [1] }))?.what).toBe(what);
  });

  it.each([
    ['VAE', 'first_stage_model.'],
    ['text encoder', 'cond_stage_model.'],
  ])('a file without its %s', (part, prefix) => {
    expect(foreignCheckpoint(changed('sd15', name => (name.startsWith(prefix) ? undefined : name)))).toEqual({
      what: `a UNet without ${part}`,
      fix: expect.stringContaining('UNet, VAE and text encoder'),
    });
  });
});

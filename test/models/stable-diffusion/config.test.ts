import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import {
  parseClipTextConfig,
  parseUNetConfig,
  parseVaeConfig,
  SD21_CLIP_TEXT,
  SD21_UNET,
  SD21_VAE,
  vaeScaleFactor,
} from '../../../src/models/stable-diffusion/config.ts';

const read = (path: string) => JSON.parse(readFileSync(new URL(`../../golden/${path}`, import.meta.url), 'utf8'));
const unet = (changes: object) => () =>
  parseUNetConfig({ ...read('sd2/model/unet/config.json'), ...changes }, 'unet/config.json');
const vae = (changes: object) => () =>
  parseVaeConfig({ ...read('sd2/model/vae/config.json'), ...changes }, 'vae/config.json');
const text = (changes: object) => () => parseClipTextConfig(changes, 'text_encoder/config.json');

/** What stabilityai/stable-diffusion-2-1 holds. */
const published = {
  unet: {
    _class_name: 'UNet2DConditionModel',
    _diffusers_version: '0.10.0.dev0',
    act_fn: 'silu',
    attention_head_dim: [5, 10, 20, 20],
    block_out_channels: [320, 640, 1280, 1280],
    center_input_sample: false,
    cross_attention_dim: 1024,
    down_block_types: ['CrossAttnDownBlock2D', 'CrossAttnDownBlock2D', 'CrossAttnDownBlock2D', 'DownBlock2D'],
    downsample_padding: 1,
    dual_cross_attention: false,
    flip_sin_to_cos: true,
    freq_shift: 0,
    in_channels: 4,
    layers_per_block: 2,
    mid_block_scale_factor: 1,
    norm_eps: 1e-5,
    norm_num_groups: 32,
    num_class_embeds: null,
    only_cross_attention: false,
    out_channels: 4,
    sample_size: 96,
    up_block_types: ['UpBlock2D', 'CrossAttnUpBlock2D', 'CrossAttnUpBlock2D', 'CrossAttnUpBlock2D'],
    upcast_attention: true,
    use_linear_projection: true,
  },
  vae: {
    _class_name: 'AutoencoderKL',
    _diffusers_version: '0.10.0.dev0',
    act_fn: 'silu',
    block_out_channels: [128, 256, 512, 512],
    down_block_types: ['DownEncoderBlock2D', 'DownEncoderBlock2D', 'DownEncoderBlock2D', 'DownEncoderBlock2D'],
    in_channels: 3,
    latent_channels: 4,
    layers_per_block: 2,
    norm_num_groups: 32,
    out_channels: 3,
    sample_size: 768,
    up_block_types: ['UpDecoderBlock2D', 'UpDecoderBlock2D', 'UpDecoderBlock2D', 'UpDecoderBlock2D'],
  },
  text: {
    architectures: ['CLIPTextModel'],
    bos_token_id: 0,
    dropout: 0.0,
    eos_token_id: 2,
    hidden_act: 'gelu',
    hidden_size: 1024,
    initializer_factor: 1.0,
    intermediate_size: 4096,
    layer_norm_eps: 1e-5,
    max_position_embeddings: 77,
    model_type: 'clip_text_model',
    num_attention_heads: 16,
    num_hidden_layers: 23,
    pad_token_id: 1,
    projection_dim: 512,
    torch_dtype: 'float32',
    vocab_size: 49408,
  },
};

test('reads the published files of Stable Diffusion 2.1 to the constants', () => {
  expect(parseUNetConfig(published.unet, 'c')).toEqual(SD21_UNET);
  expect(parseVaeConfig(published.vae, 'c')).toEqual(SD21_VAE);
  expect(parseClipTextConfig(published.text, 'c')).toEqual(SD21_CLIP_TEXT);
  expect(vaeScaleFactor(SD21_VAE)).toBe(8);
});

test('an empty UNet file has the defaults of the class that wrote it, not those of 2.1', () => {
  const config = parseUNetConfig({}, 'c');
  expect(config.levels.map(level => [level.channels, level.layers, level.heads, level.contextWidth])).toEqual([
    [320, 2, 8, 1280],
    [640, 2, 8, 1280],
    [1280, 2, 8, 1280],
    [1280, 2, 8, 1280],
  ]);
  expect(parseClipTextConfig({}, 'c')).toMatchObject({ width: 512, layers: 12, heads: 8, activation: 'quick_gelu' });
  expect(parseVaeConfig({}, 'c')).toMatchObject({ channels: [64], layers: 1, scalingFactor: 0.18215, sampleSize: 32 });
});

test('reads files of either generation', () => {
  const one = parseUNetConfig(read('sd1/model/unet/config.json'), 'c');
  expect(one.levels).toEqual([
    { channels: 32, layers: 1, heads: 8, contextWidth: 48, downDepth: 1, upDepth: 1 },
    { channels: 48, layers: 1, heads: 8, contextWidth: 48, downDepth: 1, upDepth: 1 },
    { channels: 64, layers: 1, heads: 8, contextWidth: 48, downDepth: 0, upDepth: 0 },
  ]);
  expect(one).toMatchObject({ timeWidth: 128, sampleSize: [8, 8], normGroups: 16, midDepth: 1 });
  const two = parseUNetConfig(read('sd2/model/unet/config.json'), 'c');
  expect(two.levels.map(level => level.heads)).toEqual([2, 2, 4, 4]);
  expect(parseVaeConfig(read('sd1/model/vae/config.json'), 'c')).toMatchObject({ channels: [16, 32], layers: 1 });
  const text = ['sd1', 'sd2'].map(name => parseClipTextConfig(read(`${name}/model/text_encoder/config.json`), 'c'));
  expect(text.map(config => config.activation)).toEqual(['quick_gelu', 'gelu']);
});

test('reads the embedded model', () => {
  const model = (path: string) => {
    return JSON.parse(
      readFileSync(new URL(`../../../models/orchard/stable-diffusion/${path}/config.json`, import.meta.url), 'utf8'),
    );
  };
  expect(parseUNetConfig(model('unet'), 'c').levels.map(level => level.heads)).toEqual([2, 4, 6]);
  expect(parseVaeConfig(model('vae'), 'c').scalingFactor).toBe(0.51063);
  expect(parseClipTextConfig(model('text_encoder'), 'c').layers).toBe(4);
});

test('takes numbers for each level and turns the way up around', () => {
  const config = unet({
    layers_per_block: [1, 2, 3, 4],
    cross_attention_dim: [8, 16, 24, 32],
    attention_head_dim: [1, 2, 4, 8],
    transformer_layers_per_block: [1, 2, 3, 4],
    reverse_transformer_layers_per_block: [8, 7, 6, 5],
    up_block_types: ['CrossAttnUpBlock2D', 'UpBlock2D', 'CrossAttnUpBlock2D', 'CrossAttnUpBlock2D'],
    sample_size: [6, 8],
    time_embedding_dim: 40,
  })();
  expect(config.levels.map(l => [l.layers, l.contextWidth, l.heads, l.downDepth, l.upDepth])).toEqual([
    [1, 8, 1, 1, 5],
    [2, 16, 2, 2, 6],
    [3, 24, 4, 3, 0],
    [4, 32, 8, 0, 8],
  ]);
  expect(config).toMatchObject({ sampleSize: [6, 8], timeWidth: 40, midDepth: 4 });
});

test('the number of heads stands in attention_head_dim; num_attention_heads is refused, as in diffusers', () => {
  expect(unet({ attention_head_dim: 4 })().levels[0]?.heads).toBe(4);
  expect(unet({ attention_head_dim: 4, num_attention_heads: 2 })).toThrowErrorMatchingInlineSnapshot(
    `[InputError: UNetConfig: unsupported num_attention_heads: expected null, for attention_head_dim holds the number of heads, got 2 (unet/config.json). Use a Stable Diffusion 1.x or 2.x folder as diffusers saves it.]`,
  );
});

test('functions go by the names of the writers of the files', () => {
  for (const [name, activation] of Object.entries({ swish: 'silu', mish: 'mish', gelu: 'gelu', relu: 'relu' })) {
    expect(unet({ act_fn: name })().activation).toBe(activation);
    expect(vae({ act_fn: name })().activation).toBe(activation);
  }
  expect(text({})().activation).toBe('quick_gelu');
  for (const name of ['gelu_new', 'gelu_pytorch_tanh', 'gelu_fast', 'gelu_accurate'])
    expect(text({ hidden_act: name })().activation).toBe('gelu_new');
});

test('the text encoder of a whole CLIP is read out of its file', () => {
  const nested = { model_type: 'clip', text_config: { hidden_size: 64, model_type: 'clip_text_model' } };
  expect(text(nested)()).toEqual(text({ hidden_size: 64 })());
  expect(text({ model_type: 'clip' })).toThrow('unsupported model_type: expected clip_text_model, got "clip"');
});

test('fields that nobody knows are named once and ignored, those of other networks are refused', () => {
  const warnings: string[] = [];
  const warn = (message: string) => warnings.push(message);
  const [unetFile, vaeFile] = [read('sd2/model/unet/config.json'), read('sd2/model/vae/config.json')];
  expect(parseUNetConfig({ ...unetFile, decay: 0.9, power: 0.7, _note: 1 }, 'unet/config.json', warn)).toEqual(
    unet({})(),
  );
  expect(parseVaeConfig({ ...vaeFile, a_later_addition: 'on' }, 'vae/config.json', warn)).toEqual(vae({})());
  const guided = parseUNetConfig({ ...unetFile, time_cond_proj_dim: 256 }, 'unet/config.json', warn);
  expect(guided).toEqual(unet({})());
  expect(warnings).toMatchInlineSnapshot(`
    [
      "unet/config.json: unknown fields decay, power; they are ignored.",
      "vae/config.json: unknown field a_later_addition; it is ignored.",
      "unet/config.json: time_cond_proj_dim asks for an embedding of the guidance scale; there is none, as in diffusers.",
    ]
  `);
  const told = console.warn;
  const said: unknown[] = [];
  console.warn = message => said.push(message);
  try {
    unet({ decay: 1 })();
  } finally {
    console.warn = told;
  }
  expect(said).toEqual(['unet/config.json: unknown field decay; it is ignored.']);
});

test.each([
  { class_embed_type: 'timestep' },
  { num_class_embeds: 1000 },
  { addition_embed_type: 'text_time' },
  { dual_cross_attention: true },
  { act_fn: 'snake' },
  { attention_type: 'gated' },
  { only_cross_attention: true },
  { only_cross_attention: [true, false, false, false] },
  { mid_block_only_cross_attention: true },
  { resnet_time_scale_shift: 'scale_shift' },
  { resnet_skip_time_act: true },
  { resnet_out_scale_factor: 2 },
  { mid_block_scale_factor: 2 },
  { encoder_hid_dim: 8 },
  { encoder_hid_dim_type: 'text_proj' },
  { mid_block_type: 'UNetMidBlock2DSimpleCrossAttn' },
  { mid_block_type: null },
  { time_embedding_type: 'fourier' },
  { time_embedding_act_fn: 'silu' },
  { timestep_post_act: 'silu' },
  { time_cond_proj_dim: 0 },
  { class_embeddings_concat: true },
  { cross_attention_norm: 'layer_norm' },
  { down_block_types: ['DownBlock2D', 'DownBlock2D', 'DownBlock2D', 'AttnDownBlock2D'] },
  { up_block_types: ['UpBlock2D'] },
  { block_out_channels: [] },
  { transformer_layers_per_block: [[1, 2], 1, 1, 1] },
  { attention_head_dim: 5 },
  { attention_head_dim: [2, 2] },
  { norm_num_groups: 7 },
  { norm_num_groups: 0 },
  { conv_in_kernel: 4 },
  { conv_out_kernel: 0 },
  { layers_per_block: 1.5 },
  { norm_eps: 'small' },
  { flip_sin_to_cos: 1 },
  { sample_size: [1, 2, 3] },
  { quantization_config: { load_in_8bit: true } },
  { downsample_type: 'conv' },
  { num_attention_heads: 8 },
  { _class_name: 'UNet2DModel' },
])('refuses the UNet with %o, naming field, value and path', changes => {
  const [field] = Object.keys(changes);
  expect(unet(changes)).toThrow(
    new RegExp(`^UNetConfig: unsupported ${field}: expected .+, got .+ \\(unet/config.json\\)`),
  );
});

test.each([
  { shift_factor: 0.1 },
  { latents_mean: [0, 0, 0, 0.1] },
  { latents_std: [1, 1, 2, 1] },
  { down_block_types: ['DownEncoderBlock2D'] },
  { up_block_types: ['UpDecoderBlock2D', 'UpDecoderBlock2D', 'UpDecoderBlock2D', 'AttnUpDecoderBlock2D'] },
  { act_fn: 'snake' },
  { scaling_factor: 0 },
  { norm_num_groups: 5 },
  { use_quant_conv: 'yes' },
  { temporal_compression_ratio: 4 },
  { quantization_config: {} },
])('refuses the autoencoder with %o', changes => {
  const [field] = Object.keys(changes);
  expect(vae(changes)).toThrow(new RegExp(`^VaeConfig: unsupported ${field}: expected .+ \\(vae/config.json\\)`));
});

test.each([
  { hidden_act: 'laplace' },
  { quantization_config: {} },
  { model_type: 't5' },
  { use_attention_mask: true },
  { num_attention_heads: 3 },
  { num_hidden_layers: 0 },
])('refuses the text encoder with %o', changes => {
  const [field] = Object.keys(changes);
  expect(text(changes)).toThrow(
    new RegExp(`^ClipTextConfig: unsupported ${field}: expected .+ \\(text_encoder/config.json\\)`),
  );
});

test('takes what changes nothing', () => {
  const inert = {
    dropout: 0.1,
    upcast_attention: true,
    use_linear_projection: false,
    a_later_addition: null,
    _note: 'x',
  };
  expect(unet(inert)()).toEqual(unet({})());
  expect(vae({ force_upcast: false, a_later_addition: false })()).toEqual(vae({})());
  expect(vae({ shift_factor: 0, latents_mean: [0, 0, 0, 0], latents_std: [1, 1, 1, 1] })()).toEqual(vae({})());
});

test('honours the switches of the autoencoder', () => {
  const off = {
    mid_block_add_attention: false,
    use_quant_conv: false,
    use_post_quant_conv: false,
    scaling_factor: 0.5,
  };
  expect(vae(off)()).toMatchObject({ midAttention: false, quantConv: false, postQuantConv: false, scalingFactor: 0.5 });
});

test('says what is wrong', () => {
  expect(unet({ class_embed_type: 'timestep' })).toThrowErrorMatchingInlineSnapshot(
    `[InputError: UNetConfig: unsupported class_embed_type: expected null, got "timestep" (unet/config.json). Use a Stable Diffusion 1.x or 2.x folder as diffusers saves it.]`,
  );
  expect(unet({ attention_head_dim: 5 })).toThrowErrorMatchingInlineSnapshot(
    `[InputError: UNetConfig: unsupported attention_head_dim: expected a divisor of 32 channels at level 0, got [5,5,5,5] (unet/config.json). Use a Stable Diffusion 1.x or 2.x folder as diffusers saves it.]`,
  );
  expect(unet({ block_out_channels: [32, 32, 64] })).toThrowErrorMatchingInlineSnapshot(
    `[InputError: UNetConfig: unsupported down_block_types: expected 3 entries, as block_out_channels has, got ["CrossAttnDownBlock2D","CrossAttnDownBlock2D","CrossAttnDownBlock2D","DownBlock2D"] (unet/config.json). Use a Stable Diffusion 1.x or 2.x folder as diffusers saves it.]`,
  );
  expect(() => parseVaeConfig([], 'vae/config.json')).toThrowErrorMatchingInlineSnapshot(
    `[InputError: VaeConfig: not a config: expected a JSON object, got [] (vae/config.json)]`,
  );
});

/**
 * Configs of the three networks of Stable Diffusion 1.x and 2.x: read from the config.json of each model folder, or
 * taken from the constants here, which hold Stable Diffusion 2.1's values. A field that a file leaves out has the
 * default of the class that wrote the file (diffusers 0.34, transformers 4.57), never 2.1's.
 */
import { checkMember } from '../../core/kinds.ts';
import { ConfigReader } from '../config-reader.ts';
import type { StableDiffusionActivation } from './activation.ts';

/** One resolution of the UNet: what its down block and its up block share. */
export interface UNetLevel {
  /** Width of the feature maps. */
  readonly channels: number;
  /** Residual blocks on the way down; the way up has one more. */
  readonly layers: number;
  /** Attention heads; each is channels / heads wide. */
  readonly heads: number;
  /** Width of the text embeddings that cross-attention reads. */
  readonly contextWidth: number;
  /** Transformer blocks behind each residual block on the way down; 0 where that block has no attention. */
  readonly downDepth: number;
  /** The same on the way up. */
  readonly upDepth: number;
}

/** Config of UNet2DConditionModel. */
export interface UNetConfig {
  /** Channels of the latents that come in: 4. */
  readonly inChannels: number;
  /** Channels of the prediction: 4. */
  readonly outChannels: number;
  /** Latent [height, width] that the model was trained on. */
  readonly sampleSize: readonly [number, number];
  /** Highest resolution first. */
  readonly levels: readonly UNetLevel[];
  /** Transformer blocks at the lowest resolution. */
  readonly midDepth: number;
  /** Width T of the time embedding. */
  readonly timeWidth: number;
  /** Cosines before sines. */
  readonly flipSinToCos: boolean;
  /** Frequencies of the time embedding are 10000^(-i / (T0 / 2 - freqShift)), T0 the first level's width; 0 in Stable Diffusion. */
  readonly freqShift: number;
  /** The network sees 2x - 1. */
  readonly centerInputSample: boolean;
  /** Groups of every GroupNorm; divides all channel counts. */
  readonly normGroups: number;
  /** Added to variances: 1e-5. */
  readonly normEps: number;
  /** Pixels of zeros around a map before it is halved: 0 or 1. */
  readonly downsamplePadding: number;
  /** Side of the first kernel, odd. */
  readonly convInKernel: number;
  /** Side of the last kernel, odd. */
  readonly convOutKernel: number;
  /** Function behind norms and in the time embedding; default silu. */
  readonly activation?: StableDiffusionActivation;
}

/** Config of AutoencoderKL. */
export interface VaeConfig {
  /** Channels of pictures that are encoded: 3. */
  readonly inChannels: number;
  /** Channels of decoded pictures: 3. */
  readonly outChannels: number;
  /** Channels of latents: 4. */
  readonly latentChannels: number;
  /** Highest resolution first; each further level halves the sides. */
  readonly channels: readonly number[];
  /** Residual blocks of an encoder level; a decoder level has one more. */
  readonly layers: number;
  /** Groups of every GroupNorm; divides all channel counts. */
  readonly normGroups: number;
  /** Whether the lowest level has an attention block. */
  readonly midAttention: boolean;
  /** Whether a 1x1 convolution follows the encoder. */
  readonly quantConv: boolean;
  /** Whether a 1x1 convolution precedes the decoder. */
  readonly postQuantConv: boolean;
  /** Picture side in pixels that the model was trained on, the tile of tiled runs. */
  readonly sampleSize: number;
  /** The UNet works on latents multiplied by this. */
  readonly scalingFactor: number;
  /** Function in the residual blocks; default silu. */
  readonly activation?: StableDiffusionActivation;
}

/** Config of CLIPTextModel. */
export interface ClipTextConfig {
  /** Number of ids: V. */
  readonly vocabulary: number;
  /** Width of the embeddings: D. */
  readonly width: number;
  /** Width inside the feed-forward networks, 4 D. */
  readonly hiddenWidth: number;
  /** Transformer blocks. */
  readonly layers: number;
  /** Attention heads; divides D. */
  readonly heads: number;
  /** Longest input in tokens. */
  readonly positions: number;
  /** Function in the feed-forward networks: gelu or quick_gelu in the published models. */
  readonly activation: StableDiffusionActivation;
  /** Added to variances: 1e-5. */
  readonly normEps: number;
}

/** Stable Diffusion 2.1's UNet: 865,910,724 parameters. */
export const SD21_UNET: UNetConfig = {
  inChannels: 4,
  outChannels: 4,
  sampleSize: [96, 96],
  levels: [
    { channels: 320, layers: 2, heads: 5, contextWidth: 1024, downDepth: 1, upDepth: 1 },
    { channels: 640, layers: 2, heads: 10, contextWidth: 1024, downDepth: 1, upDepth: 1 },
    { channels: 1280, layers: 2, heads: 20, contextWidth: 1024, downDepth: 1, upDepth: 1 },
    { channels: 1280, layers: 2, heads: 20, contextWidth: 1024, downDepth: 0, upDepth: 0 },
  ],
  midDepth: 1,
  timeWidth: 1280,
  flipSinToCos: true,
  freqShift: 0,
  centerInputSample: false,
  normGroups: 32,
  normEps: 1e-5,
  downsamplePadding: 1,
  convInKernel: 3,
  convOutKernel: 3,
  activation: 'silu',
};

/** Stable Diffusion 2.1's autoencoder: 83,653,863 parameters. */
export const SD21_VAE: VaeConfig = {
  inChannels: 3,
  outChannels: 3,
  latentChannels: 4,
  channels: [128, 256, 512, 512],
  layers: 2,
  normGroups: 32,
  midAttention: true,
  quantConv: true,
  postQuantConv: true,
  sampleSize: 768,
  scalingFactor: 0.18215,
  activation: 'silu',
};

/** Stable Diffusion 2.1's text encoder, OpenCLIP ViT-H/14 without its last layer: 340,387,840 parameters. */
export const SD21_CLIP_TEXT: ClipTextConfig = {
  vocabulary: 49408,
  width: 1024,
  hiddenWidth: 4096,
  layers: 23,
  heads: 16,
  positions: 77,
  activation: 'gelu',
  normEps: 1e-5,
};

const UNET_CHANNELS = [320, 640, 1280, 1280];
const DOWN_TYPES = ['CrossAttnDownBlock2D', 'DownBlock2D'] as const;
const UP_TYPES = ['CrossAttnUpBlock2D', 'UpBlock2D'] as const;
/** diffusers' names of functions. */
const BLOCK_ACTIVATIONS = { silu: 'silu', swish: 'silu', mish: 'mish', gelu: 'gelu', relu: 'relu' } as const;
/** transformers' names of functions; all of the tanh form differ in the order of the same product. */
const TEXT_ACTIVATIONS: Readonly<Record<string, StableDiffusionActivation>> = {
  ...{ gelu: 'gelu', gelu_python: 'gelu', quick_gelu: 'quick_gelu' },
  ...{ gelu_new: 'gelu_new', gelu_pytorch_tanh: 'gelu_new', gelu_fast: 'gelu_new', gelu_accurate: 'gelu_new' },
  ...{ relu: 'relu', silu: 'silu', swish: 'silu', mish: 'mish' },
};
/** Fields of diffusers' other UNets, and of weights that are stored in another form. */
const OTHER_UNETS = [
  ...['add_attention', 'attn_norm_num_groups', 'downsample_type', 'upsample_type', 'num_frames'],
  ...['motion_max_seq_length', 'motion_num_attention_heads', 'use_motion_mid_block', 'use_temporal_transformer'],
  ...['conditioning_embedding_out_channels', 'controlnet_conditioning_channel_order', 'quantization_config'],
];
/** The same of other autoencoders. */
const OTHER_VAES = [
  ...['temporal_compression_ratio', 'temperal_downsample', 'num_vq_embeddings', 'vq_embed_dim', 'patch_size'],
  ...['attention_block_types', 'encoder_block_types', 'decoder_block_types', 'quantization_config'],
];
const consoleWarn = (message: string): void => console.warn(message);

/**
 * Reads unet/config.json.
 * @param json the parsed file
 * @param path its name, for messages
 * @param onWarning told of fields that nobody knows or that have no effect here; default console.warn
 * @throws InputError naming field, value and path where the file asks for something that is not built
 * @see diffusers UNet2DConditionModel
 */
export function parseUNetConfig(
  json: unknown,
  path: string,
  onWarning: (message: string) => void = consoleWarn,
): UNetConfig {
  const c = new ConfigReader('UNetConfig', json, path);
  refuseOtherUNets(c);
  const channels = c.counts('block_out_channels', UNET_CHANNELS);
  const config: UNetConfig = {
    inChannels: c.count('in_channels', 4),
    outChannels: c.count('out_channels', 4),
    sampleSize: sides(c, 'sample_size', 64),
    ...unetLevels(c, channels),
    timeWidth: c.countOrNull('time_embedding_dim') ?? 4 * (channels[0] ?? 0),
    flipSinToCos: c.boolean('flip_sin_to_cos', true),
    freqShift: c.number('freq_shift', 0),
    centerInputSample: c.boolean('center_input_sample', false),
    normGroups: groups(c, channels),
    normEps: c.number('norm_eps', 1e-5),
    downsamplePadding: c.count('downsample_padding', 1, 0),
    convInKernel: oddCount(c, 'conv_in_kernel'),
    convOutKernel: oddCount(c, 'conv_out_kernel'),
    activation: c.named('act_fn', BLOCK_ACTIVATIONS, 'silu'),
  };
  const guided = c.countOrNull('time_cond_proj_dim') !== null;
  c.finish(OTHER_UNETS, onWarning);
  if (guided)
    onWarning(
      `${path}: time_cond_proj_dim asks for an embedding of the guidance scale; there is none, as in diffusers.`,
    );
  return config;
}

/** Fields whose other values select blocks and embeddings of other model families. */
function refuseOtherUNets(c: ConfigReader): void {
  c.only('_class_name', 'UNet2DConditionModel');
  c.only('mid_block_type', 'UNetMidBlock2DCrossAttn');
  c.only('mid_block_scale_factor', 1);
  c.only('time_embedding_type', 'positional');
  c.only('attention_type', 'default');
  c.only('resnet_time_scale_shift', 'default');
  c.only('resnet_out_scale_factor', 1);
  for (const name of ['only_cross_attention', 'mid_block_only_cross_attention', 'dual_cross_attention']) {
    c.only(name, false, null);
  }
  for (const name of ['resnet_skip_time_act', 'class_embeddings_concat']) c.only(name, false, null);
  for (const name of ['class_embed_type', 'num_class_embeds', 'addition_embed_type', 'cross_attention_norm']) {
    c.only(name, null);
  }
  for (const name of ['encoder_hid_dim', 'encoder_hid_dim_type']) c.only(name, null);
  // As in diffusers, where attention_head_dim has held the number of heads since the first files.
  const heads = c.raw('num_attention_heads');
  if (heads != null) c.refuse('num_attention_heads', heads, 'null, for attention_head_dim holds the number of heads');
  for (const name of ['time_embedding_act_fn', 'timestep_post_act']) c.only(name, null);
  // Linear and 1x1 convolution hold the same numbers, scores are f32 always, the rest belongs to what is refused above.
  c.without('use_linear_projection', 'upcast_attention', 'dropout', 'addition_embed_type_num_heads');
  c.without('addition_time_embed_dim', 'projection_class_embeddings_input_dim');
}

function unetLevels(c: ConfigReader, channels: readonly number[]): Pick<UNetConfig, 'levels' | 'midDepth'> {
  const n = channels.length;
  const down = c.words('down_block_types', DOWN_TYPES, [DOWN_TYPES[0], DOWN_TYPES[0], DOWN_TYPES[0], DOWN_TYPES[1]]);
  const up = c.words('up_block_types', UP_TYPES, [UP_TYPES[1], UP_TYPES[0], UP_TYPES[0], UP_TYPES[0]]);
  if (down.length !== n) c.refuse('down_block_types', down, `${n} entries, as block_out_channels has`);
  if (up.length !== n) c.refuse('up_block_types', up, `${n} entries, as block_out_channels has`);
  const layers = c.perLevel('layers_per_block', n, 2);
  const widths = c.perLevel('cross_attention_dim', n, 1280);
  const depths = c.perLevel('transformer_layers_per_block', n, 1);
  const upDepths = c.raw('reverse_transformer_layers_per_block')
    ? [...c.perLevel('reverse_transformer_layers_per_block', n, 1)].reverse()
    : depths;
  // What is called the head's width holds the number of heads, in every published file.
  const named = 'attention_head_dim';
  const heads = c.perLevel(named, n, 8);
  const levels = channels.map((width, i): UNetLevel => {
    const level = { channels: width, layers: at(layers, i), heads: at(heads, i), contextWidth: at(widths, i) };
    if (width % level.heads !== 0) c.refuse(named, heads, `a divisor of ${width} channels at level ${i}`);
    return {
      ...level,
      downDepth: down[i] === 'DownBlock2D' ? 0 : at(depths, i),
      upDepth: up[n - 1 - i] === 'UpBlock2D' ? 0 : at(upDepths, i),
    };
  });
  return { levels, midDepth: at(depths, n - 1) };
}

/**
 * Reads vae/config.json.
 * @param json the parsed file
 * @param path its name, for messages
 * @param onWarning told of fields that nobody knows; default console.warn
 * @throws InputError naming field, value and path where the file asks for something that is not built
 * @see diffusers AutoencoderKL
 */
export function parseVaeConfig(
  json: unknown,
  path: string,
  onWarning: (message: string) => void = consoleWarn,
): VaeConfig {
  const c = new ConfigReader('VaeConfig', json, path);
  c.only('_class_name', 'AutoencoderKL');
  // Later families shift and scale latents by channel; these values leave them as they are.
  c.only('shift_factor', null, 0);
  c.only('latents_mean', null, 0);
  c.only('latents_std', null, 1);
  // Arithmetic is f32 whatever the storage.
  c.without('force_upcast');
  const channels = c.counts('block_out_channels', [64]);
  const down = c.words('down_block_types', ['DownEncoderBlock2D'], ['DownEncoderBlock2D']);
  const up = c.words('up_block_types', ['UpDecoderBlock2D'], ['UpDecoderBlock2D']);
  const blocks = `${channels.length} entries, as block_out_channels has`;
  if (down.length !== channels.length) c.refuse('down_block_types', down, blocks);
  if (up.length !== channels.length) c.refuse('up_block_types', up, blocks);
  const scalingFactor = c.number('scaling_factor', SD21_VAE.scalingFactor);
  if (scalingFactor <= 0) c.refuse('scaling_factor', scalingFactor, 'a number > 0');
  const config: VaeConfig = {
    inChannels: c.count('in_channels', 3),
    outChannels: c.count('out_channels', 3),
    latentChannels: c.count('latent_channels', 4),
    channels,
    layers: c.count('layers_per_block', 1),
    normGroups: groups(c, channels),
    midAttention: c.boolean('mid_block_add_attention', true),
    quantConv: c.boolean('use_quant_conv', true),
    postQuantConv: c.boolean('use_post_quant_conv', true),
    sampleSize: sides(c, 'sample_size', 32)[0],
    scalingFactor,
    activation: c.named('act_fn', BLOCK_ACTIVATIONS, 'silu'),
  };
  c.finish(OTHER_VAES, onWarning);
  return config;
}

/**
 * How many pixels stand behind one latent side.
 * @returns 2^(levels - 1): 8 for Stable Diffusion
 */
export function vaeScaleFactor(config: VaeConfig): number {
  checkMember('vaeScaleFactor', config, 'channels', 'list', 'what parseVaeConfig returns, or SD21_VAE');
  return 2 ** (config.channels.length - 1);
}

/**
 * Reads text_encoder/config.json, or the text_config of a whole CLIP's file. Fields beyond the ones below are generic settings
 * of transformers without effect.
 * @param json the parsed file
 * @param path its name, for messages
 * @throws InputError naming field, value and path where the file asks for something that is not built
 * @see transformers CLIPTextConfig
 */
export function parseClipTextConfig(json: unknown, path: string): ClipTextConfig {
  const whole = new ConfigReader('ClipTextConfig', json, path);
  const part = whole.raw('text_config');
  const c = part == null ? whole : new ConfigReader('ClipTextConfig', part, `${path} text_config`);
  for (const file of [whole, c]) file.only('quantization_config', null);
  c.only('model_type', 'clip_text_model');
  c.only('use_attention_mask', false, null);
  const config: ClipTextConfig = {
    vocabulary: c.count('vocab_size', 49408),
    width: c.count('hidden_size', 512),
    hiddenWidth: c.count('intermediate_size', 2048),
    layers: c.count('num_hidden_layers', 12),
    heads: c.count('num_attention_heads', 8),
    positions: c.count('max_position_embeddings', 77),
    activation: c.named('hidden_act', TEXT_ACTIVATIONS, 'quick_gelu'),
    normEps: c.number('layer_norm_eps', 1e-5),
  };
  if (config.width % config.heads !== 0) {
    c.refuse('num_attention_heads', config.heads, `a divisor of hidden_size ${config.width}`);
  }
  return config;
}

function groups(c: ConfigReader, channels: readonly number[]): number {
  const count = c.count('norm_num_groups', 32);
  const odd = channels.find(width => width % count !== 0);
  return odd === undefined ? count : c.refuse('norm_num_groups', count, `a divisor of ${odd} channels`);
}

function oddCount(c: ConfigReader, name: string): number {
  const size = c.count(name, 3);
  return size % 2 === 1 ? size : c.refuse(name, size, 'an odd number');
}

function sides(c: ConfigReader, name: string, fallback: number): readonly [number, number] {
  const [height, width] = c.perLevel(name, 2, fallback);
  return [height ?? fallback, width ?? fallback];
}

function at(list: readonly number[], i: number): number {
  return list[i] ?? 0;
}

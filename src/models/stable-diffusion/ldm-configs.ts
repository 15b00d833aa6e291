/**
 * Configs in diffusers' and transformers' JSON for the networks of a single-file checkpoint: sizes are read off the tensors, the rest has
 * the values with which all of Stable Diffusion 1.x and 2.x were trained.
 */
import { InputError, WeightsError } from '../../core/errors.ts';
import { indices, type LdmCheckpoint, type LdmNetwork } from './ldm-checkpoint.ts';
import type { HeadRule, LdmTrainingConfig } from './ldm-training-config.ts';

/** A config.json. */
export type ConfigJson = Readonly<Record<string, unknown>>;

/** Every GroupNorm of LDM has so many groups. */
const GROUPS = 32;
/** Width of a head of CLIP's text towers, and of Stable Diffusion 2.x. */
const HEAD_WIDTH = 64;
/** Heads of Stable Diffusion 1.x at every level. */
const HEADS = 8;
/** Of latents, where no training config says otherwise. */
const SCALING = 0.18215;

/** What the shapes do not say. */
export interface LdmConfigFacts {
  /** The file, for messages. */
  readonly path: string;
  /** Side in pixels of the pictures that the model was trained on. */
  readonly imageSize: number;
  /** Where the user has it. */
  readonly training: LdmTrainingConfig | undefined;
}

/** A network's sizes, by the names of its tensors. */
class Sizes {
  readonly network: LdmNetwork;
  readonly #path: string;

  constructor(network: LdmNetwork, path: string) {
    this.network = network;
    this.#path = path;
  }

  /** Size of a tensor along an axis. @throws WeightsError where there is no such tensor */
  of(name: string, axis: number): number {
    const size = this.network.get(name)?.shape[axis];
    if (size !== undefined) return size;
    throw new WeightsError({
      op: 'openSingleFile',
      problem: `the file lacks ${this.network.get(name)?.from ?? name}`,
      path: this.#path,
      fix: 'It is cut short or of another architecture: use a whole Stable Diffusion 1.x or 2.x file.',
    });
  }

  /** How many numbers follow a prefix. */
  count(prefix: string): number {
    return indices(this.network, new RegExp(`^${prefix.replaceAll('.', '\\.')}\\.(\\d+)\\.`)).length;
  }

  has(name: string): boolean {
    return this.network.has(name);
  }
}

/**
 * unet/config.json.
 * @throws WeightsError where tensors are missing; InputError where the number of heads cannot be told, or the training config is another model's
 * @see diffusers create_unet_diffusers_config_from_ldm
 */
export function unetConfigOf(
  { unet }: LdmCheckpoint,
  { path, imageSize, training }: LdmConfigFacts,
  factor: number,
): ConfigJson {
  const sizes = new Sizes(unet, path);
  const levels = Array.from({ length: sizes.count('down_blocks') }, (_, i) => i);
  const channels = levels.map(i => sizes.of(`down_blocks.${i}.resnets.0.conv2.weight`, 0));
  const attentive = (block: string): boolean => sizes.has(`${block}.attentions.0.norm.weight`);
  const depth = (block: string): number => Math.max(1, sizes.count(`${block}.attentions.0.transformer_blocks`));
  const depths = levels.map(i => depth(`down_blocks.${i}`));
  const contextWidth = sizes.of('mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight', 1);
  const linear = unet.get('mid_block.attentions.0.proj_in.weight')?.shape.length === 2;
  compare('channels of the UNet', training?.unetChannels, channels, path);
  compare('context_dim', training?.contextWidth, contextWidth, path);
  const first = channels[0] ?? 0;
  const timeWidth = sizes.of('time_embedding.linear_1.weight', 0);
  return {
    _class_name: 'UNet2DConditionModel',
    act_fn: 'silu',
    attention_head_dim: headsOf(training?.heads ?? (linear ? { width: HEAD_WIDTH } : { count: HEADS }), channels, path),
    block_out_channels: channels,
    center_input_sample: false,
    cross_attention_dim: contextWidth,
    down_block_types: levels.map(i => (attentive(`down_blocks.${i}`) ? 'CrossAttnDownBlock2D' : 'DownBlock2D')),
    downsample_padding: 1,
    flip_sin_to_cos: true,
    freq_shift: 0,
    in_channels: sizes.of('conv_in.weight', 1),
    layers_per_block: sizes.count('down_blocks.0.resnets'),
    mid_block_scale_factor: 1,
    norm_eps: 1e-5,
    norm_num_groups: groupsOf(channels, path),
    out_channels: sizes.of('conv_out.weight', 0),
    sample_size: Math.floor(imageSize / factor),
    ...(timeWidth === 4 * first ? {} : { time_embedding_dim: timeWidth }),
    ...(depths.every(d => d === 1) ? {} : { transformer_layers_per_block: depths }),
    up_block_types: levels.map(i => (attentive(`up_blocks.${i}`) ? 'CrossAttnUpBlock2D' : 'UpBlock2D')),
    use_linear_projection: linear,
  };
}

/** The number of heads: one for all levels, or one for each. */
function headsOf(rule: HeadRule, channels: readonly number[], path: string): number | readonly number[] {
  const heads = channels.map(width => ('count' in rule ? rule.count : width / rule.width));
  const odd = channels.findIndex((width, i) => !Number.isInteger(heads[i]) || width % (heads[i] ?? 1) !== 0);
  if (odd < 0) return 'count' in rule ? rule.count : heads;
  throw new InputError({
    op: 'openSingleFile',
    problem: 'the number of attention heads cannot be told from the shapes',
    expected:
      'count' in rule ? `levels divisible by ${rule.count} heads` : `levels divisible by heads ${rule.width} wide`,
    received: channels,
    path,
    fix: 'Give its training config (originalConfig) or a folder of diffusers configs.',
  });
}

/** Every norm has 32 groups in LDM. @throws InputError where the channels say otherwise */
function groupsOf(channels: readonly number[], path: string): number {
  if (channels.every(width => width % GROUPS === 0)) return GROUPS;
  throw new InputError({
    op: 'openSingleFile',
    problem: 'the number of groups of the norms cannot be told from the shapes',
    expected: `channels divisible by ${GROUPS}, as all models of this format have`,
    received: channels,
    path,
    fix: 'Give a folder of diffusers configs, as config.',
  });
}

/**
 * vae/config.json.
 * @throws as `unetConfigOf`
 * @see diffusers create_vae_diffusers_config_from_ldm
 */
export function vaeConfigOf({ vae }: LdmCheckpoint, { path, imageSize, training }: LdmConfigFacts): ConfigJson {
  const sizes = new Sizes(vae, path);
  const levels = Array.from({ length: sizes.count('encoder.down_blocks') }, (_, i) => i);
  const channels = levels.map(i => sizes.of(`encoder.down_blocks.${i}.resnets.0.conv2.weight`, 0));
  compare('channels of the VAE', training?.vaeChannels, channels, path);
  const each = (type: string): string[] => levels.map(() => type);
  return {
    _class_name: 'AutoencoderKL',
    act_fn: 'silu',
    block_out_channels: channels,
    down_block_types: each('DownEncoderBlock2D'),
    in_channels: sizes.of('encoder.conv_in.weight', 1),
    latent_channels: sizes.of('decoder.conv_in.weight', 1),
    layers_per_block: sizes.count('encoder.down_blocks.0.resnets'),
    ...(sizes.has('encoder.mid_block.attentions.0.to_q.weight') ? {} : { mid_block_add_attention: false }),
    norm_num_groups: groupsOf(channels, path),
    out_channels: sizes.of('decoder.conv_out.weight', 0),
    sample_size: imageSize,
    scaling_factor: training?.scaleFactor ?? SCALING,
    up_block_types: each('UpDecoderBlock2D'),
    ...(sizes.has('post_quant_conv.weight') ? {} : { use_post_quant_conv: false }),
    ...(sizes.has('quant_conv.weight') ? {} : { use_quant_conv: false }),
  };
}

/**
 * text_encoder/config.json.
 * @throws as `unetConfigOf`
 * @see openai/clip-vit-large-patch14 and stabilityai/stable-diffusion-2 on the Hub
 */
export function textConfigOf({ textEncoder, version }: LdmCheckpoint, { path }: LdmConfigFacts): ConfigJson {
  const sizes = new Sizes(textEncoder, path);
  const width = sizes.of('text_model.embeddings.token_embedding.weight', 1);
  if (width % HEAD_WIDTH !== 0) headsOf({ width: HEAD_WIDTH }, [width], path);
  return {
    architectures: ['CLIPTextModel'],
    attention_dropout: 0,
    bos_token_id: 0,
    eos_token_id: 2,
    hidden_act: version === 2 ? 'gelu' : 'quick_gelu',
    hidden_size: width,
    initializer_factor: 1,
    initializer_range: 0.02,
    intermediate_size: sizes.of('text_model.encoder.layers.0.mlp.fc1.weight', 0),
    layer_norm_eps: 1e-5,
    max_position_embeddings: sizes.of('text_model.embeddings.position_embedding.weight', 0),
    model_type: 'clip_text_model',
    num_attention_heads: width / HEAD_WIDTH,
    num_hidden_layers: sizes.count('text_model.encoder.layers'),
    pad_token_id: 1,
    projection_dim: version === 2 ? 512 : 768,
    vocab_size: sizes.of('text_model.embeddings.token_embedding.weight', 0),
  };
}

/** The training config must speak of the file's own model. */
function compare(what: string, expected: unknown, received: unknown, path: string): void {
  if (expected === undefined || JSON.stringify(expected) === JSON.stringify(received)) return;
  throw new InputError({
    op: 'openSingleFile',
    problem: `the training config is of another model: ${what}`,
    expected,
    received,
    path,
    fix: 'Name the YAML that belongs to the checkpoint, or leave it out.',
  });
}

/**
 * scheduler/scheduler_config.json: Stable Diffusion's noise levels, or those of the training config.
 * @param predictionType what the UNet predicts
 */
export function schedulerConfigOf(predictionType: string, training: LdmTrainingConfig | undefined): ConfigJson {
  const [start, end] = training?.betas ?? [0.00085, 0.012];
  return {
    _class_name: 'DDIMScheduler',
    beta_end: end,
    beta_schedule: 'scaled_linear',
    beta_start: start,
    clip_sample: false,
    num_train_timesteps: training?.timesteps ?? 1000,
    prediction_type: predictionType,
    set_alpha_to_one: false,
    steps_offset: 1,
    trained_betas: null,
  };
}

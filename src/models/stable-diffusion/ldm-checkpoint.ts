/**
 * A single-file checkpoint of Stable Diffusion 1.x or 2.x taken apart: which of its tensors belongs to which network, under which name
 * and in which shape, and the configs of the networks, read off those shapes. What shapes do not say (the number of heads, of groups)
 * has the published models' values, or those of the training config that LDM's users keep beside the file.
 */

import { CLIP_PREFIX, OPEN_CLIP_PREFIX, type TensorShapes, UNET_PREFIX, VAE_PREFIXES } from './checkpoint-kind.ts';
import { averageKeyOf, clipNameOf, openClipNamesOf, unetNameOf, vaeNameOf } from './ldm-names.ts';

/** A tensor of a network and its place in the file. */
export interface LdmTensor {
  /** Full key in the file. */
  readonly from: string;
  /** Sizes that the network asks for. */
  readonly shape: readonly number[];
  /** `[i, n]`: the i-th of n equal parts along the first axis. */
  readonly part?: readonly [index: number, of: number];
}

/** A network's tensors by their names in diffusers' layout. */
export type LdmNetwork = ReadonlyMap<string, LdmTensor>;

/** The three networks, and what is left. */
export interface LdmCheckpoint {
  readonly unet: LdmNetwork;
  readonly vae: LdmNetwork;
  readonly textEncoder: LdmNetwork;
  /** 2 where the text encoder is OpenCLIP's, else 1. */
  readonly version: 1 | 2;
  /** Whether the file holds the UNet twice: as trained, and its moving average. */
  readonly averaged: boolean;
  /** Keys of the UNet, the encoder and the decoder that Stable Diffusion does not have: another architecture. */
  readonly foreign: readonly string[];
  /** Keys that nobody knows; those that are known to be of no use (schedules, losses, optimisers) are left out. */
  readonly surplus: readonly string[];
}

/** Training buffers, losses, parts of CLIP that text embeddings do without, and averages, which are found by name. */
const IGNORABLE = [
  /^(betas|alphas_cumprod(_prev)?|lvlb_weights|logvar|scale_factor|cond_stage_key|global_step|epoch)$/,
  /^(sqrt_|log_|posterior_)/,
  /^model_ema\./,
  /^(optimizer_states|lr_schedulers|callbacks|loops)\b/,
  /^(first_stage_model|vae)\.(loss|model_ema)\b/,
  /^cond_stage_model\.(transformer\.)?(text_model\.)?embeddings\.position_ids$/,
  /^cond_stage_model\.(transformer\.|model\.)?(logit_scale|attn_mask|text_projection(\.weight)?|visual_projection\.weight)$/,
  /^cond_stage_model\.model\.(transformer\.resblocks\.23|visual)\./,
  /^v_pred$/,
];

/**
 * Sorts the tensors of a file.
 * @param tensors of a file that `foreignCheckpoint` has no name for
 * @param average takes the UNet's moving average where the file has one
 */
export function sortLdmTensors(tensors: TensorShapes, average: boolean): LdmCheckpoint {
  const unet = new Map<string, LdmTensor>();
  const vae = new Map<string, LdmTensor>();
  const textEncoder = new Map<string, LdmTensor>();
  const foreign: string[] = [];
  const surplus: string[] = [];
  const stride = unetStride(tensors);
  const levels = vaeLevels(tensors);
  const averaged = [...tensors.keys()].filter(key => key.startsWith('model_ema.')).length > 100;
  for (const [key, { shape }] of tensors) {
    if (IGNORABLE.some(pattern => pattern.test(key))) continue;
    if (key.startsWith(UNET_PREFIX)) {
      const name = unetNameOf(key.slice(UNET_PREFIX.length), stride);
      if (name === undefined) foreign.push(key);
      else unet.set(name, { from: average && averaged ? averageKeyOf(key) : key, shape });
      continue;
    }
    const vaePrefix = VAE_PREFIXES.find(prefix => key.startsWith(prefix));
    if (vaePrefix !== undefined) {
      const name = vaeNameOf(key.slice(vaePrefix.length), levels);
      if (name === undefined) (/^[^.]+\.(encoder|decoder)\./.test(key) ? foreign : surplus).push(key);
      else vae.set(name, { from: key, shape: isAttention(name) ? squeezed(shape) : shape });
      continue;
    }
    const texts = textTensors(key, shape);
    if (texts.length === 0) surplus.push(key);
    for (const [name, tensor] of texts) textEncoder.set(name, tensor);
  }
  const version = [...tensors.keys()].some(key => key.startsWith(OPEN_CLIP_PREFIX)) ? 2 : 1;
  return { unet, vae, textEncoder, version, averaged, foreign, surplus };
}

function textTensors(key: string, shape: readonly number[]): [string, LdmTensor][] {
  if (key.startsWith(OPEN_CLIP_PREFIX)) {
    return openClipNamesOf(key.slice(OPEN_CLIP_PREFIX.length)).map(({ name, part }) => {
      if (part === undefined) return [name, { from: key, shape }];
      const [rows = 0, ...rest] = shape;
      return [name, { from: key, shape: [Math.floor(rows / part[1]), ...rest], part }];
    });
  }
  const name = key.startsWith(CLIP_PREFIX) ? clipNameOf(key.slice(CLIP_PREFIX.length)) : undefined;
  return name === undefined ? [] : [[name, { from: key, shape }]];
}

/** A 1x1 convolution of the autoencoder's attention is a matrix in diffusers. */
function isAttention(name: string): boolean {
  return /\.attentions\.0\.to_(q|k|v|out\.0)\.weight$/.test(name);
}

function squeezed(shape: readonly number[]): readonly number[] {
  return shape.slice(2).every(size => size === 1) ? shape.slice(0, 2) : shape;
}

/** Input blocks of a level: its residual blocks and the convolution that halves. */
function unetStride(tensors: TensorShapes): number {
  const blocks = indices(tensors, new RegExp(`^${UNET_PREFIX.replaceAll('.', '\\.')}input_blocks\\.(\\d+)\\.`));
  const halving = blocks.find(i => tensors.has(`${UNET_PREFIX}input_blocks.${i}.0.op.weight`));
  return halving ?? Math.max(1, ...blocks) + 1;
}

function vaeLevels(tensors: TensorShapes): number {
  return Math.max(-1, ...indices(tensors, /^(?:first_stage_model|vae)\.decoder\.up\.(\d+)\./)) + 1;
}

/** The numbers that stand in some names, ascending. */
export function indices(names: { keys(): Iterable<string> }, pattern: RegExp): number[] {
  const found = new Set<number>();
  for (const name of names.keys()) {
    const [, index] = pattern.exec(name) ?? [];
    if (index !== undefined) found.add(Number(index));
  }
  return [...found].sort((a, b) => a - b);
}

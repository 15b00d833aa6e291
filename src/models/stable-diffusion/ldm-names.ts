/**
 * Names of the original latent-diffusion code (LDM), as single-file checkpoints of Stable Diffusion 1.x and 2.x have them, and what
 * diffusers and transformers call the same tensors. Names alone: which tensors a file must hold is said by its configs.
 *
 * Sources of the names: CompVis/stable-diffusion, ldm/modules/diffusionmodules/{openaimodel,model}.py; mlfoundations/open_clip,
 * transformer.py. Reference of the renaming: diffusers 0.34.0, loaders/single_file_utils.py.
 */

/** Where a renamed tensor comes from. */
export interface RenamedTensor {
  /** Its name in diffusers' or transformers' layout. */
  readonly name: string;
  /** `[i, n]`: it is the i-th of n equal parts of the stored tensor, cut along the first axis. */
  readonly part?: readonly [index: number, of: number];
}

const RESNET: readonly (readonly [ldm: string, diffusers: string])[] = [
  ['in_layers.0.', 'norm1.'],
  ['in_layers.2.', 'conv1.'],
  ['emb_layers.1.', 'time_emb_proj.'],
  ['out_layers.0.', 'norm2.'],
  ['out_layers.3.', 'conv2.'],
  ['skip_connection.', 'conv_shortcut.'],
];
const UNET_ENDS: readonly (readonly [ldm: string, diffusers: string])[] = [
  ['time_embed.0.', 'time_embedding.linear_1.'],
  ['time_embed.2.', 'time_embedding.linear_2.'],
  ['input_blocks.0.0.', 'conv_in.'],
  ['out.0.', 'conv_norm_out.'],
  ['out.2.', 'conv_out.'],
];
const TRANSFORMER = /^(norm|proj_in|proj_out|transformer_blocks)\./;
const MIDDLE = ['resnets.0', 'attentions.0', 'resnets.1'];

/**
 * A tensor of the UNet.
 * @param name without the prefix `model.diffusion_model.`
 * @param stride residual blocks of a level on the way down, plus one: blocks are numbered through all levels
 * @returns undefined for what Stable Diffusion's UNet does not have
 */
export function unetNameOf(name: string, stride: number): string | undefined {
  const end = replacedStart(name, UNET_ENDS);
  if (end !== undefined) return end;
  const [, side, block, slot, rest] =
    /^(input_blocks|output_blocks|middle_block)\.(\d+)\.(?:(\d+)\.)?(.+)$/.exec(name) ?? [];
  if (side === undefined || block === undefined || rest === undefined) return undefined;
  const at = Number(block);
  if (side === 'middle_block') return middleName(at, name.slice(`${side}.${block}.`.length));
  // The first input block is the convolution above.
  const counted = side === 'input_blocks' ? at - 1 : at;
  const level = `${side === 'input_blocks' ? 'down' : 'up'}_blocks.${Math.floor(counted / stride)}`;
  const layer = counted % stride;
  if (slot === '0' && rest.startsWith('op.') && side === 'input_blocks') {
    return `${level}.downsamplers.0.conv.${rest.slice(3)}`;
  }
  if (rest.startsWith('conv.') && side === 'output_blocks') return `${level}.upsamplers.0.${rest}`;
  if (slot === '1' && TRANSFORMER.test(rest)) return `${level}.attentions.${layer}.${rest}`;
  const inner = slot === '0' ? replacedStart(rest, RESNET) : undefined;
  return inner === undefined ? undefined : `${level}.resnets.${layer}.${inner}`;
}

function middleName(at: number, rest: string): string | undefined {
  const inner = at === 1 ? (TRANSFORMER.test(rest) ? rest : undefined) : replacedStart(rest, RESNET);
  const place = MIDDLE[at];
  return inner === undefined || place === undefined ? undefined : `mid_block.${place}.${inner}`;
}

const VAE_RESNET = /^(norm1|conv1|norm2|conv2|conv_shortcut|nin_shortcut)\.(weight|bias)$/;
/** Later writers left diffusers' names, old and new, in files of this kind. */
const VAE_ATTENTION: Readonly<Record<string, string>> = {
  ...{ norm: 'group_norm', q: 'to_q', k: 'to_k', v: 'to_v', proj_out: 'to_out.0' },
  ...{ group_norm: 'group_norm', query: 'to_q', key: 'to_k', value: 'to_v', proj_attn: 'to_out.0' },
  ...{ to_q: 'to_q', to_k: 'to_k', to_v: 'to_v', 'to_out.0': 'to_out.0' },
};

/**
 * A tensor of the autoencoder.
 * @param name without the prefix `first_stage_model.`
 * @param levels resolutions: those of the decoder are numbered from the lowest here, from the highest in LDM
 * @returns undefined for what Stable Diffusion's autoencoder does not have
 */
export function vaeNameOf(name: string, levels: number): string | undefined {
  if (/^(post_)?quant_conv\.(weight|bias)$/.test(name)) return name;
  const [, side, rest] = /^(encoder|decoder)\.(.+)$/.exec(name) ?? [];
  if (side === undefined || rest === undefined) return undefined;
  const [, end, kind] = /^(conv_in|conv_out|norm_out)\.(weight|bias)$/.exec(rest) ?? [];
  if (end !== undefined) return `${side}.${end === 'norm_out' ? 'conv_norm_out' : end}.${kind}`;
  const [, direction, at, inner] = /^(down|up)\.(\d+)\.(.+)$/.exec(rest) ?? [];
  if (inner !== undefined) {
    if ((direction === 'down') !== (side === 'encoder')) return undefined;
    const level = direction === 'down' ? Number(at) : levels - 1 - Number(at);
    const place = vaeLevelName(inner);
    return place === undefined ? undefined : `${side}.${direction}_blocks.${level}.${place}`;
  }
  const [, block, resnet] = /^mid\.block_([12])\.(.+)$/.exec(rest) ?? [];
  if (resnet !== undefined && VAE_RESNET.test(resnet)) {
    return `${side}.mid_block.resnets.${Number(block) - 1}.${vaeResnetName(resnet)}`;
  }
  const [, layer = '', tail] = /^mid\.attn_1\.(.+)\.(weight|bias)$/.exec(rest) ?? [];
  const attention = Object.hasOwn(VAE_ATTENTION, layer) ? VAE_ATTENTION[layer] : undefined;
  return attention === undefined ? undefined : `${side}.mid_block.attentions.0.${attention}.${tail}`;
}

/** Inside a level of the autoencoder. */
function vaeLevelName(inner: string): string | undefined {
  const [, direction, tail] = /^(down|up)sample\.conv\.(weight|bias)$/.exec(inner) ?? [];
  if (direction !== undefined) return `${direction}samplers.0.conv.${tail}`;
  const [, index, resnet] = /^block\.(\d+)\.(.+)$/.exec(inner) ?? [];
  if (resnet === undefined || !VAE_RESNET.test(resnet)) return undefined;
  return `resnets.${index}.${vaeResnetName(resnet)}`;
}

function vaeResnetName(name: string): string {
  return name.replace('nin_shortcut', 'conv_shortcut');
}

/**
 * A tensor of CLIP's text tower as transformers names it, which LDM keeps.
 * @param name without the prefix `cond_stage_model.transformer.`; some writers leave `text_model.` out
 * @returns undefined for what is no weight of the text tower
 */
export function clipNameOf(name: string): string | undefined {
  const inner = name.replace(/^text_model\./, '');
  if (!/^(embeddings\.(token|position)_embedding|encoder\.layers\.\d+|final_layer_norm)\./.test(inner))
    return undefined;
  return `text_model.${inner}`;
}

/** Layer of OpenCLIP's ViT-H that Stable Diffusion 2.x does not use: its text embeddings are those before the last layer. */
const UNUSED_LAYER = 23;
const OPEN_CLIP_ENDS: Readonly<Record<string, string>> = {
  'token_embedding.weight': 'embeddings.token_embedding.weight',
  positional_embedding: 'embeddings.position_embedding.weight',
  'ln_final.weight': 'final_layer_norm.weight',
  'ln_final.bias': 'final_layer_norm.bias',
};
const OPEN_CLIP_LAYER: Readonly<Record<string, string>> = {
  ...{ ln_1: 'layer_norm1', ln_2: 'layer_norm2', 'attn.out_proj': 'self_attn.out_proj' },
  ...{ 'mlp.c_fc': 'mlp.fc1', 'mlp.c_proj': 'mlp.fc2' },
};

/**
 * The tensors that one tensor of OpenCLIP's text tower becomes: three for the fused projections of queries, keys and values.
 * @param name without the prefix `cond_stage_model.model.`
 * @returns none for what Stable Diffusion 2.x does not use
 */
export function openClipNamesOf(name: string): readonly RenamedTensor[] {
  const end = Object.hasOwn(OPEN_CLIP_ENDS, name) ? OPEN_CLIP_ENDS[name] : undefined;
  if (end !== undefined) return [{ name: `text_model.${end}` }];
  const [, index, inner = ''] = /^transformer\.resblocks\.(\d+)\.(.+)$/.exec(name) ?? [];
  if (index === undefined || Number(index) >= UNUSED_LAYER) return [];
  const layer = `text_model.encoder.layers.${index}`;
  const [, fused] = /^attn\.in_proj_(weight|bias)$/.exec(inner) ?? [];
  if (fused !== undefined) {
    return ['q', 'k', 'v'].map((role, i) => ({
      name: `${layer}.self_attn.${role}_proj.${fused}`,
      part: [i, 3] as const,
    }));
  }
  const [, place = '', tail] = /^(.+)\.(weight|bias)$/.exec(inner) ?? [];
  const known = Object.hasOwn(OPEN_CLIP_LAYER, place) ? OPEN_CLIP_LAYER[place] : undefined;
  return known === undefined ? [] : [{ name: `${layer}.${known}.${tail}` }];
}

/**
 * Under which name training kept the moving average of a UNet tensor: `model_ema.` and the name without its dots.
 * @param key full key of the tensor, `model.diffusion_model...`
 */
export function averageKeyOf(key: string): string {
  return `model_ema.${key.split('.').slice(1).join('')}`;
}

/** The name with its start replaced, where the table has it. */
function replacedStart(
  name: string,
  table: readonly (readonly [ldm: string, diffusers: string])[],
): string | undefined {
  const found = table.find(([ldm]) => name.startsWith(ldm));
  return found === undefined ? undefined : found[1] + name.slice(found[0].length);
}

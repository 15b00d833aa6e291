/**
 * What a single weight file holds, by the names and shapes of its tensors: a whole Stable Diffusion 1.x or 2.x, or one of the many other
 * things that are passed around under the same extensions, each of which is refused by its name.
 */

/** Names and shapes of a file's tensors. */
export type TensorShapes = ReadonlyMap<string, { readonly shape: readonly number[] }>;

/** What a file turned out to be, and what can be done with it. */
export interface ForeignCheckpoint {
  /** In words, such as "a LoRA". */
  readonly what: string;
  /** A whole sentence. */
  readonly fix: string;
}

/** Prefix of the UNet's tensors in LDM's layout. */
export const UNET_PREFIX = 'model.diffusion_model.';
/** Prefixes of the autoencoder's tensors. */
export const VAE_PREFIXES: readonly string[] = ['first_stage_model.', 'vae.'];
/** Prefix of the text encoder's tensors in Stable Diffusion 1.x: CLIP of transformers. */
export const CLIP_PREFIX = 'cond_stage_model.transformer.';
/** Prefix of the text encoder's tensors in Stable Diffusion 2.x: OpenCLIP. */
export const OPEN_CLIP_PREFIX = 'cond_stage_model.model.';

const USE = 'Use a Stable Diffusion 1.x or 2.x text-to-image file, or a folder as diffusers saves it.';
const FULL = 'Use a file that holds UNet, VAE and text encoder, or a folder as diffusers saves it.';
const NOT_BUILT = `It is not built. ${USE}`;

/** Of a file without LDM's UNet: the first whose pattern one of the names matches. */
const WITHOUT_UNET: readonly (readonly [pattern: RegExp, what: string, fix: string])[] = [
  [
    /^lora_|[._]lora[._]|\.lora_(up|down|[AB]|magnitude)|\.(hada_w1_[ab]|lokr_w1|lokr_w2)|^lycoris_/,
    'a LoRA',
    'Name a model with --model and this file with --lora. In a program: pipeline.loadLoraWeights(file).',
  ],
  [
    /^(emb_params|string_to_param|string_to_token|clip_l|clip_g)(\.|$)|^<.+>$/,
    'a textual inversion',
    'Name a model with --model and this file with --embedding. In a program: pipeline.loadTextualInversion(file).',
  ],
  [/^control_model\.|^controlnet_|(^|\.)input_hint_block\./, 'a ControlNet', NOT_BUILT],
  [
    /^adapter\.body\.|^body\.\d+\.block\d|^image_proj\.|^ip_adapter\./,
    'an adapter (T2I-Adapter or IP-Adapter)',
    NOT_BUILT,
  ],
  [/motion_modules\./, 'a motion module (AnimateDiff)', NOT_BUILT],
  [/(^|\.)joint_blocks\./, 'Stable Diffusion 3', NOT_BUILT],
  [/(^|\.)double_blocks\./, 'Flux or a model of its kind', NOT_BUILT],
  [/^conditioner\.embedders\./, 'Stable Diffusion XL', NOT_BUILT],
  [/^model_ema\.diffusion_model/, 'a file of nothing but moving averages under shortened names', FULL],
  [/^(diffusion_model\.)?input_blocks\.\d+\./, "a UNet without its text encoder and VAE, in LDM's names", FULL],
  [/^unet\.(conv_in|down_blocks\.\d)/, "a pipeline's networks under diffusers' names", FULL],
  [/^(first_stage_model|vae)\./, 'a VAE alone', FULL],
  [/^(encoder|decoder)\.(conv_in|down\.\d|up\.\d|mid\.|down_blocks\.\d|up_blocks\.\d)/, 'a VAE alone', FULL],
  [
    /^(down_blocks|up_blocks|mid_block)\./,
    'the UNet of a diffusers folder',
    'Pass the folder that holds model_index.json, not one of its files.',
  ],
  [
    /^(text_model\.|encoder\.layers\.\d+\.self_attn)/,
    'a text encoder alone',
    'Pass the folder that holds model_index.json, not one of its files.',
  ],
  [/^(encoder|decoder)\.block\.\d+\.layer\./, 'T5', 'It goes with --t5, as a folder of transformers.'],
  [/^(double_stream_blocks|single_transformer_blocks|transformer_blocks)\./, 'a diffusion transformer', NOT_BUILT],
];

/** Of a file with LDM's UNet and something beside it that makes it another model. */
const WITH_UNET: readonly (readonly [pattern: RegExp, what: string])[] = [
  [/^conditioner\.embedders\.1\./, 'Stable Diffusion XL'],
  [/^conditioner\.embedders\./, "Stable Diffusion XL's refiner or a model of its kind"],
  [/^model\.diffusion_model\.joint_blocks\./, 'Stable Diffusion 3'],
  [/^model\.diffusion_model\.(double_blocks|single_blocks)\./, 'Flux or a model of its kind'],
  [/^control_model\./, 'a ControlNet with its model'],
  [/^model\.diffusion_model\..*motion_modules\./, 'an AnimateDiff model'],
  [/^noise_augmentor\.|^embedder\.model\./, 'Stable unCLIP'],
  [/^depth_model\./, "Stable Diffusion 2's depth model"],
  [/^low_scale_model\./, "Stable Diffusion's upscaler"],
  [/^cond_stage_model\.(roberta|preLN|transformation)\./, 'AltDiffusion'],
  [/^cond_stage_model\.transformer\.(token_emb|attn_layers)\./, 'the first latent diffusion, with a BERT of its own'],
  [/^cond_stage_model\.mapper\.|^learnable_vector$/, 'Paint by Example'],
  [/^model\.diffusion_model\.label_emb\./, 'a UNet with class or size embeddings (Stable Diffusion XL, Stable unCLIP)'],
  [/^model\.diffusion_model\..*(position_net|\.fuser)\./, 'GLIGEN'],
];

/** Channels that enter the UNet, of models that look at more than the latents. */
const BY_CHANNELS: Readonly<Record<number, string>> = {
  5: "Stable Diffusion 2's depth model",
  7: "Stable Diffusion's upscaler",
  8: 'InstructPix2Pix',
  9: 'an inpainting model',
};

/**
 * Says what a file is where it is no whole Stable Diffusion 1.x or 2.x in LDM's names.
 * @param tensors of the file
 * @returns undefined for a file that can be opened
 */
export function foreignCheckpoint(tensors: TensorShapes): ForeignCheckpoint | undefined {
  const names = [...tensors.keys()];
  const some = (pattern: RegExp): boolean => names.some(name => pattern.test(name));
  if (!names.some(name => name.startsWith(UNET_PREFIX))) {
    const found = WITHOUT_UNET.find(([pattern]) => some(pattern));
    if (found) return { what: found[1], fix: found[2] };
    if (isEmbedding(tensors)) return { what: 'a textual inversion', fix: WITHOUT_UNET[1]?.[2] ?? USE };
    const first = names.slice(0, 3).join(', ');
    return { what: names.length === 0 ? 'a file without tensors' : `a file of other tensors (${first} ...)`, fix: USE };
  }
  const other = WITH_UNET.find(([pattern]) => some(pattern));
  if (other) return { what: other[1], fix: NOT_BUILT };
  const channels = tensors.get(`${UNET_PREFIX}input_blocks.0.0.weight`)?.shape[1];
  if (channels === undefined) return { what: 'a diffusion model of another architecture', fix: NOT_BUILT };
  const kind = BY_CHANNELS[channels];
  if (kind !== undefined) return { what: `${kind} (its UNet takes ${channels} channels)`, fix: NOT_BUILT };
  const missing = [
    ...(names.some(name => VAE_PREFIXES.some(prefix => name.startsWith(prefix))) ? [] : ['VAE']),
    ...(names.some(name => name.startsWith(CLIP_PREFIX) || name.startsWith(OPEN_CLIP_PREFIX)) ? [] : ['text encoder']),
  ];
  return missing.length === 0 ? undefined : { what: `a UNet without ${missing.join(' and ')}`, fix: FULL };
}

/** One tensor of vectors as wide as CLIP's, under the token's own name. */
function isEmbedding(tensors: TensorShapes): boolean {
  const shapes = [...tensors.values()].map(({ shape }) => shape);
  return shapes.length === 1 && shapes.every(shape => shape.length <= 2 && [768, 1024].includes(shape.at(-1) ?? 0));
}

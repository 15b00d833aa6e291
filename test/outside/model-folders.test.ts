import { describe, expect, it } from 'vitest';
import type { FolderSource } from '../../src/core/tensor-source.ts';
import { DiffEditPipeline } from '../../src/pipeline/diffedit/pipeline.ts';
import { maxError } from '../support/close.ts';
import { FolderDraft } from '../support/folder-draft.ts';
import { loadGolden } from '../support/golden.ts';
import { testGpu } from '../support/gpu.ts';
import { OUTSIDE_FOLDERS } from '../support/outside-folders.ts';
import { picture, seeded } from '../support/pipeline.ts';

/** What diffusers makes of the folders: scripts/golden/outside_models.py. */
const golden = loadGolden('outside-models');
const recorded: Readonly<Record<string, string>> = golden.json.latents;
const errors: Readonly<Record<string, string>> = golden.json.errors;
const base = FolderDraft.of('sd1/model');

/** Refused there and here: what is said here. */
const REFUSED: Readonly<Record<string, RegExp>> = {
  c_heads_num:
    /unsupported num_attention_heads: expected null, for attention_head_dim holds the number of heads, got 4 \(unet\/config\.json\)/,
  h_shard_missing:
    /a shard is missing: expected diffusion_pytorch_model-00002-of-00002\.safetensors \(h_shard_missing\/unet\/.+index\.json\)\. Download/,
  i_custommod: /unsupported unet: expected UNet2DConditionModel, got "MyUNet2DConditionModel"/,
  i_inverse_missing: /inverse_scheduler\/scheduler_config\.json is missing/,
  i_missing: /model_index\.json is missing/,
  i_trailing_comma: /the file is not JSON \(i_trailing_comma\/unet\/config\.json\)/,
  i_unetnull: /unsupported unet: expected UNet2DConditionModel, got null/,
  i_withproj: /unsupported text_encoder: expected CLIPTextModel, got "CLIPTextModelWithProjection"/,
  k_maxlen_512: /rows that are too long for the text encoder: expected model_max_length up to 77, got 512/,
  k_missing_merges: /holds no tokenizer of this kind: expected vocab\.json and merges\.txt, or tokenizer\.json/,
  k_ti_noresize: /661/, // the id of the token that was added, beyond a table of 661 rows
  n_ckpt_in_folder: /no weights: .+, got v1-5-pruned\.ckpt .+fromSingleFile.+--model v1-5-pruned\.ckpt/,
  n_flax: /no weights that can be read.+flax_model\.msgpack \(Flax\).+from_flax=True/,
  n_modelsafe: /no weights that can be read.+model\.safetensors.+rename it to diffusion_pytorch_model\.safetensors/,
  n_onnx: /no weights that can be read.+model\.onnx \(ONNX/,
  n_te_wrongname: /diffusion_pytorch_model\.safetensors.+rename it to model\.safetensors/,
  s_euler_v: /does not know the timestep spacing: expected leading or trailing, got "linspace"/,
  s_missing: /scheduler\/scheduler_config\.json is missing/,
  s_nullindex: /the folder lists no scheduler: expected a class, got \[null,null\]/,
  s_sigmoid: /unknown beta schedule: .+got "sigmoid"/,
  s_vpred_typo:
    /unknown prediction_type: expected epsilon or sample or v_prediction, got v-prediction \(s_vpred_typo\/scheduler\//,
  u_classemb: /unsupported num_class_embeds/,
  u_only_cross: /unsupported only_cross_attention/,
  u_strnum: /unsupported in_channels: expected a whole number >= 1, got "4"/,
  w_cfg9_w4: /wrong shape: conv_in\.weight is \[32, 4, 3, 3\], expected \[32, 9, 3, 3\]/,
  w_cfg_html: /it begins "Entry not found" \(w_cfg_html\/unet\/config\.json\)\. Download the file itself/,
  w_htmlerr: /an HTML page in place of the file \(w_htmlerr\/unet\/diffusion_pytorch_model\.safetensors\)/,
  w_inpaint9: /unet in_channels does not fit the other networks: expected 4, got 9.+inpainting/,
  w_lfs: /a Git LFS pointer in place of the file of 3438167536 bytes \(w_lfs\/unet\/.+git lfs pull/,
  w_truncated: /the file is cut short/,
  w_wrongbase: /wrong shape: .+attn2\.to_k\.weight is \[32, 48\], expected \[32, 1024\]/,
};

/** Loaded there, refused here. */
const STRICTER: Readonly<Record<string, readonly [because: string, said: RegExp]>> = {
  s_strings: [
    '"false" is true in Python: what was meant is the opposite',
    /expected a boolean, got "false" \(clip_sample\)/,
  ],
  w_unet_f16inf: ['the numbers are not finite: black pictures', /not finite/],
  w_unet_int8: [
    'numbers of eight bits without a scale are no weights',
    /mid_block\.attentions\.0\.proj_in\.weight is I8/,
  ],
  w_unet_missing: ['diffusers draws what is missing', /missing: conv_out\.bias/],
  w_unet_nan: ['the numbers are not finite: black pictures', /not finite/],
};

/** Refused there, loaded here: whose latents they have. */
const KINDER: Readonly<Record<string, readonly [because: string, latents: string]>> = {
  h_both: ['the whole file is there, the index is a stale one of others', 'a_base'],
  i_bom: ['a byte order mark says nothing', 'a_base'],
  i_bomcfg: ['a byte order mark says nothing', 'a_base'],
  k_hugemaxlen: ['transformers writes this number for "unknown": 77, as for all of CLIP', 'x_k_base'],
  k_jsononly: ['tokenizer.json says the same as vocab.json and merges.txt', 'x_k_base'],
  k_noconfig: ['what the files leave out the class says, and the length is 77', 'x_k_noconfig'],
  k_nomaxlen: ['the length of all of CLIP is 77', 'x_k_base'],
  n_fp16_partial: ['one variant and nothing else is there', 'w_unet_f16'],
  n_fp16only: ['one variant and nothing else is there', 'x_n_fp16only'],
  n_nonema: ['one variant and nothing else is there', 'a_base'],
  t_noprefix: ['transformers draws anew what it does not find under this name', 'a_base'],
  u_linear_flag_wrong: ['a layer and a 1x1 convolution hold the same numbers', 'a_base'],
  u_sample_missing: ['the picture says the size', 'a_base'],
  u_sample_rect: ['the picture says the size', 'a_base'],
  u_samplelist: ['the picture says the size', 'a_base'],
  u_samplenull: ['the picture says the size', 'a_base'],
  v_oldattn_conv: ['a layer and a 1x1 convolution hold the same numbers', 'a_base'],
};

/** What is said about folders that load; of all others nothing is. */
const WARNED: Readonly<Record<string, readonly RegExp[]>> = {
  a_ema: [
    /^unet\/config\.json: unknown fields decay, inv_gamma, min_decay, optimization_step, power, update_after_step; they are ignored\.$/,
  ],
  a_unknownfield: [/^unet\/config\.json: unknown fields my_note, num_train_epochs; they are ignored\.$/],
  a_vae_extra: [/^vae\/config\.json: unknown field note; it is ignored\.$/],
  c_oldest: [/sample_size is 8 in a config of diffusers 0\.2\.2; 64 is used/],
  i_safety_listed: [/lists a safety checker/],
  i_xl: [/^i_xl lists text_encoder_2, tokenizer_2, which this pipeline does not have; ignored\.$/],
  n_fp16_partial: [/^n_fp16_partial\/unet: no plain weights, those of the variant "fp16" are used/],
  n_fp16only: [/text_encoder: no plain weights, .+"fp16"/, /unet: no plain weights/, /vae: no plain weights/],
  n_nonema: [/unet: no plain weights, those of the variant "non_ema" are used/],
  s_offset0_expl: [/steps_offset is 0; 1 is used/],
  t_logit_scale: [/^t_logit_scale\/text_encoder: the model has no use for logit_scale; ignored$/],
  t_textproj: [/no use for text_projection\.weight; ignored$/],
  u_time_cond: [/time_cond_proj_dim/],
  w_empty_tensor: [/no use for empty; ignored$/],
  w_unet_extra: [/no use for num_batches_tracked, lora_unet\.down\.weight; ignored$/],
};

/** What an inversion makes of a folder, and what it said. */
async function latentsOf(folder: FolderSource, prompt: string) {
  const warnings: string[] = [];
  const pipeline = await DiffEditPipeline.fromPretrained(folder, {
    gpu: await testGpu(),
    onWarning: message => warnings.push(message),
  });
  try {
    const { latents } = await pipeline.invert({
      ...{ prompt, image: picture(golden), numInferenceSteps: 6, inpaintStrength: 0.8, guidanceScale: 2 },
      generator: seeded(0),
    });
    return { latents, warnings };
  } finally {
    pipeline.dispose();
  }
}

async function draftOf(name: string): Promise<FolderSource> {
  const draft = base.copy();
  await OUTSIDE_FOLDERS[name](draft);
  return draft.source(name);
}

it('every folder has one expectation, and diffusers agrees with those that say so', () => {
  const names = Object.keys(OUTSIDE_FOLDERS);
  expect(names).toHaveLength(111);
  for (const name of names) {
    const [refused, stricter, kinder] = [REFUSED, STRICTER, KINDER].map(table => name in table);
    const there = name in errors ? 'error' : name in recorded ? 'latents' : 'neither';
    if (refused) expect(there, name).toBe('error');
    if (stricter) expect(there, name).not.toBe('error');
    if (kinder) expect(there, name).not.toBe('latents');
    expect([refused, stricter, kinder, !refused && !stricter && !kinder].filter(Boolean), name).toHaveLength(1);
    if (!refused && !stricter && !kinder) expect(there, name).toBe('latents');
  }
});

/** Of the folders that load, those that run every day: each takes a way of its own. The others run in the full suite. */
const DAILY = [
  ...['a_base', 'a_ema', 'c_oldest', 'h_shards', 'h_both', 'i_bomcfg', 'i_xl', 'k_ti', 'k_jsononly', 'n_fp16only'],
  ...['n_bin_half', 's_ddpm_thresh', 's_dpm_trailing', 't_nested', 't_noprefix', 't_legacy_bin', 'u_actmish'],
  ...['u_time_cond', 'u_sample_rect', 'v_oldattn_conv', 'w_unet_f8', 'w_unet_extra'],
];
const refused = (name: string) => REFUSED[name] ?? STRICTER[name]?.[1];
const shown = Object.keys(OUTSIDE_FOLDERS).filter(name => {
  return process.env.PENTIMENTO_FULL || refused(name) || DAILY.includes(name);
});

describe.each(shown)('%s', name => {
  const prompt = name.startsWith('k_') ? 'a bowl with <cat-toy> fruit' : 'a bowl of fruit';
  const said = refused(name);
  const run = async () => latentsOf(await draftOf(name), prompt);
  if (said) it('is refused', async () => expect(run()).rejects.toThrow(said));
  else
    it('gives the recorded latents', async () => {
      const { latents, warnings } = await run();
      const expected = golden.floats(recorded[KINDER[name]?.[1] ?? name]);
      const largest = expected.data.reduce((most, value) => Math.max(most, Math.abs(value)), 1); // 34 with thresholding, else about 1
      expect(latents.shape).toEqual(expected.shape);
      expect(maxError(latents.data, expected.data) / largest).toBeLessThanOrEqual(1e-5);
      const patterns = WARNED[name] ?? [];
      expect(warnings).toHaveLength(patterns.length);
      for (const [i, pattern] of patterns.entries()) expect(warnings[i]).toMatch(pattern);
    });
});

/** Functions of the networks by other names than the published ones. */
const FUNCTIONS = [
  ['x_u_actgelu', 'unet/config.json', { act_fn: 'gelu' }],
  ['x_u_actrelu', 'unet/config.json', { act_fn: 'relu' }],
  ['x_v_actmish', 'vae/config.json', { act_fn: 'mish' }],
  ['x_t_silu', 'text_encoder/config.json', { hidden_act: 'silu' }],
] as const;

it.each(process.env.PENTIMENTO_FULL ? FUNCTIONS : FUNCTIONS.slice(2))('%s: %s with %o', async (name, path, fields) => {
  const draft = base.copy();
  draft.edit(path, fields);
  const { latents, warnings } = await latentsOf(draft.source(name), 'a bowl of fruit');
  expect(maxError(latents.data, golden.floats(recorded[name]).data)).toBeLessThanOrEqual(1e-5);
  expect(warnings).toEqual([]);
});

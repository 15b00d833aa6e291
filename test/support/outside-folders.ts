/**
 * Model folders of every age and oddity, made of one tiny folder: scripts/golden/outside_models.py makes the same ones for
 * diffusers. First letters: a configs with more in them, s schedulers, c configs, v autoencoders, t text encoders, w weights,
 * n names of weight files, i indices, k tokenizers, u UNets, h shards.
 */
import { Generator } from '../../src/schedulers/index.ts';
import { cast, type Fields, type FolderDraft, floats, valuesOf } from './folder-draft.ts';
import { asOldTorchFile, asTorchFile } from './torch-file.ts';

const INDEX = 'model_index.json';
const UNET = 'unet/config.json';
const VAE = 'vae/config.json';
const TEXT = 'text_encoder/config.json';
const SCHEDULER = 'scheduler/scheduler_config.json';
const TOKENIZER = 'tokenizer/tokenizer_config.json';
const UNET_WEIGHTS = 'unet/diffusion_pytorch_model.safetensors';
const VAE_WEIGHTS = 'vae/diffusion_pytorch_model.safetensors';
const TEXT_WEIGHTS = 'text_encoder/model.safetensors';
const WEIGHTS = [UNET_WEIGHTS, VAE_WEIGHTS, TEXT_WEIGHTS];

type Change = (f: FolderDraft) => void | Promise<void>;
type Edit = (f: FolderDraft) => void;
const gone = undefined;

const edit =
  (path: string, fields: Fields): Edit =>
  f =>
    f.edit(path, fields);
const inText =
  (path: string, change: (text: string) => string): Change =>
  f =>
    f.write(path, change(f.text(path)));

/** A scheduler's config in place of the folder's, with the betas of Stable Diffusion unless it says otherwise. */
const scheduler = (className: string | undefined, version: string, fields: Fields): Edit => {
  const betas = { beta_start: 0.00085, beta_end: 0.012, beta_schedule: 'scaled_linear', num_train_timesteps: 1000 };
  return f => f.write(SCHEDULER, { _class_name: className, _diffusers_version: version, ...betas, ...fields });
};
const ddim = (fields: Fields): Edit =>
  scheduler('DDIMScheduler', '0.24.0', { clip_sample: false, set_alpha_to_one: false, steps_offset: 1, ...fields });

const SCHEDULERS: Readonly<Record<string, Change>> = {
  s_pndm_old: scheduler('PNDMScheduler', '0.6.0', {
    ...{ skip_prk_steps: true, set_alpha_to_one: false, steps_offset: 1, trained_betas: null, clip_sample: false },
  }),
  s_pndm_oldest: scheduler('PNDMScheduler', '0.2.2', { skip_prk_steps: true }),
  s_ddim_nooffset: scheduler('DDIMScheduler', '0.2.2', { clip_sample: false, set_alpha_to_one: false }),
  s_lms: scheduler('LMSDiscreteScheduler', '0.5.0', { trained_betas: null }),
  s_euler_v: scheduler('EulerDiscreteScheduler', '0.24.0', {
    ...{ prediction_type: 'v_prediction', interpolation_type: 'linear', steps_offset: 1, timestep_spacing: 'linspace' },
    ...{ use_karras_sigmas: false, sigma_max: null, sigma_min: null, timestep_type: 'discrete', clip_sample: false },
    ...{ rescale_betas_zero_snr: false, sample_max_value: 1, set_alpha_to_one: false, skip_prk_steps: true },
    trained_betas: null,
  }),
  s_dpm_trailing: scheduler('DPMSolverMultistepScheduler', '0.21.4', {
    ...{ algorithm_type: 'dpmsolver++', solver_order: 2, solver_type: 'midpoint', lower_order_final: true },
    ...{ use_karras_sigmas: true, timestep_spacing: 'trailing', steps_offset: 1, prediction_type: 'epsilon' },
    ...{ thresholding: false, dynamic_thresholding_ratio: 0.995, sample_max_value: 1, trained_betas: null },
    ...{ clip_sample: false, set_alpha_to_one: false },
  }),
  s_zsnr_v: ddim({
    ...{ prediction_type: 'v_prediction', rescale_betas_zero_snr: true, timestep_spacing: 'trailing' },
    set_alpha_to_one: true,
  }),
  s_zsnr_v_leading: ddim({ prediction_type: 'v_prediction', rescale_betas_zero_snr: true }),
  s_ddpm: scheduler('DDPMScheduler', '0.14.0', {
    ...{ variance_type: 'fixed_small', clip_sample: true, prediction_type: 'epsilon', trained_betas: null },
  }),
  s_ddpm_thresh: scheduler('DDPMScheduler', '0.14.0', {
    ...{ variance_type: 'fixed_small', clip_sample: false, thresholding: true, sample_max_value: 1.5 },
    ...{ prediction_type: 'sample', trained_betas: null, steps_offset: 1, set_alpha_to_one: false },
  }),
  s_unipc_flow: scheduler('UniPCMultistepScheduler', '0.34.0', {
    ...{ use_flow_sigmas: false, prediction_type: 'epsilon', steps_offset: 1, clip_sample: false },
    ...{ set_alpha_to_one: false, final_sigmas_type: 'zero' },
  }),
  s_flowmatch: f =>
    f.write(SCHEDULER, {
      ...{ _class_name: 'FlowMatchEulerDiscreteScheduler', _diffusers_version: '0.34.0' },
      ...{ shift: 3, num_train_timesteps: 1000 },
    }),
  s_cosine: ddim({ beta_start: 0.0001, beta_end: 0.02, beta_schedule: 'squaredcos_cap_v2' }),
  s_sigmoid: scheduler('DDPMScheduler', '0.24.0', {
    ...{ clip_sample: false, steps_offset: 1, beta_start: 0.0001, beta_end: 0.02, beta_schedule: 'sigmoid' },
  }),
  s_vpred_typo: ddim({ prediction_type: 'v-prediction' }),
  s_strings: ddim({ clip_sample: 'false' }),
  s_offset0_expl: ddim({ steps_offset: 0 }),
  s_betas_list: ddim({ trained_betas: Array.from({ length: 1000 }, (_, i) => 0.0001 + i * 1e-5) }),
  s_noclass: ddim({ _class_name: gone, _diffusers_version: gone }),
  s_100steps: ddim({ num_train_timesteps: 100 }),
  s_missing: f => f.removeFolder('scheduler'),
  s_nullindex: edit(INDEX, { scheduler: [null, null] }),
};

const CONFIGS: Readonly<Record<string, Change>> = {
  a_base: () => {},
  a_ema: edit(UNET, {
    ...{ decay: 0.9999, inv_gamma: 1, min_decay: 0, optimization_step: 37000, power: 2 / 3, update_after_step: 0 },
    use_ema_warmup: false,
  }),
  a_unknownfield: edit(UNET, { my_note: 'trained by me', num_train_epochs: 10 }),
  a_vae_extra: edit(VAE, { note: 'x', _name_or_path: 'foo' }),
  a_te_extra: edit(TEXT, {
    ...{ torch_dtype: 'float16', _name_or_path: '/home/someone/x', attn_implementation: 'sdpa' },
    architectures: ['CLIPTextModel'],
  }),
  c_heads_list: edit(UNET, { attention_head_dim: [4, 6, 8] }),
  c_heads_num: edit(UNET, { num_attention_heads: 4 }),
  c_oldest: f => {
    const kept = (path: string, names: string) => {
      const json = f.json(path);
      f.write(path, {
        ...Object.fromEntries(names.split(' ').map(name => [name, json[name]])),
        _diffusers_version: '0.2.2',
      });
    };
    kept(
      UNET,
      'act_fn attention_head_dim block_out_channels center_input_sample cross_attention_dim down_block_types downsample_padding flip_sin_to_cos freq_shift in_channels layers_per_block mid_block_scale_factor norm_eps norm_num_groups out_channels sample_size up_block_types _class_name',
    );
    kept(
      VAE,
      '_class_name act_fn block_out_channels down_block_types in_channels latent_channels layers_per_block norm_num_groups out_channels sample_size up_block_types',
    );
    scheduler('PNDMScheduler', '0.2.2', { skip_prk_steps: true })(f);
    f.write(INDEX, {
      ...{ _class_name: 'StableDiffusionPipeline', _diffusers_version: '0.2.2' },
      ...{ scheduler: ['diffusers', 'PNDMScheduler'], text_encoder: ['transformers', 'CLIPTextModel'] },
      ...{ tokenizer: ['transformers', 'CLIPTokenizer'], unet: ['diffusers', 'UNet2DConditionModel'] },
      vae: ['diffusers', 'AutoencoderKL'],
    });
  },
  i_safety_listed: edit(INDEX, {
    safety_checker: ['stable_diffusion', 'StableDiffusionSafetyChecker'],
    feature_extractor: ['transformers', 'CLIPImageProcessor'],
  }),
  i_nokeys: edit(INDEX, {
    ...{ safety_checker: gone, feature_extractor: gone, image_encoder: gone, requires_safety_checker: gone },
  }),
  i_missing: f => f.remove(INDEX),
  i_xl: edit(INDEX, {
    _class_name: 'StableDiffusionXLPipeline',
    text_encoder_2: ['transformers', 'CLIPTextModelWithProjection'],
    tokenizer_2: ['transformers', 'CLIPTokenizer'],
  }),
  i_unetnull: edit(INDEX, { unet: [null, null] }),
  i_withproj: edit(INDEX, { text_encoder: ['transformers', 'CLIPTextModelWithProjection'] }),
  i_fast: edit(INDEX, { tokenizer: ['transformers', 'CLIPTokenizerFast'] }),
  i_custommod: edit(INDEX, { unet: ['my_unet', 'MyUNet2DConditionModel'] }),
  i_bom: inText(INDEX, text => `\ufeff${text}`),
  i_crlf: inText(UNET, text => text.replaceAll('\n', '\r\n')),
  i_bomcfg: inText(UNET, text => `\ufeff${text}`),
  i_trailing_comma: inText(UNET, text => `${text.trimEnd().slice(0, -1).trimEnd()},\n}`),
  i_diffedit_saved: f => {
    const inverse = ['diffusers', 'DDIMInverseScheduler'];
    f.edit(INDEX, { _class_name: 'StableDiffusionDiffEditPipeline', inverse_scheduler: inverse });
    f.copyFolder('scheduler', 'inverse_scheduler');
    f.edit('inverse_scheduler/scheduler_config.json', { _class_name: 'DDIMInverseScheduler' });
  },
  i_inverse_missing: edit(INDEX, { inverse_scheduler: ['diffusers', 'DDIMInverseScheduler'] }),
  u_samplelist: edit(UNET, { sample_size: [8, 8] }),
  u_samplenull: edit(UNET, { sample_size: null }),
  u_sample_missing: edit(UNET, { sample_size: gone }),
  u_sample_rect: edit(UNET, { sample_size: [8, 16] }),
  u_upcast: edit(UNET, { upcast_attention: true }),
  u_only_cross: edit(UNET, { only_cross_attention: true }),
  u_classemb: edit(UNET, { num_class_embeds: 1000 }),
  u_linear_flag_wrong: edit(UNET, { use_linear_projection: true }),
  u_time_cond: edit(UNET, { time_cond_proj_dim: 256 }),
  u_actmish: edit(UNET, { act_fn: 'mish' }),
  u_freeu: edit(UNET, { _use_default_values: ['x'], _commit_hash: 'y' }),
  u_strnum: edit(UNET, { in_channels: '4' }),
};

/** The autoencoder's attention under its first names, there also as 1x1 convolutions, or in half precision. */
const oldAttention =
  (more: { half?: boolean; kernels?: boolean } = {}): Change =>
  f => {
    const names = { '.to_q.': '.query.', '.to_k.': '.key.', '.to_v.': '.value.', '.to_out.0.': '.proj_attn.' };
    const all = Object.entries(f.tensors(VAE_WEIGHTS)).map(([name, tensor]) => {
      const old = Object.entries(names).reduce((result, [from, to]) => result.replace(from, to), name);
      const kernel = more.kernels && old !== name && tensor.shape.length === 2;
      const shaped = kernel ? { ...tensor, shape: [...tensor.shape, 1, 1] } : tensor;
      return [old, more.half ? cast(shaped, 'F16') : shaped] as const;
    });
    f.save(VAE_WEIGHTS, Object.fromEntries(all));
  };

const toBin = async (f: FolderDraft, from: string, to: string, old = false) => {
  f.write(to, await (old ? asOldTorchFile : asTorchFile)(f.bytes(from)));
  f.remove(from);
};

const NETWORKS: Readonly<Record<string, Change>> = {
  v_oldattn: oldAttention(),
  v_oldattn_half: oldAttention({ half: true }),
  v_oldattn_conv: oldAttention({ kernels: true }),
  v_scaling_missing: edit(VAE, { scaling_factor: gone }),
  v_scaling_13: edit(VAE, { scaling_factor: 0.13025 }),
  v_latmean: edit(VAE, { latents_mean: [0, 0, 0, 0], latents_std: [1, 1, 1, 1] }),
  t_posids: f => {
    const ids = BigInt64Array.from({ length: 77 }, (_, i) => BigInt(i));
    f.tensor(TEXT_WEIGHTS, { 'text_model.embeddings.position_ids': { dtype: 'I64', shape: [1, 77], data: ids } });
  },
  t_textproj: f => {
    f.tensor(TEXT_WEIGHTS, {
      'text_projection.weight': floats([32, 48], new Generator(0).randn([32, 48])),
    });
  },
  t_logit_scale: f => f.tensor(TEXT_WEIGHTS, { logit_scale: floats([], [2.6]) }),
  t_noprefix: f => {
    const all = Object.entries(f.tensors(TEXT_WEIGHTS));
    f.save(TEXT_WEIGHTS, Object.fromEntries(all.map(([name, tensor]) => [name.replace('text_model.', ''), tensor])));
  },
  t_pickle_bin: f => toBin(f, TEXT_WEIGHTS, 'text_encoder/pytorch_model.bin'),
  t_legacy_bin: f => toBin(f, TEXT_WEIGHTS, 'text_encoder/pytorch_model.bin', true),
  t_gelu_new: edit(TEXT, { hidden_act: 'gelu_pytorch_tanh' }),
  t_nested: f => f.write(TEXT, { model_type: 'clip', architectures: ['CLIPModel'], text_config: f.json(TEXT) }),
  t_modeltype_none: edit(TEXT, { model_type: gone }),
  t_clipmodeltype: edit(TEXT, { model_type: 'clip_text_model', architectures: ['CLIPTextModelWithProjection'] }),
};

const all =
  (path: string, dtype: string): Edit =>
  f =>
    f.each(path, tensor => cast(tensor, dtype));
/** One value of a tensor set. */
const spoilt = (f: FolderDraft, dtype: string, name: string, value: number) => {
  const values = valuesOf(f.tensors(UNET_WEIGHTS)[name]).slice();
  values[0] = value;
  f.each(UNET_WEIGHTS, (tensor, key) => {
    const own = key === name ? { ...tensor, data: values } : tensor;
    return dtype === 'F32' ? own : cast(own, dtype);
  });
};

const VALUES: Readonly<Record<string, Change>> = {
  w_unet_bf16: all(UNET_WEIGHTS, 'BF16'),
  w_unet_f16: all(UNET_WEIGHTS, 'F16'),
  w_unet_f64: all(UNET_WEIGHTS, 'F64'),
  w_unet_f8: all(UNET_WEIGHTS, 'F8_E4M3'),
  w_unet_onef64: f => f.each(UNET_WEIGHTS, (tensor, name) => (name === 'conv_in.bias' ? cast(tensor, 'F64') : tensor)),
  w_unet_int8: f => {
    const name = 'mid_block.attentions.0.proj_in.weight';
    const tensor = f.tensors(UNET_WEIGHTS)[name];
    const data = Int8Array.from(valuesOf(tensor), value => Math.trunc(value * 10));
    f.tensor(UNET_WEIGHTS, { [name]: { dtype: 'I8', shape: tensor.shape, data } });
  },
  w_unet_extra: f => {
    f.tensor(UNET_WEIGHTS, {
      'lora_unet.down.weight': floats([4, 4], new Float32Array(16)),
      num_batches_tracked: { dtype: 'I64', shape: [], data: BigInt64Array.of(3n) },
    });
  },
  w_unet_missing: f => f.tensor(UNET_WEIGHTS, { 'conv_out.bias': null }),
  w_unet_nan: f => spoilt(f, 'F32', 'conv_in.weight', Number.NaN),
  w_unet_f16inf: f => spoilt(f, 'F16', 'conv_in.bias', Number.POSITIVE_INFINITY),
  w_empty_tensor: f => f.tensor(UNET_WEIGHTS, { empty: floats([0, 5], []) }),
  w_inpaint9: f => {
    f.edit(UNET, { in_channels: 9 });
    const { shape, ...tensor } = f.tensors(UNET_WEIGHTS)['conv_in.weight'];
    const [out, , height, width] = shape;
    const [from, to] = [4 * height * width, 9 * height * width];
    const data = new Float32Array(out * to);
    for (let i = 0; i < out; i++) {
      data.set(valuesOf({ ...tensor, shape }).subarray(i * from, (i + 1) * from), i * to);
    }
    f.tensor(UNET_WEIGHTS, { 'conv_in.weight': floats([out, 9, height, width], data) });
  },
  w_cfg9_w4: edit(UNET, { in_channels: 9 }),
  w_wrongbase: edit(UNET, { cross_attention_dim: 1024 }),
  w_truncated: f => f.write(UNET_WEIGHTS, f.bytes(UNET_WEIGHTS).slice(0, f.bytes(UNET_WEIGHTS).length / 2)),
  w_lfs: f => f.write(UNET_WEIGHTS, 'version https://git-lfs.github.com/spec/v1\noid sha256:0000\nsize 3438167536\n'),
  w_htmlerr: f => f.write(UNET_WEIGHTS, '<html><body>404 Not Found</body></html>'),
  w_cfg_html: f => f.write(UNET, 'Entry not found'),
};

const halved = (f: FolderDraft, path: string) => {
  all(path, 'F16')(f);
  f.rename(path, path.replace('.safetensors', '.fp16.safetensors'));
};

const NAMES: Readonly<Record<string, Change>> = {
  n_fp16only: f => {
    for (const path of WEIGHTS) halved(f, path);
  },
  n_nonema: f => f.rename(UNET_WEIGHTS, 'unet/diffusion_pytorch_model.non_ema.safetensors'),
  n_fp16_partial: f => halved(f, UNET_WEIGHTS),
  n_bin: async f => {
    for (const path of [UNET_WEIGHTS, VAE_WEIGHTS]) await toBin(f, path, path.replace('.safetensors', '.bin'));
  },
  n_bin_half: async f => {
    all(UNET_WEIGHTS, 'F16')(f);
    await toBin(f, UNET_WEIGHTS, UNET_WEIGHTS.replace('.safetensors', '.bin'));
  },
  n_modelsafe: f => f.rename(UNET_WEIGHTS, 'unet/model.safetensors'),
  n_te_wrongname: f => f.rename(TEXT_WEIGHTS, 'text_encoder/diffusion_pytorch_model.safetensors'),
  n_flax: f => {
    f.rename(UNET_WEIGHTS, 'unet/diffusion_flax_model.msgpack');
    f.rename(VAE_WEIGHTS, 'vae/diffusion_flax_model.msgpack');
    f.rename(TEXT_WEIGHTS, 'text_encoder/flax_model.msgpack');
  },
  n_onnx: f => f.rename(UNET_WEIGHTS, 'unet/model.onnx'),
  n_ckpt_in_folder: f => {
    f.remove(UNET_WEIGHTS);
    f.write('v1-5-pruned.ckpt', 'x');
  },
};

/** The UNet's tensors in two files by turns, with their index. */
const shards = (f: FolderDraft, metadata: Fields) => {
  const tensors = Object.entries(f.tensors(UNET_WEIGHTS)).sort(([a], [b]) => (a < b ? -1 : 1));
  const map: Record<string, string> = {};
  for (const i of [0, 1]) {
    const file = `diffusion_pytorch_model-0000${i + 1}-of-00002.safetensors`;
    const part = Object.fromEntries(tensors.filter((_, n) => n % 2 === i));
    f.save(`unet/${file}`, part);
    for (const name of Object.keys(part)) map[name] = file;
  }
  f.remove(UNET_WEIGHTS);
  f.write(`${UNET_WEIGHTS}.index.json`, { ...metadata, weight_map: map });
};

const SHARDS: Readonly<Record<string, Change>> = {
  h_shards: f => shards(f, { metadata: { total_size: 1 } }),
  h_shard_missing: f => {
    shards(f, {});
    f.remove('unet/diffusion_pytorch_model-00002-of-00002.safetensors');
  },
  h_both: f => f.write(`${UNET_WEIGHTS}.index.json`, { weight_map: { a: 'nope.safetensors' } }),
};

const TOY = '<cat-toy>';
/** How transformers writes a token down. */
const token = (content: string, id: number, special: boolean, normalized: boolean) => ({
  ...{ id, content, lstrip: false, normalized, rstrip: false, single_word: false, special },
});

/** The special tokens, and others, as transformers writes them into the folder's settings; returns them. */
const saved = (f: FolderDraft, ...more: readonly ReturnType<typeof token>[]) => {
  const vocab = f.json('tokenizer/vocab.json');
  const marks = ['<|startoftext|>', '<|endoftext|>'].map(name => token(name, vocab[name], true, true));
  const known = [token('!', vocab['!'], true, false), ...marks, ...more];
  f.edit(TOKENIZER, {
    added_tokens_decoder: Object.fromEntries(known.map(({ id, ...settings }) => [id, settings])),
    ...{ clean_up_tokenization_spaces: false, extra_special_tokens: {} },
  });
  return known;
};

/** A tokenizer to which a token was added, as transformers saves it; returns its id. */
const withToy = (f: FolderDraft): number => {
  const id = Object.keys(f.json('tokenizer/vocab.json')).length;
  saved(f, token(TOY, id, false, true));
  f.write('tokenizer/added_tokens.json', { [TOY]: id });
  return id;
};

const TOKENIZERS: Readonly<Record<string, Change>> = {
  k_jsononly: f => {
    const merges = f.text('tokenizer/merges.txt').trim().split('\n').slice(1);
    const vocab = f.json('tokenizer/vocab.json');
    f.write('tokenizer/tokenizer.json', {
      version: '1.0',
      added_tokens: saved(f),
      normalizer: null,
      model: {
        ...{ type: 'BPE', unk_token: '<|endoftext|>', end_of_word_suffix: '</w>', vocab },
        merges: merges.map(line => line.split(' ')),
      },
    });
    f.remove('tokenizer/vocab.json', 'tokenizer/merges.txt');
  },
  k_nomaxlen: edit(TOKENIZER, { model_max_length: gone }),
  k_hugemaxlen: inText(TOKENIZER, text =>
    text.replace(/("model_max_length": )\d+/, '$11000000000000000019884624838656'),
  ),
  k_maxlen_512: edit(TOKENIZER, { model_max_length: 512 }),
  k_noconfig: f => f.remove(TOKENIZER, 'tokenizer/special_tokens_map.json'),
  k_ti: f => {
    const name = 'text_model.embeddings.token_embedding.weight';
    const { shape, ...tensor } = f.tensors(TEXT_WEIGHTS)[name];
    const size = withToy(f);
    const row = new Generator(3).randn([1, shape[1]]).map(value => value * 0.1);
    const grown = floats([size + 1, shape[1]], [...valuesOf({ ...tensor, shape }), ...row]);
    f.tensor(TEXT_WEIGHTS, { [name]: grown });
    f.edit(TEXT, { vocab_size: size + 1 });
  },
  k_ti_noresize: f => {
    withToy(f);
  },
  k_missing_merges: f => f.remove('tokenizer/merges.txt'),
};

/** All folders by name: what makes each of the base. */
export const OUTSIDE_FOLDERS: Readonly<Record<string, Change>> = {
  ...{ ...CONFIGS, ...SCHEDULERS, ...NETWORKS, ...VALUES },
  ...{ ...NAMES, ...SHARDS, ...TOKENIZERS },
};

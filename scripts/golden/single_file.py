"""Single-file checkpoints in LDM's names: two small models and the two published architectures, and what diffusers makes of them.

Writes test/golden/single-file/: names.json.gz (every tensor of each file with its shape; the small files' values are a function of name and
index, as in fullsize.py and test/support/fake-weights.ts, so that no weights are kept), configs.json (what diffusers' from_single_file
derives), v1.yaml and v2.yaml (training configs of the small models), golden.safetensors and golden.json (text embeddings and inverted
latents of the small models, the names of what diffusers calls unexpected).

The names come from the library's own state dicts by a renaming of our own; that it is right is shown by diffusers, which must find every
tensor of its models in the file and in their shapes: the small files through StableDiffusionPipeline.from_single_file, the large ones, on
torch's meta device, through the converters that it calls.

    python scripts/golden/single_file.py     torch 2.13.0, transformers 4.57.6, diffusers 0.34.0
"""

import gzip
import importlib.metadata
import json
import pathlib
import re
import shutil
import tempfile

import numpy as np
import torch
import yaml
from diffusers import (
    AutoencoderKL,
    DDIMInverseScheduler,
    DDIMScheduler,
    StableDiffusionDiffEditPipeline,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from diffusers.loaders import single_file_utils as ldm
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel

torch.set_grad_enabled(False)
torch.set_num_threads(1)
ROOT = pathlib.Path(__file__).resolve().parents[2]
OUT = ROOT / "test/golden/single-file"
TOKENIZER = ROOT / "test/golden/sd1/model/tokenizer"
PICTURE = load_file(ROOT / "test/golden/sd1/golden.safetensors")["image"].numpy().astype(np.uint8)
PROMPT, STEPS, GUIDANCE, STRENGTH, SEED = "a bowl of fruits", 4, 1.5, 0.8, 3


def fake(name, shape):
    """As in fullsize.py."""
    seed = 2166136261
    for byte in name.encode():
        seed = ((seed ^ byte) * 16777619) & 0xFFFFFFFF
    with np.errstate(over="ignore"):
        x = np.arange(int(np.prod(shape)), dtype=np.uint32) * np.uint32(0x9E3779B1) + np.uint32(seed)
        x ^= x >> np.uint32(16)
        x *= np.uint32(0x85EBCA6B)
        x ^= x >> np.uint32(13)
        x *= np.uint32(0xC2B2AE35)
        x ^= x >> np.uint32(16)
    v = (x >> np.uint32(8)).astype(np.float64) * (2.0 / (1 << 24)) - 1.0
    if name.endswith(("token_embedding.weight", "position_embedding.weight")):
        v *= 0.04
    elif len(shape) == 1:
        v = 1 + 0.1 * v if name.endswith("weight") else 0.05 * v
    else:
        v *= np.sqrt(3.0 / np.prod(shape[1:]))
    return torch.from_numpy(v.astype(np.float32).astype(np.float16).reshape(shape))


# --- diffusers' names to LDM's ------------------------------------------------------------------------------------------------


def renamed(name, table):
    for new, old in table:
        name = name.replace(new, old)
    return name


RESNET = [("norm1.", "in_layers.0."), ("conv1.", "in_layers.2."), ("time_emb_proj.", "emb_layers.1."),
          ("norm2.", "out_layers.0."), ("conv2.", "out_layers.3."), ("conv_shortcut.", "skip_connection.")]


def unet_names(state, layers):
    """LDM's name -> shape for a UNet of so many residual blocks a level."""
    found, n = {}, layers + 1
    up_attention = {m[1] for k in state if (m := re.match(r"up_blocks\.(\d+)\.attentions\.", k))}
    for name, shape in state.items():
        head = renamed(name, [("time_embedding.linear_1", "time_embed.0"), ("time_embedding.linear_2", "time_embed.2"),
                              ("conv_norm_out", "out.0"), ("conv_out", "out.2"), ("conv_in", "input_blocks.0.0")])
        if m := re.match(r"down_blocks\.(\d+)\.(resnets|attentions)\.(\d+)\.(.+)", name):
            b, kind, l, rest = m.groups()
            slot, inner = (0, renamed(rest, RESNET)) if kind == "resnets" else (1, rest)
            head = f"input_blocks.{1 + int(b) * n + int(l)}.{slot}.{inner}"
        elif m := re.match(r"down_blocks\.(\d+)\.downsamplers\.0\.conv\.(.+)", name):
            head = f"input_blocks.{(int(m[1]) + 1) * n}.0.op.{m[2]}"
        elif m := re.match(r"up_blocks\.(\d+)\.(resnets|attentions)\.(\d+)\.(.+)", name):
            b, kind, l, rest = m.groups()
            slot, inner = (0, renamed(rest, RESNET)) if kind == "resnets" else (1, rest)
            head = f"output_blocks.{int(b) * n + int(l)}.{slot}.{inner}"
        elif m := re.match(r"up_blocks\.(\d+)\.upsamplers\.0\.conv\.(.+)", name):
            head = f"output_blocks.{int(m[1]) * n + layers}.{2 if m[1] in up_attention else 1}.conv.{m[2]}"
        elif m := re.match(r"mid_block\.(resnets|attentions)\.(\d)\.(.+)", name):
            inner = renamed(m[3], RESNET) if m[1] == "resnets" else m[3]
            head = f"middle_block.{1 if m[1] == 'attentions' else 2 * int(m[2])}.{inner}"
        found["model.diffusion_model." + head] = list(shape)
    return found


def vae_names(state, levels):
    found = {}
    for name, shape in state.items():
        name = renamed(name, [("conv_norm_out", "norm_out"), ("conv_shortcut", "nin_shortcut")])
        name = re.sub(r"down_blocks\.(\d+)\.resnets\.", r"down.\1.block.", name)
        name = re.sub(r"down_blocks\.(\d+)\.downsamplers\.0\.", r"down.\1.downsample.", name)
        name = re.sub(r"up_blocks\.(\d+)\.resnets\.", lambda m: f"up.{levels - 1 - int(m[1])}.block.", name)
        name = re.sub(r"up_blocks\.(\d+)\.upsamplers\.0\.", lambda m: f"up.{levels - 1 - int(m[1])}.upsample.", name)
        name = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", name)
        attention = [("group_norm", "norm"), ("to_q", "q"), ("to_k", "k"), ("to_v", "v"), ("to_out.0", "proj_out")]
        if "mid_block.attentions.0." in name:
            name = renamed(name.replace("mid_block.attentions.0.", "mid.attn_1."), attention)
            shape = list(shape) + ([1, 1] if len(shape) == 2 else [])
        found["first_stage_model." + name] = list(shape)
    return found


def clip_names(state):
    names = {k if k.startswith("text_model.") else f"text_model.{k}": list(s) for k, s in state.items()}
    names["text_model.embeddings.position_ids"] = [1, 77]
    return {f"cond_stage_model.transformer.{k}": s for k, s in names.items()}


def open_clip_names(width, hidden, layers, vocabulary):
    """What mlfoundations/open_clip's text tower saves, with the parts that Stable Diffusion does not use."""
    names = {"positional_embedding": [77, width], "text_projection": [width, width], "logit_scale": [], "attn_mask": [77, 77],
             "token_embedding.weight": [vocabulary, width], "ln_final.weight": [width], "ln_final.bias": [width]}
    for i in range(layers):
        block = {"ln_1.weight": [width], "ln_1.bias": [width], "ln_2.weight": [width], "ln_2.bias": [width],
                 "attn.in_proj_weight": [3 * width, width], "attn.in_proj_bias": [3 * width],
                 "attn.out_proj.weight": [width, width], "attn.out_proj.bias": [width],
                 "mlp.c_fc.weight": [hidden, width], "mlp.c_fc.bias": [hidden],
                 "mlp.c_proj.weight": [width, hidden], "mlp.c_proj.bias": [width]}
        names |= {f"transformer.resblocks.{i}.{k}": s for k, s in block.items()}
    return {f"cond_stage_model.model.{k}": s for k, s in names.items()}


# What training leaves beside the networks.
BUFFERS = ["betas", "alphas_cumprod", "alphas_cumprod_prev", "sqrt_alphas_cumprod", "sqrt_one_minus_alphas_cumprod",
           "log_one_minus_alphas_cumprod", "sqrt_recip_alphas_cumprod", "sqrt_recipm1_alphas_cumprod", "posterior_variance",
           "posterior_log_variance_clipped", "posterior_mean_coef1", "posterior_mean_coef2", "lvlb_weights"]


def shapes(module):
    return {k: tuple(v.shape) for k, v in module.state_dict().items()}


def unet_config(channels, layers, context, heads, linear):
    attention = len(channels) - 1
    return dict(sample_size=64, in_channels=4, out_channels=4, block_out_channels=channels, layers_per_block=layers,
                down_block_types=["CrossAttnDownBlock2D"] * attention + ["DownBlock2D"],
                up_block_types=["UpBlock2D"] + ["CrossAttnUpBlock2D"] * attention,
                cross_attention_dim=context, attention_head_dim=heads, use_linear_projection=linear)


def vae_config(channels, layers):
    n = len(channels)
    return dict(in_channels=3, out_channels=3, latent_channels=4, block_out_channels=channels, layers_per_block=layers,
                down_block_types=["DownEncoderBlock2D"] * n, up_block_types=["UpDecoderBlock2D"] * n, norm_num_groups=32)


def clip_config(width, hidden, layers, act, vocabulary):
    return CLIPTextConfig(vocab_size=vocabulary, hidden_size=width, intermediate_size=hidden, num_hidden_layers=layers,
                          num_attention_heads=width // 64, hidden_act=act, projection_dim=512, bos_token_id=0, eos_token_id=2)


MODELS = {
    "tiny1": dict(version=1, unet=unet_config([32, 64, 64], 1, 64, 8, False), vae=vae_config([32, 64], 1),
                  text=clip_config(64, 128, 2, "quick_gelu", 661)),
    "tiny2": dict(version=2, unet=unet_config([64, 128], 2, 64, [1, 2], True), vae=vae_config([32, 64], 1),
                  text=clip_config(64, 96, 23, "gelu", 661)),
    "sd15": dict(version=1, unet=unet_config([320, 640, 1280, 1280], 2, 768, 8, False), vae=vae_config([128, 256, 512, 512], 2),
                 text=clip_config(768, 3072, 12, "quick_gelu", 49408)),
    "sd21": dict(version=2, unet=unet_config([320, 640, 1280, 1280], 2, 1024, [5, 10, 20, 20], True),
                 vae=vae_config([128, 256, 512, 512], 2), text=clip_config(1024, 4096, 23, "gelu", 49408)),
}


def ldm_names(model):
    with torch.device("meta"):
        unet, vae = UNet2DConditionModel(**model["unet"]), AutoencoderKL(**model["vae"])
        text = CLIPTextModel(model["text"])
    c = model["text"]
    names = unet_names(shapes(unet), model["unet"]["layers_per_block"])
    names |= vae_names(shapes(vae), len(model["vae"]["block_out_channels"]))
    if model["version"] == 1:
        names |= clip_names(shapes(text))
    else:  # one layer more, which is dropped
        names |= open_clip_names(c.hidden_size, c.intermediate_size, c.num_hidden_layers + 1, c.vocab_size)
    return names | {name: [1000] for name in BUFFERS}


def check_converters(model, names):
    """Every tensor of diffusers' models is in the file, by diffusers' own renaming; nothing is left but what it ignores."""
    def file():
        return {k: torch.empty(s, device="meta") for k, s in names.items()}
    with torch.device("meta"):
        unet, vae = UNet2DConditionModel(**model["unet"]), AutoencoderKL(**model["vae"])
    got = ldm.convert_ldm_unet_checkpoint(file(), model["unet"])
    assert {k: tuple(v.shape) for k, v in got.items()} == shapes(unet)
    got = ldm.convert_ldm_vae_checkpoint(file(), model["vae"])
    assert {k: tuple(v.shape) for k, v in got.items()} == shapes(vae)
    text = CLIPTextModel(model["text"])
    got = ldm.convert_ldm_clip_checkpoint(file(), remove_prefix="cond_stage_model.transformer.") if model["version"] == 1 else \
        ldm.convert_open_clip_checkpoint(text, file(), prefix="cond_stage_model.model.")
    wanted = {k if k.startswith("text_model.") else f"text_model.{k}": s for k, s in shapes(text).items()}
    missing = {k: s for k, s in wanted.items() if tuple(got[k].shape if k in got else ()) != s}
    assert not missing, missing
    return sorted(set(got) - set(wanted))


def training_config(model, name):
    u, v = model["unet"], model["vae"]
    channels, first = u["block_out_channels"], u["block_out_channels"][0]
    second = model["version"] == 2
    unet = dict(image_size=32, in_channels=4, out_channels=4, model_channels=first,
                attention_resolutions=[2 ** i for i in reversed(range(len(channels) - 1))], num_res_blocks=u["layers_per_block"],
                channel_mult=[c // first for c in channels], use_spatial_transformer=True, transformer_depth=1,
                context_dim=u["cross_attention_dim"], use_checkpoint=True, legacy=False)
    unet |= dict(num_head_channels=64, use_linear_in_transformer=True) if second else dict(num_heads=8)
    first_vae = v["block_out_channels"][0]
    vae = dict(double_z=True, z_channels=4, resolution=256, in_channels=3, out_ch=3, ch=first_vae,
               ch_mult=[c // first_vae for c in v["block_out_channels"]], num_res_blocks=v["layers_per_block"], attn_resolutions=[],
               dropout=0.0)
    params = dict(linear_start=0.00085, linear_end=0.012, timesteps=1000, image_size=64, channels=4, scale_factor=0.18215,
                  unet_config=dict(target="ldm.modules.diffusionmodules.openaimodel.UNetModel", params=unet),
                  first_stage_config=dict(target="ldm.models.autoencoder.AutoencoderKL", params=dict(embed_dim=4, ddconfig=vae)),
                  cond_stage_config=dict(target="ldm.modules.encoders.modules.FrozenOpenCLIPEmbedder",
                                         params=dict(freeze=True, layer="penultimate")) if second else
                  dict(target="ldm.modules.encoders.modules.FrozenCLIPEmbedder"))
    if second:
        params = dict(parameterization="v") | params
    text = yaml.safe_dump(dict(model=dict(target="ldm.models.diffusion.ddpm.LatentDiffusion", params=params)), sort_keys=False)
    (OUT / f"v{model['version']}.yaml").write_text(f"# Training config of the small model {name}, as LDM's users keep it beside a checkpoint.\n{text}")


def config_folder(model, to):
    """What from_single_file takes from a folder: the text encoder's config, tokenizer, scheduler, model_index.json."""
    shutil.copytree(ROOT / "test/golden/sd1/model/scheduler", to / "scheduler")
    shutil.copytree(TOKENIZER, to / "tokenizer")
    pad = "!" if model["version"] == 2 else "<|endoftext|>"
    for file in ("special_tokens_map.json", "tokenizer_config.json"):
        path = to / "tokenizer" / file
        path.write_text(json.dumps({**json.loads(path.read_text()), "pad_token": pad}))
    model["text"].save_pretrained(to / "text_encoder")
    for part, made in (("unet", UNet2DConditionModel(**model["unet"])), ("vae", AutoencoderKL(**model["vae"]))):
        made.save_config(to / part)
    shutil.copy(ROOT / "test/golden/sd1/model/model_index.json", to)


def averaged(key):
    return "model_ema." + "".join(key.split(".")[1:])


def file_of(names, ema):
    tensors = {}
    for name, shape in names.items():
        tensors[name] = torch.arange(77).reshape(1, 77) if name.endswith("position_ids") else fake(name, shape).clone()
    if ema:
        tensors |= {averaged(n): fake(averaged(n), s) for n, s in names.items() if n.startswith("model.diffusion_model.")}
    return tensors


golden, notes, configs = {}, {}, {}


def record(case, pipe, prediction):
    edit = StableDiffusionDiffEditPipeline(
        vae=pipe.vae, text_encoder=pipe.text_encoder, tokenizer=pipe.tokenizer, unet=pipe.unet,
        scheduler=DDIMScheduler.from_config(pipe.scheduler.config, prediction_type=prediction),
        safety_checker=None, feature_extractor=None, inverse_scheduler=None, requires_safety_checker=False)
    edit.inverse_scheduler = DDIMInverseScheduler.from_config(edit.scheduler.config)
    edit.set_progress_bar_config(disable=True)
    ids = edit.tokenizer([PROMPT], padding="max_length", truncation=True, max_length=77, return_tensors="pt").input_ids
    golden[f"{case}.input_ids"] = ids.to(torch.int32)
    golden[f"{case}.text"] = edit.text_encoder(ids).last_hidden_state.float().contiguous()
    golden[f"{case}.inverted"] = edit.invert(
        image=Image.fromarray(PICTURE), prompt=PROMPT, num_inference_steps=STEPS, guidance_scale=GUIDANCE, inpaint_strength=STRENGTH,
        generator=torch.Generator().manual_seed(SEED)).latents.float().contiguous()
    notes[case] = dict(prediction_type=prediction, steps_offset=edit.scheduler.config.steps_offset,
                       deviation=float(golden[f"{case}.inverted"].std()))


OUT.mkdir(parents=True, exist_ok=True)
all_names = {}
unexpected = {}
for name, model in MODELS.items():
    names = all_names[name] = ldm_names(model)
    unexpected[name] = check_converters(model, names)
    if not name.startswith("tiny"):
        continue
    training_config(model, name)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        config_folder(model, folder / "config")
        for ema in (False, True) if name == "tiny1" else (False,):
            save_file(file_of(names, ema), folder / "model.safetensors")
            pipe = StableDiffusionPipeline.from_single_file(
                str(folder / "model.safetensors"), config=str(folder / "config"), original_config=str(OUT / f"v{model['version']}.yaml"),
                extract_ema=ema, torch_dtype=torch.float32, safety_checker=None, local_files_only=True)
            case = f"{name}{'.ema' if ema else ''}"
            record(case, pipe, "v_prediction" if model["version"] == 2 else "epsilon")
            if name == "tiny2":
                record("tiny2.epsilon", pipe, "epsilon")
            if ema:
                continue
            keep = lambda c: {k: v for k, v in dict(c).items() if not k.startswith("_")}
            configs[name] = dict(unet=keep(pipe.unet.config), vae=keep(pipe.vae.config), text=pipe.text_encoder.config.to_diff_dict())
            print(case, notes[case], pipe.scheduler.__class__.__name__, flush=True)

packed = gzip.compress(json.dumps(all_names, separators=(",", ":")).encode(), mtime=0)
(OUT / "names.json.gz").write_bytes(packed)
(OUT / "configs.json").write_text(json.dumps(configs, indent=1))
save_file(golden, OUT / "golden.safetensors")
(OUT / "golden.json").write_text(json.dumps(dict(
    prompt=PROMPT, steps=STEPS, guidance_scale=GUIDANCE, inpaint_strength=STRENGTH, seed=SEED, cases=notes, unexpected=unexpected,
    versions={p: importlib.metadata.version(p) for p in ("torch", "transformers", "diffusers", "safetensors", "numpy")}), indent=1))

"""Names and shapes of the published architectures, as the real classes give them, and what they compute with made-up weights.

Writes test/golden/fullsize/: shapes.json (config and tensors of each network, no weights), golden.safetensors and
golden.json (inputs and outputs); test/golden/fullsize-float32/: outputs for the same inputs with weights that are not rounded
to float16, those of the VAE at 768 x 768 and those of two layers of Flan-T5 xl: every n-th value of each, golden.json has the
n. The weights are a function of a tensor's name and index (test/support/fake-weights.ts has the same one), so that a gigabyte
of them needs no file; those of fullsize are held as float16. Arithmetic is float32, for T5 float64.

    python scripts/golden/fullsize.py [shapes] [clip vae unet blip t5]     torch 2.13.0, transformers 4.57.6, diffusers 0.34.0
    python scripts/golden/fullsize.py float32 [clip vae unet blip vae768 t5-xl]
"""

import json
import os
import sys

import diffusers
import numpy as np
import torch
import transformers
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from transformers import (
    BlipConfig,
    BlipForConditionalGeneration,
    CLIPTextConfig,
    CLIPTextModel,
    T5Config,
    T5ForConditionalGeneration,
)

OUT = os.path.join(os.path.dirname(__file__), "..", "..", "test", "golden", "fullsize")
TABLES = (
    "token_embedding.weight",
    "position_embedding.weight",
    "position_embedding",
    "shared.weight",
    "embed_tokens.weight",
    "word_embeddings.weight",
    "position_embeddings.weight",
    "relative_attention_bias.weight",
    "class_embedding",
)


def fake(name, shape, half=True):
    """Noise with unit gain: a hash of name (FNV-1a) and index, uniform in [-1, 1), scaled by the kind of tensor."""
    seed = 2166136261
    for byte in name.encode():
        seed = ((seed ^ byte) * 16777619) & 0xFFFFFFFF
    count = int(np.prod(shape))
    with np.errstate(over="ignore"):
        x = np.arange(count, dtype=np.uint32) * np.uint32(0x9E3779B1) + np.uint32(seed)
        x ^= x >> np.uint32(16)
        x *= np.uint32(0x85EBCA6B)
        x ^= x >> np.uint32(13)
        x *= np.uint32(0xC2B2AE35)
        x ^= x >> np.uint32(16)
    v = (x >> np.uint32(8)).astype(np.float64) * (2.0 / (1 << 24)) - 1.0
    if name.endswith(TABLES):
        v *= 0.04
    elif len(shape) == 1:
        v = 1 + 0.1 * v if name.endswith("weight") else 0.05 * v
    else:
        v *= np.sqrt(3.0 / np.prod(shape[1:]))
    v = v.astype(np.float32)
    return (v.astype(np.float16).astype(np.float32) if half else v).reshape(shape)


def clip(width=1024, layers=23, heads=16, act="gelu", projection=512):
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=49408,
            hidden_size=width,
            intermediate_size=4 * width,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            hidden_act=act,
            projection_dim=projection,
            bos_token_id=0,
            eos_token_id=2,
            pad_token_id=1,
        )
    )


def clip15():
    return clip(768, 12, 12, "quick_gelu", 768)


def vae(sample_size=768):
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        latent_channels=4,
        sample_size=sample_size,
        block_out_channels=(128, 256, 512, 512),
        layers_per_block=2,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
    )


ATTENTION_21 = dict(
    cross_attention_dim=1024,
    attention_head_dim=(5, 10, 20, 20),
    use_linear_projection=True,
    upcast_attention=True,
)


def unet(sample_size=96, attention=ATTENTION_21):
    return UNet2DConditionModel(
        sample_size=sample_size,
        in_channels=4,
        out_channels=4,
        block_out_channels=(320, 640, 1280, 1280),
        layers_per_block=2,
        down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
        **attention,
    )


def unet15():
    return unet(64, dict(cross_attention_dim=768, attention_head_dim=8))


def blip():
    text = dict(
        vocab_size=30524,
        hidden_size=768,
        encoder_hidden_size=768,
        intermediate_size=3072,
        num_hidden_layers=12,
        num_attention_heads=12,
        max_position_embeddings=512,
        bos_token_id=30522,
        eos_token_id=2,
        pad_token_id=0,
        sep_token_id=102,
    )
    vision = dict(
        hidden_size=768,
        intermediate_size=3072,
        num_hidden_layers=12,
        num_attention_heads=12,
        image_size=384,
        patch_size=16,
    )
    return BlipForConditionalGeneration(BlipConfig(text_config=text, vision_config=vision))


def t5(width=1024, hidden=2816, heads=16, layers=24):
    return T5ForConditionalGeneration(
        T5Config(
            vocab_size=32128,
            d_model=width,
            d_kv=64,
            d_ff=hidden,
            num_layers=layers,
            num_decoder_layers=layers,
            num_heads=heads,
            feed_forward_proj="gated-gelu",
            tie_word_embeddings=False,
            decoder_start_token_id=0,
        )
    )


MODELS = {"clip": clip, "vae": vae, "unet": unet, "blip": blip, "t5": t5}
# Only names and shapes of these are recorded.
OTHERS = {
    "clip-1.5": clip15,
    "vae-1.5": lambda: vae(512),
    "unet-1.5": unet15,
    "t5-small": lambda: t5(512, 1024, 6, 8),
    "t5-xl": lambda: t5(2048, 5120, 32, 24),
}


def tensors(model):
    """What a file holds: floating tensors, tied ones once, under their first name."""
    seen = set()
    for name, tensor in model.state_dict(keep_vars=True).items():
        if tensor.is_floating_point() and id(tensor) not in seen:
            seen.add(id(tensor))
            yield name, tensor


def write_shapes():
    found = {}
    for part, make in {**MODELS, **OTHERS}.items():
        with torch.device("meta"):
            model = make()
        config = model.config.to_diff_dict() if hasattr(model.config, "to_diff_dict") else dict(model.config)
        keep = {k: v for k, v in config.items() if not k.startswith("_")}
        found[part] = {"config": keep, "tensors": {name: list(t.shape) for name, t in tensors(model)}}
        print(part, len(found[part]["tensors"]), sum(int(np.prod(s)) for s in found[part]["tensors"].values()))
    with open(os.path.join(OUT, "shapes.json"), "w") as file:
        json.dump(found, file, separators=(",", ":"), default=str)
        file.write("\n")


def filled(part, half=True):
    model = (t5(2048, 5120, 32, 2) if part == "t5-xl" else MODELS[part]()).eval()
    for name, tensor in tensors(model):
        tensor.data.copy_(torch.from_numpy(fake(name, tuple(tensor.shape), half)))
    return model


def run(parts):
    torch.set_grad_enabled(False)
    draw = torch.Generator().manual_seed(2026)
    out = {}
    about = {
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__, "diffusers": diffusers.__version__},
        "weights": "float16 values by name and index, arithmetic float32",
        "timestep": 481,
        "torch_error": {},
    }
    if "clip" in parts:
        model = filled("clip")
        ids = torch.zeros(1, 77, dtype=torch.long)
        ids[0, :6] = torch.tensor([49406, 320, 3814, 539, 13282, 49407])
        out["clip.input_ids"] = ids
        out["clip.last_hidden_state"] = model(ids).last_hidden_state
    if "vae" in parts:
        model = filled("vae")
        image = torch.rand(1, 3, 64, 96, generator=draw) * 2 - 1
        posterior = model.encode(image).latent_dist
        z = torch.randn(1, 4, 8, 12, generator=draw)
        out.update({"vae.image": image, "vae.mean": posterior.mean, "vae.std": posterior.std, "vae.z": z})
        out["vae.decoded"] = model.decode(z).sample
    if "unet" in parts:
        model = filled("unet")
        for name, (height, width) in dict(small=(8, 8), odd=(9, 13), mid=(32, 32)).items():
            sample = torch.randn(1, 4, height, width, generator=draw)
            context = torch.randn(1, 77, 1024, generator=draw)
            out.update({f"unet.{name}.sample": sample, f"unet.{name}.context": context})
            out[f"unet.{name}.out"] = model(sample, 481, context).sample
    if "blip" in parts:
        model = filled("blip")
        pixels = torch.randn(1, 3, 384, 384, generator=draw)
        vision = model.vision_model(pixels).last_hidden_state
        ids = torch.tensor([[30522, 1037, 9982, 1997]])
        out.update({"blip.pixel_values": pixels, "blip.vision": vision[:, :40], "blip.input_ids": ids})
        out["blip.logits"] = model.text_decoder(input_ids=ids, encoder_hidden_states=vision).logits
    if "t5" in parts:
        model = filled("t5")
        ids = torch.randint(3, 32000, (1, 19), generator=draw)
        answers = torch.randint(3, 32000, (1, 5), generator=draw)
        answers[0, 0] = 0
        out.update({"t5.input_ids": ids, "t5.decoder_input_ids": answers})
        # Scores without a scale are large, and made-up weights make softmax a choice between near ties: torch's own float32 is
        # off by more than the usual bound. So the truth is float64, and torch's error is the measure of ours.
        single = model(input_ids=ids, decoder_input_ids=answers)
        double = model.double()(input_ids=ids, decoder_input_ids=answers)
        for name, a, b in (
            ("t5.encoder", single.encoder_last_hidden_state, double.encoder_last_hidden_state),
            ("t5.logits", single.logits, double.logits),
        ):
            out[name] = b
            about["torch_error"][name] = float((a - b).norm() / b.norm())
    with open(os.path.join(OUT, "golden.json"), "w") as file:
        json.dump(about, file)
        file.write("\n")
    plain = {k: (v.float() if v.is_floating_point() else v.to(torch.int32)).contiguous() for k, v in out.items()}
    save_file(plain, os.path.join(OUT, "golden.safetensors"))


SAMPLES = 4096


def run_float32(parts):
    """Outputs with weights that are not rounded to float16: `SAMPLES` values of each or a few more, spread evenly."""
    torch.set_grad_enabled(False)
    given = load_file(os.path.join(OUT, "golden.safetensors"))
    folder = OUT + "-float32"
    path = os.path.join(folder, "golden.safetensors")
    out = load_file(path) if os.path.exists(path) else {}
    every, torch_error = {}, {}
    if out:
        with open(os.path.join(folder, "golden.json")) as file:
            about = json.load(file)
            every, torch_error = about["every"], about.get("torch_error", {})

    def put(name, value):
        flat = value.flatten()
        every[name] = max(1, len(flat) // SAMPLES)
        out[name] = flat[:: every[name]].float().clone()

    if "clip" in parts:
        put("clip.last_hidden_state", filled("clip", False)(given["clip.input_ids"].long()).last_hidden_state)
    if "vae" in parts:
        model = filled("vae", False)
        posterior = model.encode(given["vae.image"]).latent_dist
        put("vae.mean", posterior.mean)
        put("vae.std", posterior.std)
        put("vae.decoded", model.decode(given["vae.z"]).sample)
    if "vae768" in parts:
        model = filled("vae", False)
        # Inputs too large to keep: evenly spread in [-1, 1), by name and index as the weights are; latents of unit variance.
        image = torch.from_numpy(20 * fake("vae768.image", (3 * 768 * 768,), False)).reshape(1, 3, 768, 768)
        z = torch.from_numpy(np.float32(20 * np.sqrt(3)) * fake("vae768.z", (4 * 96 * 96,), False)).reshape(1, 4, 96, 96)
        posterior = model.encode(image).latent_dist
        put("vae768.mean", posterior.mean)
        put("vae768.std", posterior.std)
        print("encoded", flush=True)
        put("vae768.decoded", model.decode(z).sample)
    if "unet" in parts:
        model = filled("unet", False)
        for size in ("small", "odd", "mid"):
            put(f"unet.{size}.out", model(given[f"unet.{size}.sample"], 481, given[f"unet.{size}.context"]).sample)
    if "blip" in parts:
        model = filled("blip", False)
        vision = model.vision_model(given["blip.pixel_values"]).last_hidden_state
        put("blip.vision", vision)
        ids = given["blip.input_ids"].long()
        put("blip.logits", model.text_decoder(input_ids=ids, encoder_hidden_states=vision).logits)
    if "t5-xl" in parts:
        model = filled("t5-xl", False)
        ids = dict(input_ids=given["t5.input_ids"].long(), decoder_input_ids=given["t5.decoder_input_ids"].long())
        single = model(**ids)
        double = model.double()(**ids)
        for name, a, b in (
            ("t5-xl.encoder", single.encoder_last_hidden_state, double.encoder_last_hidden_state),
            ("t5-xl.logits", single.logits, double.logits),
        ):
            put(name, b)
            torch_error[name] = float((a - b).norm() / b.norm())
    save_file(out, path)
    versions = {"torch": torch.__version__, "transformers": transformers.__version__, "diffusers": diffusers.__version__}
    with open(os.path.join(folder, "golden.json"), "w") as file:
        json.dump({"versions": versions, "weights": "float32", "every": every, "torch_error": torch_error}, file)
        file.write("\n")


if __name__ == "__main__":
    asked = sys.argv[1:] or ["shapes", *MODELS]
    if asked[0] == "float32":
        run_float32(asked[1:] or ["clip", "vae", "vae768", "unet", "blip", "t5-xl"])
        sys.exit()
    if "shapes" in asked:
        write_shapes()
    if set(asked) & set(MODELS):
        run(asked)

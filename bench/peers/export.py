"""Exports networks to ONNX for `pentimento bench networks --against onnxruntime` and `npm run bench:models -- --peer`, with the real diffusers and transformers.

    python bench/peers/export.py        torch 2.13.0, transformers 4.57.6, diffusers 0.34.0, onnx, onnxscript

Writes out/peers/: the embedded UNet (one guided step: a batch of two) and BLIP's vision tower, and Flan-T5 small with made-up
weights: the encoder for 64 ids, and one decoding step with the cache of 16 earlier tokens for 1 and for 16 sequences.
"""

import os

import torch
from diffusers import UNet2DConditionModel
from transformers import BlipForConditionalGeneration, T5Config, T5ForConditionalGeneration
from transformers.cache_utils import DynamicCache, EncoderDecoderCache

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
OUT = os.path.join(ROOT, "out", "peers")
PAST, SOURCE = 16, 64


class Guided(torch.nn.Module):
    def __init__(self, unet):
        super().__init__()
        self.unet = unet

    def forward(self, sample, timestep, context):
        return self.unet(sample, timestep, context, return_dict=False)[0]


class Encoder(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.encoder = model.encoder

    def forward(self, ids):
        return self.encoder(input_ids=ids, return_dict=False)[0]


class Vision(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.vision = model.vision_model

    def forward(self, pixels):
        return self.vision(pixel_values=pixels, return_dict=False)[0]


class Step(torch.nn.Module):
    """One token: caches in, logits and the grown caches out."""

    def __init__(self, model):
        super().__init__()
        self.model = model
        self.layers = model.config.num_decoder_layers

    def forward(self, ids, encoded, own, cross):
        own_cache, cross_cache = DynamicCache(), DynamicCache()
        for layer in range(self.layers):
            own_cache.update(own[2 * layer], own[2 * layer + 1], layer)
            cross_cache.update(cross[2 * layer], cross[2 * layer + 1], layer)
        past = EncoderDecoderCache(own_cache, cross_cache)
        past.is_updated = {layer: True for layer in range(self.layers)}
        hidden = self.model.decoder(
            input_ids=ids,
            encoder_hidden_states=encoded,
            past_key_values=past,
            cache_position=torch.tensor([PAST]),
            use_cache=True,
            return_dict=True,
        )
        grown = hidden.past_key_values.self_attention_cache
        keys_values = [t for layer in range(self.layers) for t in (grown[layer][0], grown[layer][1])]
        return (self.model.lm_head(hidden.last_hidden_state), *keys_values)


def write(name, module, inputs, names):
    path = os.path.join(OUT, f"{name}.onnx")
    torch.onnx.export(module.eval(), inputs, path, input_names=names, dynamo=True, external_data=False, opset_version=18)
    print(name, os.path.getsize(path))


@torch.no_grad()
def main():
    os.makedirs(OUT, exist_ok=True)
    unet = UNet2DConditionModel.from_pretrained(os.path.join(ROOT, "models/orchard/stable-diffusion/unet")).float()
    side, width = unet.config.sample_size, unet.config.cross_attention_dim
    sample, context = torch.randn(2, 4, side, side), torch.randn(2, 77, width)
    write("unet", Guided(unet), (sample, torch.tensor([481]), context), ["sample", "timestep", "context"])

    blip = BlipForConditionalGeneration.from_pretrained(os.path.join(ROOT, "models/orchard/blip")).float()
    size = blip.config.vision_config.image_size
    write("blip-vision", Vision(blip), (torch.randn(1, 3, size, size),), ["pixels"])

    config = T5Config(
        vocab_size=32128,
        d_model=512,
        d_ff=1024,
        d_kv=64,
        num_layers=8,
        num_decoder_layers=8,
        num_heads=6,
        feed_forward_proj="gated-gelu",
        tie_word_embeddings=False,
        decoder_start_token_id=0,
    )
    model = T5ForConditionalGeneration(config).eval()
    write("t5-encoder", Encoder(model), (torch.arange(100, 100 + SOURCE)[None],), ["ids"])
    for sequences in (1, 16):
        head = (sequences, config.num_heads)
        own = [torch.randn(*head, PAST, config.d_kv) for _ in range(2 * config.num_decoder_layers)]
        cross = [torch.randn(*head, SOURCE, config.d_kv) for _ in range(2 * config.num_decoder_layers)]
        encoded = torch.randn(sequences, SOURCE, config.d_model)
        ids = torch.full((sequences, 1), 17)
        names = ["ids", "encoded"] + [f"own{i}" for i in range(len(own))] + [f"cross{i}" for i in range(len(cross))]
        write(f"t5-step-{sequences}", Step(model), (ids, encoded, own, cross), names)


main()

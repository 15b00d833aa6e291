"""Writes pytorch_model.bin files by torch.save for models that the tests also hold as safetensors.

    python scripts/golden/model_bins.py test/golden

Made with torch 2.13.0 and safetensors.
"""
import os
import sys

import torch
from safetensors.torch import load_file

root = sys.argv[1]
for source, target in (
    ("t5/model/model.safetensors", "torch/t5/pytorch_model.bin"),
    ("sd1/model/text_encoder/model.safetensors", "torch/text_encoder/pytorch_model.bin"),
    ("sd-variants/unet/diffusion_pytorch_model.safetensors", "torch/unet/diffusion_pytorch_model.bin"),
    ("sd1/model/vae/diffusion_pytorch_model.safetensors", "torch/vae/diffusion_pytorch_model.bin"),
):
    path = os.path.join(root, target)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    torch.save(load_file(os.path.join(root, source)), path)

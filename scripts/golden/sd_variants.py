"""Networks whose configs leave the beaten track, and sizes that do not halve evenly: weights, inputs and outputs by diffusers.

  sd_variants.py SD1_FOLDER SD2_FOLDER OUT_DIR

SD1_FOLDER and SD2_FOLDER are test/golden/sd1/model and test/golden/sd2/model. Writes OUT_DIR/{unet,vae}/ as diffusers
saves them, OUT_DIR/golden.safetensors and golden.json. Made with torch 2.13.0 (CPU), diffusers 0.34.0.
"""
import json
import sys
import diffusers
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.models.embeddings import get_timestep_embedding
from safetensors.torch import save_file

sd1, sd2, out = sys.argv[1:4]
torch.set_grad_enabled(False)
torch.manual_seed(11)
golden = {}


def spice(module):
    """Norms and biases away from one and zero, so that leaving one out shows."""
    for name, p in sorted(module.named_parameters()):
        if p.dim() == 1:
            p.copy_((1.0 if 'norm' in name and name.endswith('weight') else 0.0) + 0.1 * torch.randn(p.shape))
    return module.eval()


unet = spice(UNet2DConditionModel(
    sample_size=(6, 10), in_channels=5, out_channels=3, center_input_sample=True, flip_sin_to_cos=False, freq_shift=1,
    down_block_types=('DownBlock2D', 'CrossAttnDownBlock2D', 'CrossAttnDownBlock2D'),
    up_block_types=('CrossAttnUpBlock2D', 'UpBlock2D', 'CrossAttnUpBlock2D'), block_out_channels=(8, 12, 20),
    layers_per_block=(1, 2, 1), downsample_padding=0, norm_num_groups=4, norm_eps=1e-3, cross_attention_dim=(9, 9, 9),
    transformer_layers_per_block=(1, 2, 1), attention_head_dim=(1, 3, 5), time_embedding_dim=24, conv_in_kernel=5,
    conv_out_kernel=1, use_linear_projection=True))
vae = spice(AutoencoderKL(
    block_out_channels=(6, 10, 12), down_block_types=('DownEncoderBlock2D',) * 3, up_block_types=('UpDecoderBlock2D',) * 3,
    layers_per_block=1, latent_channels=3, norm_num_groups=2, use_quant_conv=False, use_post_quant_conv=False,
    mid_block_add_attention=False, sample_size=16, scaling_factor=0.5))
unet.save_pretrained(f'{out}/unet')
vae.save_pretrained(f'{out}/vae')

golden['unet.sample'] = torch.randn(2, 5, 8, 12)
golden['unet.context'] = torch.randn(2, 7, 9)
golden['unet.timesteps'] = torch.tensor([3.0, 640.0])
golden['unet.out'] = unet(golden['unet.sample'], golden['unet.timesteps'], golden['unet.context']).sample
golden['vae.image'] = torch.rand(2, 3, 12, 20) * 2 - 1
golden['vae.moments'] = vae._encode(golden['vae.image'])
golden['vae.z'] = torch.randn(2, 3, 3, 5)
golden['vae.decoded'] = vae.decode(golden['vae.z']).sample

for name, folder, size in (('sd1', sd1, (5, 7)), ('sd1_thin', sd1, (1, 9)), ('sd2', sd2, (9, 13))):
    model = UNet2DConditionModel.from_pretrained(f'{folder}/unet').eval()
    x, text = torch.randn(1, 4, *size), torch.randn(1, 77, 48)
    golden[f'{name}.sample'], golden[f'{name}.context'] = x, text
    golden[f'{name}.out'] = model(x, 261, text).sample

times = torch.tensor([0.0, 1.0, 21.0, 481.0, 781.0, 999.0])
golden['features.timesteps'] = times
golden['features.cosines_first'] = get_timestep_embedding(times, 320, flip_sin_to_cos=True, downscale_freq_shift=0)
golden['features.odd'] = get_timestep_embedding(times, 33, flip_sin_to_cos=False, downscale_freq_shift=1)
versions = {'diffusers': diffusers.__version__, 'torch': torch.__version__}
save_file(golden, f'{out}/golden.safetensors', metadata={'made_by': 'sd_variants.py', **versions})
with open(f'{out}/golden.json', 'w') as f:
    json.dump({'made_by': 'sd_variants.py', 'versions': versions, 'tensors': {k: list(v.shape) for k, v in golden.items()}}, f, indent=1)

"""The networks of diffusers' own DiffEdit tests, driven by embeddings alone: what no larger recording shows.

  dummies.py OUT_DIR

Writes OUT_DIR/weights.json (how torch drew every weight: tensors in order, and a checksum), unet.json and vae.json (configs),
golden.safetensors and golden.json. Made with torch 2.13.0 (CPU), diffusers 0.34.0, one thread. A picture `p` is
texture(height, width, p) below, embeddings `s` are torch.randn(1, 77, 32) of seed s, several of them stacked.
"""
import hashlib, json, sys, warnings
import diffusers
import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMInverseScheduler, DDIMScheduler, StableDiffusionDiffEditPipeline, UNet2DConditionModel
from PIL import Image
from safetensors.torch import save_file

warnings.simplefilter('ignore')
diffusers.logging.set_verbosity_error()
torch.set_num_threads(1)
torch.set_grad_enabled(False)
out = sys.argv[1]
golden, notes = {}, {}
STEPS, GUIDANCE, MAPS = 4, 6.0, 3
STABLE = dict(beta_start=.00085, beta_end=.012, beta_schedule='scaled_linear', clip_sample=False, set_alpha_to_one=False)


def put(name, value):
    value = torch.as_tensor(value)
    golden[name] = value.detach().clone().contiguous().to(torch.float32 if value.is_floating_point() else torch.int32)


def drawn(make):
    """The module, and how each of its tensors came about: [name, shape, bound of its uniform draw | 0 | 1], in order."""
    draws, uniform = [], torch.Tensor.uniform_

    def listen(tensor, a, b, **kw):
        assert a == -b
        draws.append((tensor, b))
        return uniform(tensor, a, b, **kw)

    torch.Tensor.uniform_ = listen
    torch.manual_seed(0)
    module = make().eval()
    torch.Tensor.uniform_ = uniform
    names = {id(p): name for name, p in module.named_parameters()}
    rows = [[names.pop(id(tensor)), list(tensor.shape), bound] for tensor, bound in draws]
    for name, p in module.named_parameters():
        if id(p) in names:
            assert (p == p.flatten()[0]).all() and p.flatten()[0] in (0, 1), name
            rows.append([name, list(p.shape), int(p.flatten()[0])])
    digest = hashlib.sha256()
    for name, _, _ in rows:
        digest.update(module.get_parameter(name).numpy().tobytes())
    return module, {'tensors': rows, 'sha256': digest.hexdigest()}


unet, unet_draws = drawn(lambda: UNet2DConditionModel(
    block_out_channels=(32, 64), layers_per_block=2, sample_size=32, in_channels=4, out_channels=4,
    down_block_types=('DownBlock2D', 'CrossAttnDownBlock2D'), up_block_types=('CrossAttnUpBlock2D', 'UpBlock2D'),
    attention_head_dim=(2, 4), use_linear_projection=True, cross_attention_dim=32))
vae, vae_draws = drawn(lambda: AutoencoderKL(
    block_out_channels=[32, 64], in_channels=3, out_channels=3, down_block_types=['DownEncoderBlock2D'] * 2,
    up_block_types=['UpDecoderBlock2D'] * 2, latent_channels=4, sample_size=128))


def pipeline(forward={}, **both):
    p = StableDiffusionDiffEditPipeline(
        vae=vae, text_encoder=None, tokenizer=None, unet=unet, scheduler=DDIMScheduler(**{**STABLE, **both, **forward}),
        inverse_scheduler=DDIMInverseScheduler(**{**STABLE, **both}), safety_checker=None, feature_extractor=None,
        requires_safety_checker=False)
    p.set_progress_bar_config(disable=True)
    return p


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def embeds(*seeds):
    return torch.cat([torch.randn(1, 77, 32, generator=seeded(s)) for s in seeds])


def texture(height, width, p):
    """Bytes [height, width, 3] that are written down as easily in another language."""
    y, x, c = np.mgrid[0:height, 0:width, 0:3]
    return ((y * (3 + p) + x * 5 + (x * y) % 11 * 13 + c * 60 + 31 * p) % 256).astype(np.uint8)


def pil(array):
    return Image.fromarray(array)


def close(a, b):
    """Equal but for the order of sums, which goes with the memory layout."""
    return torch.allclose(a, b, rtol=0, atol=1e-4)


def mask_of(p, image, name, target=(1,), source=(3,), target_negative=(2,), source_negative=(2,), generator=None):
    """Mask and map; the map is made again from the UNet's output, as generate_mask makes it."""
    outputs = []
    hook = unet.register_forward_hook(lambda _, args, output: outputs.append(output.sample))
    mask = p.generate_mask(
        image=image, target_prompt_embeds=embeds(*target), target_negative_prompt_embeds=embeds(*target_negative),
        source_prompt_embeds=embeds(*source), source_negative_prompt_embeds=embeds(*source_negative),
        num_maps_per_mask=MAPS, num_inference_steps=STEPS, guidance_scale=GUIDANCE,
        generator=generator or seeded())
    hook.remove()
    a, b, c, d = outputs[0].chunk(4)
    difference = ((c + GUIDANCE * (d - c)) - (a + GUIDANCE * (b - a))).abs()
    put(f'{name}.map', difference.reshape(len(target), MAPS, *a.shape[1:]).mean((1, 2)))
    put(f'{name}.mask', mask)
    return mask


def invert(p, image, name=None, prompt=(3,), negative=(2,), **kw):
    result = p.invert(**{**dict(
        image=image, prompt_embeds=embeds(*prompt), negative_prompt_embeds=embeds(*negative), num_inference_steps=STEPS,
        guidance_scale=GUIDANCE, generator=seeded()), **kw})
    if name:
        put(f'{name}.inverted', result.latents)
    return result.latents


def edit(p, mask, latents, prompt=(1,), negative=(2,), output_type='latent', **kw):
    return p(**{**dict(
        prompt_embeds=embeds(*prompt), negative_prompt_embeds=embeds(*negative), mask_image=mask, image_latents=latents,
        num_inference_steps=STEPS, guidance_scale=GUIDANCE, generator=seeded(), output_type=output_type), **kw}).images


# --- three prediction types; the sums are what diffusers 0.34.0 and 0.40.0.dev0 gave on another machine
square = (np.random.RandomState(0).rand(32, 32, 3) * 255).astype(np.uint8)
put('image', square)
TABLE = {
    'epsilon': (27, (209.80719, 202.16576, 162.8263), 1550.7615, (.53552, .48634, .48569), (.22085, .93026, .04642)),
    'v_prediction': (27, (242.84586, 203.97148, 162.8263), 1559.7778, (.54469, .46540, .48127), (.47118, .63365, .35843)),
    'sample': (27, (8929.561, 5982.861, 162.82628), 1557.8813, (.54662, .48076, .48390), (.92655, .78475, .49376)),
}
pipes, latents, masks = {}, {}, {}
for kind, (area, sums, total, corner, middle) in TABLE.items():
    p = pipes[kind] = pipeline(prediction_type=kind)
    masks[kind] = mask_of(p, pil(square), kind)
    latents[kind] = invert(p, pil(square), kind)
    image = edit(p, masks[kind], latents[kind], output_type='np')
    put(f'{kind}.image', image)
    notes[kind] = {'timesteps': p.scheduler.timesteps.tolist(), 'inverse_timesteps': p.inverse_scheduler.timesteps.tolist()}
    assert notes[kind] == {'timesteps': [751, 501, 251, 1], 'inverse_timesteps': [0, 250, 500, 750]}, notes
    assert masks[kind].sum() == area, masks[kind].sum()
    found = latents[kind].abs().sum((0, 2, 3, 4)).numpy(), image.sum(), image[0, -1, -3:, 0], image[0, 16, 16]
    for got, expected, tolerance in zip(found, (sums, total, corner, middle), (2e-5 * np.array(sums), 2e-2, 5e-5, 5e-5)):
        print(kind, got)
        assert np.all(np.abs(got - np.array(expected)) <= tolerance), (kind, got, expected)

epsilon = pipes['epsilon']
half = torch.zeros(1, 16, 16)
half[..., :8] = 1
lower = half.transpose(1, 2).flip(1).clone()
pair = [pil(square), pil(texture(28, 40, 1))]   # the second one is resized to the first one's size
both = dict(prompt=(1, 4), negative=(2, 5))

# --- noise regularisation on guided predictions
with torch.enable_grad():
    for kind, rounds in (('epsilon', 1), ('epsilon', 2), ('v_prediction', 1), ('v_prediction', 2)):
        invert(pipes[kind], pil(square), f'regularised.{kind}.{rounds}', num_reg_steps=rounds)
    # where the clean picture is predicted the default weights overshoot to infinity
    notes['weak'] = dict(lambda_auto_corr=2e-3, lambda_kl=2e-3)
    invert(pipes['sample'], pil(square), 'regularised.sample.1', num_reg_steps=1, **notes['weak'])
    invert(epsilon, pair, 'regularised.two', prompt=(3, 6), negative=(2, 5), num_reg_steps=1, inpaint_strength=.5)

# --- masks from negatives that differ, alone and in a batch; one generator a row
mask_of(epsilon, pil(square), 'negatives', target_negative=(7,), source_negative=(8,))
mask_of(epsilon, pair, 'batch', target=(1, 4), source=(3, 6), target_negative=(7, 9), source_negative=(8, 2))
single = mask_of(epsilon, [pair[1].resize((32, 32), Image.Resampling.LANCZOS)], 'alone', target=(4,), source=(6,),
                 target_negative=(9,), source_negative=(2,))
mask_of(epsilon, pil(square), 'shared', target=(1, 4), source=(3, 6), target_negative=(2, 2), source_negative=(2, 2))
mask_of(epsilon, pil(square), 'rows', generator=[seeded(s) for s in (7, 8, 9)])
assert (golden['batch.mask'][1].numpy() != single[0]).sum() > 0, 'a batch must have a threshold of its own'

# --- edits
two = invert(epsilon, pair, 'two', prompt=(3, 6), negative=(2, 5), generator=[seeded(7), seeded(8)])
half_pair = torch.cat([half, lower])
put('eta.latents', edit(epsilon, half.clone(), latents['epsilon'], eta=1.0))
put('four.latents', edit(epsilon, half_pair.clone(), two, **both, num_images_per_prompt=2))
put('four_eta.latents', edit(epsilon, half_pair.clone(), two, **both, num_images_per_prompt=2, eta=1.0, generator=[seeded(s) for s in (10, 11, 12, 13)]))
plain = invert(epsilon, pil(square), 'plain', guidance_scale=1.0)
put('plain.latents', edit(epsilon, half.clone(), plain, guidance_scale=1.0))

notes['threshold'] = dict(thresholding=True, dynamic_thresholding_ratio=.9, sample_max_value=2.0)
notes['clip'] = dict(clip_sample=True, clip_sample_range=.3)
notes['trailing'] = dict(timestep_spacing='trailing', rescale_betas_zero_snr=True, prediction_type='v_prediction')
notes['linspace'] = dict(timestep_spacing='linspace')
put('threshold.latents', edit(pipeline(notes['threshold']), half_pair.clone(), 3 * two, **both, eta=.5))
p = pipeline(**notes['clip'])
put('clip.latents', edit(p, half.clone(), invert(p, pil(square), 'clip')))
p = pipeline(**notes['trailing'])
mask_of(p, pil(square), 'trailing')
put('trailing.latents', edit(p, half.clone(), invert(p, pil(square), 'trailing', inpaint_strength=1.0), inpaint_strength=1.0))
put('linspace.latents', edit(pipeline(notes['linspace']), half.clone(), latents['epsilon']))

# --- pictures and masks in all their forms
odd = invert(epsilon, pil(texture(51, 37, 2)), 'odd', inpaint_strength=.5)
assert odd.shape[-2:] == (25, 18)
odd_mask = torch.zeros(25, 18)
odd_mask[:, :9] = 1
put('odd.image', edit(epsilon, odd_mask, odd, inpaint_strength=.5, output_type='np'))
signed = torch.from_numpy(square).float().div(255).permute(2, 0, 1)[None] * 2 - 1
for form in (signed, signed[0], [signed[0]], signed.permute(0, 2, 3, 1).numpy()):
    assert close(invert(epsilon, form), latents['epsilon'])
floats = texture(33, 37, 3).astype(np.float32) / 255
nearest = invert(epsilon, floats[None], 'nearest', inpaint_strength=.5)
for form in (floats, [floats], torch.from_numpy(floats).permute(2, 0, 1)):
    assert close(invert(epsilon, form, inpaint_strength=.5), nearest)
invert(epsilon, torch.randn(1, 4, 16, 16, generator=seeded(9)), 'latents', inpaint_strength=.5)

colours = pil(texture(16, 16, 4))
grey = colours.convert('L')
levels = np.array(grey).astype(np.float32) / 255
put('masks.grey', np.array(grey))
put('masks.one', edit(epsilon, grey, latents['epsilon']))
for form in (colours, [grey], levels, levels[None], levels[None, None], torch.from_numpy(levels.copy())):
    assert torch.equal(edit(epsilon, form, latents['epsilon']), golden['masks.one'])
put('masks.two', edit(epsilon, [grey, pil(np.array(grey).T.copy())], two, **both))
for form in (np.stack([levels, levels.T]), [levels, levels.T.copy()], [levels[None], levels.T[None].copy()]):
    assert torch.equal(edit(epsilon, form, two, **both), golden['masks.two'])
for form in (list(two.flatten(0, 1)), list(two), two.flatten(0, 1), list(two.split(1))):
    assert torch.equal(edit(epsilon, np.stack([levels, levels.T]), form, **both), golden['masks.two'])

versions = {'diffusers': diffusers.__version__, 'torch': torch.__version__}
with open(f'{out}/weights.json', 'w') as f:
    json.dump({'unet': unet_draws, 'vae': vae_draws}, f, separators=(',', ':'))
for name, module in (('unet', unet), ('vae', vae)):
    module.to_json_file(f'{out}/{name}.json')
save_file(golden, f'{out}/golden.safetensors', metadata={'made_by': 'dummies.py', **versions})
with open(f'{out}/golden.json', 'w') as f:
    json.dump({'made_by': 'dummies.py', 'versions': versions, 'stable': STABLE, **notes,
               'tensors': {k: list(v.shape) for k, v in sorted(golden.items())}}, f, indent=1)
print(sum(v.numel() for v in golden.values()) * 4 // 1024, 'KiB')

"""Small Stable Diffusion folders: activations of every block, and DiffEdit as the guide runs it, by diffusers.

  stable_diffusion.py FOLDER OUT_DIR

FOLDER is test/golden/sd1 or test/golden/sd2: its model/ and the two pictures of its golden.safetensors are read, everything
else is recorded anew. Writes OUT_DIR/golden.safetensors and golden.json. Made with torch 2.13.0 (CPU), transformers 4.57.6,
diffusers 0.34.0.
"""
import importlib.metadata, json, pathlib, sys
import numpy as np
import torch
from diffusers import DDIMInverseScheduler, DDIMScheduler, StableDiffusionDiffEditPipeline
from PIL import Image
from safetensors.torch import load_file, save_file

folder, out = map(pathlib.Path, sys.argv[1:3])
out.mkdir(parents=True, exist_ok=True)
torch.set_grad_enabled(False)
SEED, STEPS, GUIDANCE, STRENGTH = 0, 10, 6.0, 0.8
SOURCE, TARGET = 'a bowl of fruits', 'a basket of pears'
known = load_file(folder / 'golden.safetensors')
golden = {name: known[name] for name in ('image', 'image_b')}

pipe = StableDiffusionDiffEditPipeline.from_pretrained(
    folder / 'model', torch_dtype=torch.float32, safety_checker=None, feature_extractor=None, requires_safety_checker=False)
pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
pipe.inverse_scheduler = DDIMInverseScheduler.from_config(pipe.scheduler.config)
pipe.set_progress_bar_config(disable=True)
unet, vae, text = pipe.unet.eval(), pipe.vae.eval(), pipe.text_encoder.eval()
factor = 2 ** (len(vae.config.block_out_channels) - 1)
image, second = (Image.fromarray(golden[name].numpy().astype(np.uint8)) for name in ('image', 'image_b'))
height, width = image.height // factor, image.width // factor
run = dict(num_inference_steps=STEPS, guidance_scale=GUIDANCE)


def put(name, value):
    value = torch.as_tensor(value)
    golden[name] = value.detach().clone().contiguous().to(torch.float32 if value.is_floating_point() else torch.int32)


def seeded(offset):
    return torch.Generator().manual_seed(SEED + offset)


def recorded(module, prefix, depth, call):
    """`call()`, with the first output of every module less than `depth` names deep."""
    def hook(name):
        def keep(_, args, output):
            output = output[0] if isinstance(output, tuple) else getattr(output, 'sample', output)
            if torch.is_tensor(output) and f'{prefix}.{name}' not in golden:
                put(f'{prefix}.{name}', output)
        return keep
    silent = (torch.nn.ModuleList, torch.nn.Dropout, torch.nn.Identity)
    hooks = [m.register_forward_hook(hook(name)) for name, m in module.named_modules()
             if name and name.count('.') < depth and not isinstance(m, silent)]
    try:
        return call()
    finally:
        for h in hooks:
            h.remove()


def ids_of(prompts):
    return torch.tensor(pipe.tokenizer(prompts, padding='max_length', truncation=True, max_length=77).input_ids)


def networks():
    """@return what golden.json says about tiles"""
    ids = ids_of([SOURCE, 'A photo of a basket of pears!', ''])
    put('text.input_ids', ids)
    states = recorded(text, 'text', 5, lambda: text(ids).last_hidden_state)
    put('text.last_hidden_state', states)

    draws = torch.Generator().manual_seed(7 + SEED)
    x = torch.from_numpy(np.array(image)).float().div(255).permute(2, 0, 1)[None] * 2 - 1
    z = torch.randn(1, 4, height, width, generator=draws)
    put('vae.z', z)

    def both():
        posterior = vae.encode(x).latent_dist
        put('vae.mean', posterior.mean)
        put('vae.std', posterior.std)
        put('vae.decoded', vae.decode(z).sample)
    recorded(vae, 'vae', 4, both)
    own = vae.tile_sample_min_size, vae.tile_latent_min_size
    pixels = 32 if factor == 8 else 16  # smaller than the model's own, so that even this picture has several
    vae.tile_sample_min_size, vae.tile_latent_min_size = pixels, pixels // factor
    vae.enable_tiling()
    put('vae.tiled_mean', vae.encode(x).latent_dist.mean)
    put('vae.tiled_decoded', vae.decode(z).sample)
    vae.disable_tiling()
    vae.tile_sample_min_size, vae.tile_latent_min_size = own

    sample, context = torch.randn(2, 4, height, width, generator=draws), text(ids[:2]).last_hidden_state
    put('unet.sample', sample)
    put('unet.context', context)
    put('unet.out', recorded(unet, 'unet', 4, lambda: unet(sample, 481, context).sample))
    return dict(tile_sample_min_size=pixels, tile_latent_min_size=pixels // factor, tile_overlap_factor=vae.tile_overlap_factor)


def masks():
    seen = []
    hook = unet.register_forward_hook(lambda m, a, o: seen.append((a[0], o[0] if isinstance(o, tuple) else o.sample)))
    mask = pipe.generate_mask(
        image=image, source_prompt=SOURCE, target_prompt=TARGET, num_maps_per_mask=3, generator=seeded(0), **run)
    hook.remove()
    put('diffedit.mask_unet_input', seen[-1][0])
    a, b, c, d = seen[-1][1].chunk(4)
    difference = ((c + GUIDANCE * (d - c)) - (a + GUIDANCE * (b - a))).abs()
    put('diffedit.mask_map', difference.reshape(1, 3, 4, height, width).mean((1, 2)))
    put('diffedit.mask', mask)

    def mean(prompts):
        return torch.cat([text(ids_of([p])).last_hidden_state for p in prompts]).mean(0, keepdim=True)
    source, target = mean([SOURCE, 'a white bowl', 'a bowl on a table']), mean([TARGET, 'a basket'])
    put('diffedit.source_embeds', source)
    put('diffedit.target_embeds', target)
    put('diffedit.mask_from_embeds', pipe.generate_mask(
        image=image, source_prompt_embeds=source, target_prompt_embeds=target, num_maps_per_mask=3, generator=seeded(0), **run))
    return mask


def edits(mask):
    """@return the regularisation that golden.json names"""
    inverted = pipe.invert(
        image=image, prompt=SOURCE, inpaint_strength=STRENGTH, generator=seeded(1), decode_latents=True, output_type='np', **run)
    put('diffedit.inverted', inverted.latents)
    put('diffedit.inverted_images', inverted.images)

    def edit(name, seed, **more):
        args = dict(mask_image=mask, image_latents=inverted.latents, inpaint_strength=STRENGTH, output_type='np', **run)
        put(name, pipe(prompt=TARGET, negative_prompt=SOURCE, generator=seeded(seed), **{**args, **more}).images)
    edit('diffedit.latents', 2, output_type='latent')
    edit('diffedit.image', 2)
    edit('diffedit.image_clip_skip', 2, clip_skip=1)
    edit('diffedit.image_eta', 3, eta=0.7)
    half = torch.zeros(1, height, width)
    half[:, :, :width // 2] = 1
    put('diffedit.half_mask', half)
    edit('diffedit.image_half', 2, mask_image=half.clone())
    terms = dict(lambda_auto_corr=20.0, lambda_kl=20.0, num_reg_steps=2, num_auto_corr_rolls=3)
    with torch.enable_grad():
        put('diffedit.inverted_regularised', pipe.invert(
            image=image, prompt=SOURCE, num_inference_steps=STEPS, inpaint_strength=0.3, guidance_scale=1.0, generator=seeded(4),
            **terms).latents)
    return terms


def batch():
    sources, targets = [SOURCE, 'a plate of lemons'], [TARGET, 'a plate of apples']
    mask = pipe.generate_mask(
        image=[image, second], source_prompt=sources, target_prompt=targets, source_negative_prompt=['dark', 'blue'],
        target_negative_prompt=['red', 'pink'], num_maps_per_mask=2, generator=seeded(5), **run)
    put('batch.mask', mask)
    inverted = pipe.invert(
        image=[image, second], prompt=sources, inpaint_strength=0.5, generator=seeded(6), **run).latents
    put('batch.inverted', inverted)
    put('batch.image', pipe(
        prompt=targets, negative_prompt=sources, mask_image=mask, image_latents=inverted, num_images_per_prompt=2,
        inpaint_strength=0.5, generator=seeded(7), output_type='np', **run).images)


calls = []
counter = unet.register_forward_hook(lambda *_: calls.append(1))
vae_tiling = networks()
calls.clear()
regularised = edits(masks())
batch()
counter.remove()
notes = dict(
    case=folder.name, seed=SEED, vae_tiling=vae_tiling, **run, source_prompt=SOURCE, target_prompt=TARGET, num_maps_per_mask=3,
    mask_encode_strength=0.5, mask_thresholding_ratio=3.0, inpaint_strength=STRENGTH, width=image.width, height=image.height,
    regularised=regularised, unet_calls=len(calls),
    versions={p: importlib.metadata.version(p) for p in ('torch', 'transformers', 'safetensors', 'numpy', 'pillow', 'diffusers')})
tensors = {name: [str(t.dtype).replace('torch.', ''), list(t.shape)] for name, t in sorted(golden.items())}
save_file(golden, out / 'golden.safetensors', metadata={'made_by': 'stable_diffusion.py'})
(out / 'golden.json').write_text(json.dumps({**notes, 'tensors': tensors}, indent=1))

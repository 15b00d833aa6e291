"""What a UNet thinks of latents, for test/bench/quality.test.ts: the error of its own prediction on two of them.

Usage: python scripts/golden/quality.py   (torch, diffusers, pillow; seeds are fixed)
Writes test/golden/quality/naturalness.json: latents of a drawn scene of bench/quality/scenes, whole and torn (its left half from before
the change, its right half from behind it), rounded to four decimals, with the mean over t = 61, 161, 301 of
mean (v(x_t, t, c) - (sqrt(a_t) n - sqrt(1 - a_t) z))^2, x_t = sqrt(a_t) z + sqrt(1 - a_t) n, n from one CPU generator with seed 5.
"""
import json, pathlib
import diffusers, numpy as np, torch
from diffusers import DDIMScheduler, StableDiffusionPipeline
from PIL import Image

root = pathlib.Path(__file__).resolve().parents[2]
torch.set_grad_enabled(False)
torch.set_num_threads(1)
pipe = StableDiffusionPipeline.from_pretrained(root / 'models/orchard/stable-diffusion', torch_dtype=torch.float32, safety_checker=None)
scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
assert scheduler.config.prediction_type == 'v_prediction'
scenes = root / 'bench/quality/scenes'
case = next(c for c in json.loads((scenes / 'cases.json').read_text()) if c['change'] == 'container')


def latents(which):
    pixels = torch.from_numpy(np.asarray(Image.open(scenes / f"{case['id']}-{which}.png").convert('RGB'))).float() / 127.5 - 1
    return pipe.vae.encode(pixels.permute(2, 0, 1)[None]).latent_dist.mode() * pipe.vae.config.scaling_factor


def error(z):
    generator = torch.Generator().manual_seed(5)
    prompt = pipe.encode_prompt(case['targetPrompt'], 'cpu', 1, False)[0]
    errors = []
    for t in (61, 161, 301):
        noise = torch.randn(z.shape, generator=generator)
        step = torch.tensor([t])
        predicted = pipe.unet(scheduler.add_noise(z, noise, step), t, encoder_hidden_states=prompt).sample
        errors.append(torch.nn.functional.mse_loss(predicted, scheduler.get_velocity(z, noise, step)).item())
    return sum(errors) / 3


before, after = latents('source'), latents('truth')
torn = torch.cat([before[..., :8], after[..., 8:]], -1)
found = {}
for name, z in (('whole', after), ('torn', torn)):
    z = (z * 1e4).round() / 1e4
    found[name] = {'shape': list(z.shape), 'latents': [round(v, 4) for v in z.flatten().tolist()], 'error': error(z)}
    print(name, found[name]['error'])
out = root / 'test/golden/quality'
out.mkdir(exist_ok=True)
versions = {'torch': torch.__version__, 'diffusers': diffusers.__version__}
(out / 'naturalness.json').write_text(json.dumps({**versions, 'prompt': case['targetPrompt'], **found}) + '\n')

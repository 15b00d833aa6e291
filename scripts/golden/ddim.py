"""Whole runs of diffusers' DDIM schedulers on a stand-in for a model, and their tables.

  ddim.py OUT_DIR

Writes OUT_DIR/golden.safetensors and golden.json, as in test/golden/schedulers. Made with torch 2.13.0 (CPU), diffusers 0.34.0.
"""
import importlib.metadata, json, pathlib, sys
import torch
from diffusers import DDIMInverseScheduler, DDIMScheduler
from safetensors.torch import save_file

out = pathlib.Path(sys.argv[1])
out.mkdir(parents=True, exist_ok=True)
SEED = 0
STABLE = dict(beta_schedule='scaled_linear', beta_start=0.00085, beta_end=0.012, clip_sample=False, set_alpha_to_one=False,
              steps_offset=1)
CONFIGS = [
    dict(),
    dict(STABLE, prediction_type='v_prediction'),
    STABLE,
    dict(beta_schedule='squaredcos_cap_v2', prediction_type='sample'),
    dict(timestep_spacing='trailing', rescale_betas_zero_snr=True, prediction_type='v_prediction', clip_sample=False),
    dict(timestep_spacing='linspace', clip_sample=False),
    dict(thresholding=True, sample_max_value=1.5, clip_sample=False),
    dict(num_train_timesteps=777, timestep_spacing='trailing', clip_sample=False),
]
golden = {}


def put(name, value):
    golden[name] = value.detach().clone().contiguous().to(torch.float32 if value.is_floating_point() else torch.int32)


def model(x):
    return torch.tanh(x * 0.5 + 0.1)


def start(i):
    generator = torch.Generator().manual_seed(SEED + i)
    return torch.randn(2, 4, 6, 5, generator=generator), generator


for i, config in enumerate(CONFIGS):
    # The inverse knows no linspace and no thresholds; 'sample' divides by zero in it (docs/parity.md, Q20).
    invertible = not (config.get('timestep_spacing') == 'linspace' or 'thresholding' in config
                      or config.get('prediction_type') == 'sample')
    for steps in (7, 50):
        for eta in (0.0, 0.6):
            scheduler = DDIMScheduler(**config)
            scheduler.set_timesteps(steps)
            x, generator = start(i)
            put(f'ddim.{i}.{steps}.{eta}.x', x)
            for t in scheduler.timesteps:
                x = scheduler.step(model(x), t, x, eta=eta, generator=generator).prev_sample
            put(f'ddim.{i}.{steps}.{eta}.out', x)
            put(f'ddim.{i}.{steps}.timesteps', scheduler.timesteps)
        put(f'ddim.{i}.alphas_cumprod', scheduler.alphas_cumprod)
        if not invertible:
            continue
        inverse = DDIMInverseScheduler(**config)
        inverse.set_timesteps(steps)
        x, _ = start(i)
        put(f'inverse.{i}.{steps}.x', x)
        for t in inverse.timesteps:
            x = inverse.step(model(x), t, x).prev_sample
        put(f'inverse.{i}.{steps}.out', x)
        put(f'inverse.{i}.{steps}.timesteps', inverse.timesteps)

notes = dict(
    case='schedulers', seed=SEED, configs=CONFIGS, model='tanh(0.5 x + 0.1)',
    versions={p: importlib.metadata.version(p) for p in ('torch', 'transformers', 'safetensors', 'numpy', 'pillow', 'diffusers')})
tensors = {name: [str(t.dtype).replace('torch.', ''), list(t.shape)] for name, t in sorted(golden.items())}
save_file(golden, out / 'golden.safetensors', metadata={'made_by': 'ddim.py'})
(out / 'golden.json').write_text(json.dumps({**notes, 'tensors': tensors}, indent=1))

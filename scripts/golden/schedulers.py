"""Numbers for the tests under test/schedulers, from torch and diffusers on a CPU.

Usage: python scripts/golden/schedulers.py   (torch, diffusers, transformers, numpy; seeds are fixed)
Writes test/golden/scheduler-numbers: random.json, tables.json, steps.json, regularise.json, configs.json, mask.json.
Arrays of float32 are base64 of their little-endian bytes.
"""
import base64, itertools, json, logging, pathlib, warnings
import diffusers
import numpy as np
import torch
from diffusers import DDIMInverseScheduler, DDIMScheduler
from diffusers.pipelines.stable_diffusion_diffedit import pipeline_stable_diffusion_diffedit as diffedit

warnings.simplefilter('ignore')
out = pathlib.Path(__file__).resolve().parents[2] / 'test/golden/scheduler-numbers'
out.mkdir(parents=True, exist_ok=True)
versions = {'torch': torch.__version__, 'diffusers': diffusers.__version__, 'numpy': np.__version__}


def b64(t):
    return base64.b64encode(torch.as_tensor(t).detach().to(torch.float32).contiguous().numpy().tobytes()).decode()


def generator(seed):
    return torch.Generator().manual_seed(seed)


def save(name, value):
    (out / f'{name}.json').write_text(json.dumps({'versions': versions, **value}, indent=0) + '\n')


def words(seed, count):
    g = generator(seed)
    pairs = torch.empty(count // 2, dtype=torch.int64).random_(-2**63, None, generator=g).tolist()
    return [w for p in pairs for w in (p >> 32 & 0xffffffff, p & 0xffffffff)]


def random():
    seeds = [0, 1, 42, 2**31, 2**32 + 7, -1, 12345678901234567890]
    g = generator(5)
    mixed = []
    for op, n in [('randn', 3), ('uniform', 5), ('randn', 1), ('randn', 20), ('randn', 2), ('randint', 12), ('randn', 700),
                  ('exponential', 4), ('randn', 1), ('randn', 16), ('uniform', 1300), ('randn', 4)]:
        v = {'randn': lambda: torch.randn(n, generator=g), 'uniform': lambda: torch.rand(n, generator=g),
             'randint': lambda: torch.randint(n, (1,), generator=g).float(),
             'exponential': lambda: torch.empty(n).exponential_(1, generator=g)}[op]()
        mixed.append({'op': op, 'n': n, 'values': b64(v)})
    rows, vocabulary = 16, 320
    weights = torch.tensor([[((i * 7919 + r * 31) % 1000) / 1000 * (i % 3 > 0) for i in range(vocabulary)] for r in range(rows)])
    save('random', {
        'words': [{'seed': str(s), 'values': words(s, 1300 if s == 0 else 8)} for s in seeds],
        'uniform': b64(torch.rand(700, generator=generator(3))),
        'randn': [{'n': n, 'values': b64(torch.randn(n, generator=generator(11)))} for n in (1, 2, 8, 15, 16, 17, 31, 32, 33, 1000)],
        'randint': [{'high': str(h), 'values': torch.randint(h, (6,), generator=generator(9)).tolist()}
                    for h in (1, 2, 3, 12, 48, 1000, 2**28 - 1, 2**28, 2**31, 2**32 - 1, 2**32, 2**40 + 3, 2**53 - 1)],
        'exponential': b64(torch.empty(5120).exponential_(1, generator=generator(13))),
        'multinomial': [{'seed': s, 'values': torch.multinomial(weights, 1, generator=generator(s))[:, 0].tolist()} for s in range(4)],
        'mixed': mixed})


def ieee_rescaled(betas):
    """rescale_zero_terminal_snr with a correctly rounded square root, which torch has on some processors only."""
    roots = torch.cumprod(1 - betas, 0).double().sqrt().float()
    roots = (roots - roots[-1]) * (roots[0] / (roots[0] - roots[-1]))
    levels = roots * roots
    return 1 - torch.cat([levels[:1], levels[1:] / levels[:-1]])


def tables():
    sd = dict(beta_schedule='scaled_linear', beta_start=.00085, beta_end=.012)
    cases = [dict(), sd, dict(beta_schedule='squaredcos_cap_v2'), dict(rescale_betas_zero_snr=True), dict(sd, rescale_betas_zero_snr=True),
             dict(beta_schedule='squaredcos_cap_v2', rescale_betas_zero_snr=True), dict(num_train_timesteps=333), dict(sd, num_train_timesteps=1001),
             dict(num_train_timesteps=1), dict(num_train_timesteps=2, beta_start=.1, beta_end=2),
             dict(num_train_timesteps=4, trained_betas=[.1, .2, .3, .7])]
    alphas = []
    for kw in cases:
        s = DDIMScheduler(**kw)
        row = {'config': kw, 'betas': b64(s.betas), 'alphas_cumprod': b64(s.alphas_cumprod)}
        if kw.get('rescale_betas_zero_snr'):
            betas = ieee_rescaled(DDIMScheduler(**{**kw, 'rescale_betas_zero_snr': False}).betas)
            row['ieee'] = {'betas': b64(betas), 'alphas_cumprod': b64(torch.cumprod(1 - betas, 0))}
        alphas.append(row)
    # One number for each N: the position-weighted sum of its timesteps.
    sums = []
    for total, spacing in itertools.product((1000, 777), ('leading', 'trailing', 'linspace')):
        s = DDIMScheduler(num_train_timesteps=total, timestep_spacing=spacing)
        row = []
        for n in range(1, total + 1):
            s.set_timesteps(n)
            t = s.timesteps.numpy()
            row.append(int(((np.arange(len(t)) + 1) * (t + 1)).sum()))
        sums.append({'total': total, 'spacing': spacing, 'sums': row})
    save('tables', {'alphas': alphas, 'timesteps': sums})


def dummy():
    return (torch.arange(768).reshape(3, 8, 8, 4) / 768).permute(3, 0, 1, 2)


def steps():
    loops = []
    for total, betas, schedule, kind, spacing, treat, eta in itertools.product(
            (100, 1000), ((.0001, .002), (.01, .2)), ('linear', 'squaredcos_cap_v2'), ('epsilon', 'v_prediction', 'sample'),
            ('leading', 'trailing'), ('plain', 'clip', 'zero', 'threshold1', 'threshold2'), (0.0, 0.5, 1.0)):
        if (schedule != 'linear' and betas[0] != .0001) or (kind == 'sample' and eta == 1.0) or (total == 100 and eta == 0.5):
            continue
        kw = dict(num_train_timesteps=total, beta_start=betas[0], beta_end=betas[1], beta_schedule=schedule, prediction_type=kind,
                  timestep_spacing=spacing, clip_sample=treat == 'clip', rescale_betas_zero_snr=treat == 'zero')
        if treat.startswith('threshold'):
            kw.update(thresholding=True, sample_max_value=float(treat[-1]))
        s = DDIMScheduler(**kw)
        if treat == 'zero':
            s.alphas_cumprod = torch.cumprod(1 - ieee_rescaled(DDIMScheduler(**{**kw, 'rescale_betas_zero_snr': False}).betas), 0)
        s.set_timesteps(7)
        x = dummy()
        noise = x.flip(0)
        for t in s.timesteps:
            x = s.step(x * t / (t + 1), t, x, eta=eta, variance_noise=noise if eta > 0 else None).prev_sample
        flat = x.flatten()
        if torch.isfinite(flat).all():
            loops.append({'config': kw, 'eta': eta, 'values': b64(flat[::97]), 'sum': float(flat.abs().double().sum())})
    single = []
    x, e = torch.randn(2, 3, 5, 4, generator=generator(1)) * 2, torch.randn(2, 3, 5, 4, generator=generator(2))
    for kind, treat in itertools.product(('epsilon', 'v_prediction', 'sample'), (dict(clip_sample_range=.7), dict(thresholding=True, dynamic_thresholding_ratio=.8, sample_max_value=1.4))):
        s = DDIMScheduler(prediction_type=kind, **treat)
        s.set_timesteps(10)
        r = s.step(e, 500, x, use_clipped_model_output=True)
        single.append({'config': dict(prediction_type=kind, **treat), 'prev': b64(r.prev_sample), 'clean': b64(r.pred_original_sample)})
    s = DDIMScheduler(beta_schedule='scaled_linear', beta_start=.00085, beta_end=.012)
    t = torch.tensor([3, 700])
    half = [{'timestep': i, 'sample': float(s.alphas_cumprod.half()[i]**.5), 'noise': float((1 - s.alphas_cumprod.half()[i])**.5)} for i in (0, 1, 481, 781, 999)]
    save('steps', {'loops': loops, 'single': single, 'noised': b64(s.add_noise(x, e, t)), 'velocity': b64(s.get_velocity(x, e, t)), 'half': half})


def autocorrelation(shape, seed):
    e = torch.randn(shape, generator=generator(seed)).requires_grad_()
    g = generator(seed + 100)
    diffedit.auto_corr_loss(e, generator=g).backward()
    return {'shape': shape, 'seed': seed, 'gradient': b64(e.grad), 'next': torch.randint(1000, (1,), generator=g).item()}


def regularised(kind, guided, batch, t, weights):
    """What invert does between guidance and the inverse step, on the losses that diffusers defines."""
    s = DDIMInverseScheduler(beta_schedule='scaled_linear', beta_start=.00085, beta_end=.012, prediction_type=kind)
    a = s.alphas_cumprod[t]
    shape = (batch, 4, 18, 16)
    x, v = torch.randn(shape, generator=generator(21)), torch.randn(shape, generator=generator(22)) * .9 + .2
    model_input, g = torch.cat([x, x]) if guided else x, generator(23)

    def slope(v, loss):
        leaf = v.clone().requires_grad_()
        eps = {'epsilon': lambda: leaf, 'sample': lambda: (model_input - a**.5 * leaf) / (1 - a)**.5,
               'v_prediction': lambda: a**.5 * leaf + (1 - a)**.5 * model_input}[kind]()
        loss(eps).backward()
        return leaf.grad

    rounds, rolls, auto, kl = weights
    for _ in range(rounds):
        for _ in range(rolls if auto > 0 else 0):
            v = v - auto * slope(v, lambda e: diffedit.auto_corr_loss(e, generator=g)) / rolls
        if kl > 0:
            v = v - kl * slope(v, diffedit.kl_divergence)
    return {'kind': kind, 'guided': guided, 'shape': shape, 'timestep': t, 'rounds': rounds, 'rolls': rolls, 'autoCorr': auto, 'kl': kl,
            'values': b64(v), 'next': torch.randint(1000, (1,), generator=g).item()}


def regularise():
    kl = []
    for seed, scale, shift in ((1, 1.5, .3), (2, .2, -1), (3, 1, 0)):
        e = (torch.randn(2, 4, 6, 5, generator=generator(seed)) * scale + shift).requires_grad_()
        diffedit.kl_divergence(e).backward()
        kl.append({'seed': seed, 'scale': scale, 'shift': shift, 'gradient': b64(e.grad)})
    cases = [regularised(kind, guided, 1, t, w) for kind, guided, t, w in itertools.product(
        ('epsilon', 'v_prediction', 'sample'), (False, True), (601, 781), ((1, 5, 20., 20.), (2, 2, 20., 0.), (2, 1, 0., 5.)))]
    cases += [regularised('epsilon', True, 2, 401, (1, 3, 20., 20.)), regularised('v_prediction', False, 2, 401, (1, 3, 20., 20.))]
    shapes = [(1, 1, 2, 2), (1, 2, 8, 8), (2, 3, 9, 7), (1, 2, 16, 16), (1, 1, 19, 21), (2, 2, 33, 40), (1, 1, 20, 5), (1, 4, 64, 64)]
    save('regularise', {'autoCorrelation': [autocorrelation(s, i) for i, s in enumerate(shapes)], 'kl': kl, 'whole': cases})


def configs():
    heard = []
    handler = logging.Handler()
    handler.emit = lambda record: heard.append(record.getMessage())
    log = logging.getLogger('diffusers.configuration_utils')
    log.addHandler(handler)
    sd15 = {'_class_name': 'PNDMScheduler', '_diffusers_version': '0.6.0', 'beta_end': 0.012, 'beta_schedule': 'scaled_linear', 'beta_start': 0.00085,
            'num_train_timesteps': 1000, 'set_alpha_to_one': False, 'skip_prk_steps': True, 'steps_offset': 1, 'trained_betas': None, 'clip_sample': False}
    sd21 = {'_class_name': 'DDIMScheduler', '_diffusers_version': '0.8.0', 'beta_end': 0.012, 'beta_schedule': 'scaled_linear', 'beta_start': 0.00085,
            'clip_sample': False, 'num_train_timesteps': 1000, 'prediction_type': 'v_prediction', 'set_alpha_to_one': False, 'skip_prk_steps': True,
            'steps_offset': 1, 'trained_betas': None}
    bare = {'_class_name': 'PNDMScheduler', 'beta_end': 0.012, 'beta_schedule': 'scaled_linear', 'beta_start': 0.00085, 'skip_prk_steps': True}
    dpm = dict(sd15, _class_name='DPMSolverMultistepScheduler', solver_order=2, algorithm_type='dpmsolver++', thresholding=True, sample_max_value=1.5, odd=[1, {'a': 2}])
    classless = {'beta_start': 0.002, 'solver_order': 3, 'sigma_min': 1, '_private': 4}
    D, I = DDIMScheduler, DDIMInverseScheduler
    rows = []
    for source, chain in [(sd15, [D, I, D, I]), (sd15, [I, D, I]), (sd21, [D, I, D]), (sd21, [I, D]), (bare, [D, I, D]), (dpm, [D, I, D]), (dpm, [I, I, D]),
                          (classless, [D, I, D]), (classless, [I, D]), ({}, [D, I]),
                          (sd21, [D, (I, {'prediction_type': 'epsilon', 'steps_offset': 0}), D, (D, {'thresholding': True}), I, D]),
                          (dict(sd15, _class_name='NoSuchScheduler', eta=1), [D]), (dict(sd15, _class_name='RePaintScheduler', eta=1), [D, I]),
                          (dict(sd21, quantization_config={'a': 1}), [D]), (D(thresholding=True).config, [I, D]), (D(beta_start=.01).config, [I, D])]:
        plain = {k: sorted(v) if k == '_use_default_values' else v for k, v in dict(source).items()}
        links = []
        config = dict(source)
        for link in chain:
            cls, kw = link if isinstance(link, tuple) else (link, {})
            heard.clear()
            s = cls.from_config(config, **kw)
            config = dict(s.config)
            links.append({'class': cls.__name__, 'overrides': kw, 'warned': len(heard) > 0, 'unset': sorted(config.get('_use_default_values', [])),
                          'json': json.loads(s.to_json_string())})
        rows.append({'source': plain, 'links': links})
    save('configs', {'chains': rows})


def mask():
    rows = []
    for seed, shape, ratio in ((0, (1, 8, 8), 3.), (1, (3, 6, 5), 3.), (2, (2, 16, 16), 1.3), (3, (2, 4, 4), .5), (4, (4, 5, 3), 2.)):
        m = torch.randn(shape, generator=generator(seed)).abs() * torch.arange(1, shape[0] + 1).reshape(-1, 1, 1)
        one = lambda m: torch.where(m.clamp(0, m.mean() * ratio) / (m.mean() * ratio) <= 0.5, 0, 1)
        rows.append({'seed': seed, 'shape': shape, 'ratio': ratio, 'batch': one(m).flatten().tolist(),
                     'single': torch.cat([one(i) for i in m]).flatten().tolist()})
    save('mask', {'cases': rows})


for part in (random, tables, steps, regularise, configs, mask):
    part()
    print(part.__name__, (out / f'{part.__name__}.json').stat().st_size // 1024, 'KiB')

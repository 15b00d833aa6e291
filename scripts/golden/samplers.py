"""Whole runs of diffusers' samplers beside DDIM on a stand-in for a model, and their configs made from one another.

Usage: python scripts/golden/samplers.py   (torch, diffusers, scipy, numpy; seeds are fixed)
Writes test/golden/samplers: one JSON file a class, and configs.json. Of a run are kept the last sample [2, 2, 2, 2] as base64 of
little-endian float32, a position-weighted sum of the timesteps, the sum of the sigmas, and the deviation of the first noise.
"""
import base64, itertools, json, logging, pathlib, warnings
import diffusers
import numpy as np
import scipy
import torch
from diffusers import (DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler, EulerAncestralDiscreteScheduler,
                       EulerDiscreteScheduler, LCMScheduler, PNDMScheduler, UniPCMultistepScheduler)

warnings.simplefilter('ignore')
logging.disable(logging.WARNING)
out = pathlib.Path(__file__).resolve().parents[2] / 'test/golden/samplers'
out.mkdir(parents=True, exist_ok=True)
versions = {'torch': torch.__version__, 'diffusers': diffusers.__version__, 'numpy': np.__version__, 'scipy': scipy.__version__}
SHAPE = (2, 2, 2, 2)
SD = dict(beta_schedule='scaled_linear', beta_start=.00085, beta_end=.012)
SPACINGS = ('leading', 'trailing', 'linspace')
V = dict(prediction_type='v_prediction')
ZERO = dict(V, rescale_betas_zero_snr=True, timestep_spacing='trailing')
COSINE = dict(beta_schedule='squaredcos_cap_v2')
LIMIT = dict(thresholding=True, sample_max_value=1.5, dynamic_thresholding_ratio=.9)


def b64(t):
    return base64.b64encode(t.detach().to(torch.float32).contiguous().numpy().tobytes()).decode()


def model(x, t):
    """Depends on the timestep too: what a model is told is part of the recording."""
    return torch.tanh(x * 0.5 + 0.1) * (0.6 + 0.4 * float(t) / 1000)


def trajectory(cls, config, run, begin=0):
    s = cls(**config)
    s.set_timesteps(**({'num_inference_steps': run} if isinstance(run, int) else run))
    g = torch.Generator().manual_seed(7)
    x = torch.randn(SHAPE, generator=g)
    init = float(s.init_noise_sigma)
    rest = s.timesteps[begin:]
    # Without it a run whose first timestep comes twice begins with the second one, and ends beyond its last.
    if hasattr(s, 'set_begin_index'):
        s.set_begin_index(begin)
    if begin:
        x = s.add_noise(x, torch.randn(SHAPE, generator=g), rest[:1])
    else:
        x = x * init
    draws = 'generator' in type(s).step.__code__.co_varnames
    for t in rest:
        e = model(s.scale_model_input(x, t), t)
        x = s.step(e, t, x, **({'generator': g} if draws else {})).prev_sample
    t = s.timesteps.double()
    row = {'c': config, 'n': run, 't': float(((torch.arange(len(t)) + 1) * (t + 1)).sum()), 'v': b64(x)}
    if begin:
        row['from'] = begin
    if init != 1:
        row['i'] = init
    if hasattr(s, 'sigmas'):
        row['s'] = float(s.sigmas.double().sum())
    assert torch.isfinite(x).all(), row
    return row


def runs(cls, kinds, base=SD, spaced=True, most=50):
    """Spacings x predictions at a few lengths; every length once, its spacing and prediction in turn; and runs from the middle."""
    spacings = SPACINGS if spaced else (None,)
    where = lambda spacing: dict(base, timestep_spacing=spacing) if spacing else dict(base)
    least = 4 if cls is PNDMScheduler and not base.get('skip_prk_steps') else 1
    for spacing, kind, n in itertools.product(spacings, kinds, (1, 2, 3, 5, 10, 20, 50)):
        if n >= least:
            yield cls, dict(where(spacing), prediction_type=kind), n
    for n in range(least, most + 1):
        yield cls, dict(where(spacings[n % len(spacings)]), prediction_type=kinds[n // 3 % len(kinds)]), n
    for spacing, (n, begin) in itertools.product(spacings, ((4, 1), (20, 7), (50, 30))):
        yield cls, dict(where(spacing), prediction_type=kinds[0]), n, begin


def of_euler():
    E = EulerDiscreteScheduler
    yield from runs(E, ('epsilon', 'v_prediction', 'sample'))
    turbo = dict(SD, timestep_spacing='trailing')
    for n in (1, 2, 3, 4):
        yield E, turbo, n
    for how, n in itertools.product(('use_karras_sigmas', 'use_exponential_sigmas', 'use_beta_sigmas'), (1, 2, 5, 20, 50)):
        yield E, dict(SD, **{how: True}), n
        yield E, dict(SD, **{how: True}, timestep_spacing='leading', steps_offset=1), n, n // 3
    for more in (dict(interpolation_type='log_linear'), dict(final_sigmas_type='sigma_min'), dict(V, timestep_type='continuous'),
                 dict(use_karras_sigmas=True, sigma_min=.05, sigma_max=12.5), dict(use_exponential_sigmas=True, sigma_min=.05),
                 dict(use_beta_sigmas=True, sigma_max=9.), dict(steps_offset=1, timestep_spacing='leading'), ZERO, COSINE,
                 dict(beta_schedule='linear', beta_start=.0001, beta_end=.02), dict(num_train_timesteps=777),
                 dict(interpolation_type='log_linear', use_karras_sigmas=True), dict(V, interpolation_type='log_linear', timestep_type='continuous'),
                 dict(num_train_timesteps=4, trained_betas=[.1, .2, .3, .7])):
        for n in (1, 3, 20) if more.get('num_train_timesteps') != 4 else (1, 3):
            yield E, dict(SD, **more), n
    yield E, SD, dict(timesteps=[999, 700, 401, 20])
    yield E, dict(SD, interpolation_type='log_linear'), dict(timesteps=[999, 700, 401, 20])
    yield E, SD, dict(sigmas=[14.6, 6.3, 3.8, 2.2, 1.2, .5, 0.])
    yield E, SD, dict(sigmas=[10., 1., .01])


def of_ancestral():
    A = EulerAncestralDiscreteScheduler
    yield from runs(A, ('epsilon', 'v_prediction'))
    for more in (dict(steps_offset=1, timestep_spacing='leading'), ZERO, COSINE, dict(num_train_timesteps=777)):
        for n in (1, 3, 20):
            yield A, dict(SD, **more), n


def of_dpm():
    D = DPMSolverMultistepScheduler
    yield from runs(D, ('epsilon', 'v_prediction', 'sample'))
    for how, n in itertools.product(('use_karras_sigmas', 'use_exponential_sigmas', 'use_beta_sigmas', 'use_lu_lambdas'), (1, 2, 5, 20, 50)):
        yield D, dict(SD, **{how: True}), n
        yield D, dict(SD, **{how: True}, algorithm_type='sde-dpmsolver++'), n, n // 3
    for algorithm, solver, order, last in itertools.product(
            ('dpmsolver++', 'dpmsolver', 'sde-dpmsolver++', 'sde-dpmsolver'), ('midpoint', 'heun'), (1, 2, 3), ('zero', 'sigma_min')):
        if (algorithm == 'sde-dpmsolver' and order == 3) or (last == 'zero' and not algorithm.endswith('++')):
            continue
        for i, n in enumerate((1, 2, 3, 7, 14, 15, 30)):
            kind = ('epsilon', 'v_prediction', 'sample')[i % 3]
            yield D, dict(SD, algorithm_type=algorithm, solver_type=solver, solver_order=order, final_sigmas_type=last, prediction_type=kind), n
    for more in (dict(lower_order_final=False), dict(euler_at_final=True, final_sigmas_type='sigma_min'), LIMIT, dict(LIMIT, **V),
                 dict(LIMIT, algorithm_type='dpmsolver', final_sigmas_type='sigma_min'), dict(COSINE, lambda_min_clipped=-5.1),
                 dict(COSINE, lambda_min_clipped=-5.1, timestep_spacing='trailing'), dict(COSINE, use_karras_sigmas=True), dict(COSINE, use_lu_lambdas=True), ZERO,
                 dict(COSINE, lambda_min_clipped=-3., timestep_spacing='trailing', use_beta_sigmas=True),
                 dict(steps_offset=1, timestep_spacing='leading'), dict(algorithm_type='deis', final_sigmas_type='sigma_min'), dict(solver_type='bh2'),
                 dict(num_train_timesteps=777), dict(use_karras_sigmas=True, final_sigmas_type='sigma_min')):
        for n in (1, 3, 20):
            yield D, dict(SD, **more), n
    yield D, dict(COSINE, lambda_min_clipped=-3., timestep_spacing='trailing', use_beta_sigmas=True), 50
    yield D, SD, dict(timesteps=[999, 700, 401, 20])
    yield D, dict(SD, solver_order=3), dict(timesteps=[999, 900, 700, 500, 401, 200, 20])


def of_unipc():
    U = UniPCMultistepScheduler
    yield from runs(U, ('epsilon', 'v_prediction', 'sample'))
    for how, n in itertools.product(('use_karras_sigmas', 'use_exponential_sigmas', 'use_beta_sigmas'), (1, 2, 5, 20, 50)):
        yield U, dict(SD, **{how: True}), n
        yield U, dict(SD, **{how: True}, solver_order=3, final_sigmas_type='sigma_min'), n, n // 3
    for clean, solver, order, last in itertools.product((True, False), ('bh1', 'bh2'), (1, 2, 3, 4), ('zero', 'sigma_min')):
        if last == 'zero' and (not clean or solver == 'bh1'):  # which make NaN of the last step
            continue
        for i, n in enumerate((1, 2, 3, 7, 15, 30)):
            kind = ('epsilon', 'v_prediction', 'sample')[i % 3]
            yield U, dict(SD, predict_x0=clean, solver_type=solver, solver_order=order, final_sigmas_type=last, prediction_type=kind), n
    for more in (dict(lower_order_final=False, final_sigmas_type='sigma_min'), LIMIT, dict(LIMIT, **V), dict(disable_corrector=[0, 2, 3]),
                 ZERO, COSINE, dict(steps_offset=1, timestep_spacing='leading'), dict(solver_type='midpoint'), dict(num_train_timesteps=777)):
        for n in (1, 3, 20):
            yield U, dict(SD, **more), n


def of_pndm():
    P = PNDMScheduler
    for more in (dict(skip_prk_steps=True), dict()):
        yield from runs(P, ('epsilon', 'v_prediction'), dict(SD, **more))
    for more in (dict(skip_prk_steps=True, set_alpha_to_one=True), dict(set_alpha_to_one=True), dict(skip_prk_steps=True, steps_offset=1),
                 dict(COSINE, skip_prk_steps=True), dict(num_train_timesteps=777)):
        for n in (4, 5, 20, 50):
            yield P, dict(SD, **more), n


def of_lcm():
    L = LCMScheduler
    yield from runs(L, ('epsilon', 'v_prediction', 'sample'), {}, spaced=False)
    for more in (LIMIT, dict(clip_sample=True, clip_sample_range=.8), dict(timestep_scaling=1.), ZERO, dict(original_inference_steps=100),
                 COSINE, dict(num_train_timesteps=777)):
        for n in (1, 3, 8):
            yield L, more, n
    yield L, {}, dict(num_inference_steps=4, original_inference_steps=20)
    yield L, {}, dict(num_inference_steps=4, strength=.5)
    yield L, {}, dict(timesteps=[999, 759, 499, 259])
    yield L, {}, dict(timesteps=[999, 759, 499, 259], strength=.5)


def of_ddpm():
    D = DDPMScheduler
    yield from runs(D, ('epsilon', 'v_prediction', 'sample'), dict(SD, clip_sample=False))
    for more in (LIMIT, dict(clip_sample=True), dict(clip_sample=True, clip_sample_range=.5, **V), ZERO, COSINE, dict(variance_type='fixed_small_log'),
                 dict(variance_type='fixed_large'), dict(beta_schedule='sigmoid', beta_start=.0001, beta_end=.02), dict(steps_offset=1),
                 dict(beta_schedule='sigmoid', rescale_betas_zero_snr=True, **V), dict(num_train_timesteps=777)):
        for n in (1, 3, 20):
            yield D, {**SD, 'clip_sample': False, **more}, n
    yield D, dict(SD, clip_sample=False), dict(timesteps=[999, 700, 401, 20])


def configs():
    """from_config from class to class: what each keeps, what it says it does not know, and what it saves."""
    heard = []
    handler = logging.Handler()
    handler.emit = lambda record: heard.append(record.getMessage())
    logging.disable(logging.NOTSET)
    logging.getLogger('diffusers').handlers = []
    logging.getLogger('diffusers.configuration_utils').addHandler(handler)
    sd15 = {'_class_name': 'PNDMScheduler', '_diffusers_version': '0.6.0', **SD, 'num_train_timesteps': 1000, 'set_alpha_to_one': False,
            'skip_prk_steps': True, 'steps_offset': 1, 'trained_betas': None, 'clip_sample': False}
    turbo = {'_class_name': 'EulerDiscreteScheduler', '_diffusers_version': '0.24.0.dev0', **SD, 'clip_sample': False, 'interpolation_type': 'linear',
             'num_train_timesteps': 1000, 'prediction_type': 'epsilon', 'sample_max_value': 1.0, 'set_alpha_to_one': False, 'skip_prk_steps': True,
             'steps_offset': 1, 'timestep_spacing': 'trailing', 'timestep_type': 'discrete', 'trained_betas': None, 'use_karras_sigmas': False}
    heun = dict(sd15, _class_name='DPMSolverMultistepScheduler', solver_type='heun', algorithm_type='sde-dpmsolver++', use_karras_sigmas=True)
    A, D, E, L, N, P, U, I = (EulerAncestralDiscreteScheduler, DPMSolverMultistepScheduler, EulerDiscreteScheduler, LCMScheduler, DDPMScheduler,
                              PNDMScheduler, UniPCMultistepScheduler, DDIMScheduler)
    rows = []
    for source, chain in [(sd15, [P, L, P]), (sd15, [L]), (sd15, [E, L, D, U, N, A, I, P]), (sd15, [D, U, D]), (sd15, [U, D, E]), (turbo, [E, L, E]),
                          (turbo, [E, A, D, I]), (turbo, [L]), (heun, [D, U, D, E]), (heun, [U, D]), ({}, [D, L, N]), (dict(sd15, odd=1), [E, L]),
                          (sd15, [(L, {'original_inference_steps': 40}), E, L]), (sd15, [(D, {'use_karras_sigmas': True, 'solver_order': 3}), U, E]),
                          (dict(turbo, solver_order=3, thresholding=False), [L, A, N]), ({'_class_name': 'LCMScheduler', 'original_inference_steps': 40}, [L, I, E])]:
        links, config = [], dict(source)
        for link in chain:
            cls, more = link if isinstance(link, tuple) else (link, {})
            heard.clear()
            s = cls.from_config(config, **more)
            config = dict(s.config)
            text = s.to_json_string().replace('-Infinity', 'null')
            links.append({'class': cls.__name__, 'overrides': more, 'warned': len(heard) > 0, 'unset': sorted(config.get('_use_default_values', [])),
                          'json': json.loads(text)})
        rows.append({'source': dict(source), 'links': links})
    return rows


def listed(cls, config, n):
    s = cls(**config)
    s.set_timesteps(n)
    return {'c': config, 'n': n, 'timesteps': s.timesteps.tolist(), **({'sigmas': s.sigmas.tolist()} if hasattr(s, 'sigmas') else {})}


def save(name, rows):
    lines = ',\n'.join(json.dumps(row, separators=(',', ':')) for row in rows)
    (out / f'{name}.json').write_text(f'{{"versions":{json.dumps(versions)},\n"cases":[\n{lines}\n]}}\n')
    print(name, len(rows), 'rows,', (out / f'{name}.json').stat().st_size // 1024, 'KiB')


for part in (of_euler, of_ancestral, of_dpm, of_unipc, of_pndm, of_lcm, of_ddpm):
    seen, rows = set(), []
    for case in part():
        key = json.dumps(case[1:], sort_keys=True, default=str)
        if key in seen:
            continue
        seen.add(key)
        rows.append(trajectory(*case))
    save(case[0].__name__, rows)
karras = dict(SD, use_karras_sigmas=True)
save('lists', [dict(listed(cls, config, n), **{'class': cls.__name__}) for cls, config in (
    (EulerDiscreteScheduler, dict(SD, timestep_spacing='trailing')), (EulerDiscreteScheduler, karras), (DPMSolverMultistepScheduler, karras),
    (UniPCMultistepScheduler, karras), (PNDMScheduler, dict(SD, skip_prk_steps=True, steps_offset=1)), (PNDMScheduler, SD), (LCMScheduler, {}))
    for n in (4, 7)])
save('configs', configs())

"""Text to image, image to image and inpainting by diffusers on the tiny networks: every sampler, batches, and each argument once.

  image_generation.py SD1_FOLDER SD2_FOLDER OUT_DIR

SD1_FOLDER and SD2_FOLDER are test/golden/sd1/model and test/golden/sd2/model. Writes OUT_DIR/golden.safetensors (latents float32,
pictures bytes) and golden.json (the cases: pipeline, sampler, arguments). Pictures and masks are texture() and grey() below, which
test/support writes too. The inpainting network is the first one with five channels more. Made with torch 2.13.0 (CPU), diffusers 0.34.0.
"""
import copy, json, sys, warnings
import diffusers
import numpy as np
import torch
from diffusers import (StableDiffusionImg2ImgPipeline, StableDiffusionInpaintPipeline, StableDiffusionPipeline)
from PIL import Image
from safetensors.torch import save_file

warnings.simplefilter('ignore')
diffusers.logging.set_verbosity_error()
torch.set_num_threads(1)
torch.set_grad_enabled(False)
sd1, sd2, out = sys.argv[1:4]
golden, cases = {}, []
WIDTH, HEIGHT = 24, 16
BOTH = ['a bowl of fruits', 'a basket of pears']
SHARED = ('beta_start', 'beta_end', 'beta_schedule', 'prediction_type', 'steps_offset')

SAMPLERS = {
    'ddim': ('DDIMScheduler', {}),
    'euler': ('EulerDiscreteScheduler', {}),
    'ancestral': ('EulerAncestralDiscreteScheduler', {}),
    'dpm': ('DPMSolverMultistepScheduler', {}),
    'karras': ('DPMSolverMultistepScheduler', {'use_karras_sigmas': True}),
    'sde': ('DPMSolverMultistepScheduler', {'algorithm_type': 'sde-dpmsolver++'}),
    'unipc': ('UniPCMultistepScheduler', {}),
    'pndm': ('PNDMScheduler', {'skip_prk_steps': True}),
    'lcm': ('LCMScheduler', {}),
    'ddpm': ('DDPMScheduler', {}),
}


def texture(height, width, p):
    y, x, c = np.mgrid[0:height, 0:width, 0:3]
    return Image.fromarray(((y * (3 + p) + x * 5 + (x * y) % 11 * 13 + c * 60 + 31 * p) % 256).astype(np.uint8))


def grey(height, width, p):
    """A mask with a light half, and values between: they are cut at one half."""
    y, x = np.mgrid[0:height, 0:width]
    return Image.fromarray(np.clip((x + (2 * p - 1) * y) * 255 // width + 60 * p, 0, 255).astype(np.uint8), 'L')


def inpainting(unet):
    """The same network with five channels more at its beginning."""
    config = {k: v for k, v in unet.config.items() if not k.startswith('_')}
    wide = type(unet).from_config({**config, 'in_channels': 9})
    weights = dict(unet.state_dict())
    first = weights['conv_in.weight']
    more = torch.randn(first.shape[0], 5, 3, 3, generator=torch.Generator().manual_seed(9)) * 0.1
    weights['conv_in.weight'] = torch.cat([first, more], 1)
    wide.load_state_dict(weights)
    return wide.eval()


base = {}
for name, folder in (('sd1', sd1), ('sd2', sd2)):
    pipe = StableDiffusionPipeline.from_pretrained(folder, torch_dtype=torch.float32, safety_checker=None, requires_safety_checker=False)
    base[name] = pipe.components
base['sd1-inpainting'] = {**base['sd1'], 'unet': inpainting(base['sd1']['unet'])}
CLASSES = {'text': StableDiffusionPipeline, 'image': StableDiffusionImg2ImgPipeline, 'inpaint': StableDiffusionInpaintPipeline}


def value(v, height, width):
    """An argument as the recording says it, for diffusers."""
    if not isinstance(v, dict):
        return v
    [(kind, what)] = v.items()
    many = isinstance(what, list)
    if kind == 'texture':
        return [texture(height, width, p) for p in what] if many else texture(height, width, what)
    if kind == 'grey':
        return [grey(height, width, p) for p in what] if many else grey(height, width, what)
    if kind == 'generators':
        return [torch.Generator().manual_seed(s) for s in what]
    if kind == 'randn':
        return torch.randn(*what['shape'], generator=torch.Generator().manual_seed(what['seed'])) * what.get('times', 1)
    raise ValueError(kind)


def record(name, pipeline, sampler='ddim', model='sd1', config={}, picture=True, sides=None, **args):
    """`sides`: of the pictures that are given, where they differ from the result's."""
    kind, own = SAMPLERS[sampler] if isinstance(sampler, str) else sampler
    own = {**own, **config}
    scheduler = getattr(diffusers, kind).from_config(base[model]['scheduler'].config, **own)
    pipe = CLASSES[pipeline](**{**base[model], 'scheduler': scheduler}, requires_safety_checker=False)
    pipe.set_progress_bar_config(disable=True)
    height, width = sides or (args.get('height', HEIGHT), args.get('width', WIDTH))
    seed = args.pop('seed', 5)
    given = {k: value(v, height, width) for k, v in args.items()}
    given.setdefault('generator', torch.Generator().manual_seed(seed))
    if args.get('padding_mask_crop') is not None:
        images = pipe(**given).images
        golden[f'{name}.picture'] = torch.from_numpy(np.stack([np.array(i.convert('RGB')) for i in images]))
    else:
        latents = pipe(**given, output_type='latent').images
        golden[f'{name}.latents'] = latents.contiguous()
        if picture:
            images = pipe.image_processor.postprocess(pipe.vae.decode(latents / pipe.vae.config.scaling_factor).sample, 'pil')
            golden[f'{name}.picture'] = torch.from_numpy(np.stack([np.array(i) for i in images]))
    cases.append({'name': name, 'pipeline': pipeline, 'model': model, 'scheduler': kind, 'config': own, 'seed': seed, 'sides': [height, width],
                  'args': args})
    print(name)


size = dict(height=HEIGHT, width=WIDTH)
run = dict(num_inference_steps=5, guidance_scale=6.0)
one = dict(prompt=BOTH[0], **run)
two = dict(prompt=BOTH, negative_prompt=['dark', 'blue'], num_images_per_prompt=2, **run)
for s in SAMPLERS:
    record(f'text {s}', 'text', s, **one, **size)
    record(f'text {s} batch', 'text', s, picture=False, **two, **size)
    record(f'image {s}', 'image', s, image={'texture': 0}, strength=0.7, **one)
    record(f'image {s} batch', 'image', s, picture=False, image={'texture': [0, 1]}, **two)
    record(f'inpaint {s}', 'inpaint', s, image={'texture': 0}, mask_image={'grey': 0}, **one, **size)
    record(f'inpaint {s} batch', 'inpaint', s, picture=False, image={'texture': [0, 1]}, mask_image={'grey': [0, 1]}, strength=0.7, **two, **size)
    nine = dict(model='sd1-inpainting', image={'texture': 0}, mask_image={'grey': 0})
    record(f'nine channels {s}', 'inpaint', s, **nine, **one, **size)
    record(f'nine channels {s} batch', 'inpaint', s, **{**nine, 'image': {'texture': [0, 1]}}, picture=False, strength=0.7, **two, **size)

# --- each argument once
def more(name, pipeline='text', **args):
    sides = {} if pipeline == 'image' else size
    pictures = {'text': {}, 'image': {'image': {'texture': 0}}, 'inpaint': {'image': {'texture': 0}, 'mask_image': {'grey': 0}}}[pipeline]
    record(name, pipeline, args.pop('sampler', 'ddim'), picture=False, **{**one, **sides, **pictures, **args})


for pipeline in CLASSES:
    more(f'{pipeline}: eta', pipeline, eta=0.7)
    more(f'{pipeline}: clip skip', pipeline, clip_skip=1)
    more(f'{pipeline}: no guidance', pipeline, guidance_scale=1.0)
    more(f'{pipeline}: generators', pipeline, num_images_per_prompt=2, generator={'generators': [3, 4]}, eta=0.5)
    more(f'{pipeline}: embeddings', pipeline, prompt=None, prompt_embeds={'randn': {'shape': [2, 77, 48], 'seed': 1}},
         negative_prompt_embeds={'randn': {'shape': [2, 77, 48], 'seed': 2}})
more('text: rescale', guidance_rescale=0.6)
more('text: latents', latents={'randn': {'shape': [1, 4, 8, 12], 'seed': 6}}, sampler='euler')
more('text: timesteps', sampler='ddpm', timesteps=[900, 600, 300, 40])
more('text: sigmas', sampler='euler', sigmas=[14.0, 6.0, 2.0, 0.5])
more('image: timesteps', 'image', sampler='lcm', timesteps=[900, 600, 300, 40])
record('text: default size', 'text', picture=False, **one)
record('inpaint: default size', 'inpaint', picture=False, image={'texture': 0}, mask_image={'grey': 0}, sides=(20, 26), **one)
record('image: other sides', 'image', picture=False, image={'texture': 0}, sides=(17, 23), **one)
more('image: latents', 'image', image={'randn': {'shape': [1, 4, 8, 12], 'seed': 7, 'times': 0.5}})
more('image: full strength', 'image', strength=1.0, sampler='euler')
more('inpaint: latents', 'inpaint', latents={'randn': {'shape': [1, 4, 8, 12], 'seed': 6}}, strength=0.8, sampler='euler')
more('inpaint: weak', 'inpaint', strength=0.3, eta=1.0)
more('nine channels: masked latents', 'inpaint', model='sd1-inpainting', masked_image_latents={'randn': {'shape': [1, 4, 8, 12], 'seed': 8, 'times': 0.5}})
for crop in (0, 3):
    record(f'inpaint: crop {crop}', 'inpaint', image={'texture': 1}, mask_image={'grey': 1}, padding_mask_crop=crop, sides=(30, 44), **one, **size)
# --- SD 2's shape: v-prediction; as sd-turbo is run
trailing = ('EulerDiscreteScheduler', {'timestep_spacing': 'trailing'})
for steps in (1, 4):
    record(f'turbo {steps}', 'text', trailing, model='sd2', config={'prediction_type': 'epsilon'}, prompt=BOTH[0], num_inference_steps=steps,
           guidance_scale=0.0, height=48, width=64)
record('v-prediction', 'text', 'dpm', model='sd2', picture=False, **one, height=48, width=64)
record('zero signal', 'text', 'ddim', model='sd2', config={'rescale_betas_zero_snr': True, 'timestep_spacing': 'trailing'}, picture=False,
       guidance_rescale=0.7, **one, height=48, width=64)
record('thresholding', 'text', 'ddim', config={'thresholding': True, 'sample_max_value': 1.5}, picture=False, **one, **size)

versions = {'diffusers': diffusers.__version__, 'torch': torch.__version__}
save_file(golden, f'{out}/golden.safetensors', metadata={'made_by': 'image_generation.py', **versions})
with open(f'{out}/golden.json', 'w') as f:
    json.dump({'made_by': 'image_generation.py', 'versions': versions, 'cases': cases}, f, indent=None, separators=(',', ':'))

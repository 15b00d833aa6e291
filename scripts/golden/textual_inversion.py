"""Textual inversion on the small Stable Diffusion folder: files of every layout, and what diffusers makes of them.

  textual_inversion.py FOLDER OUT_DIR

FOLDER is test/golden/sd1; a LoRA of ../lora is loaded too. Writes the embeddings and OUT_DIR/golden.safetensors and golden.json. Made with torch 2.13.0 (CPU),
transformers 4.57.6, diffusers 0.34.0.
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
torch.set_num_threads(1)
draws = torch.Generator().manual_seed(19)
golden, notes = {}, {}


def opened():
    pipe = StableDiffusionDiffEditPipeline.from_pretrained(
        folder / 'model', torch_dtype=torch.float32, safety_checker=None, feature_extractor=None, requires_safety_checker=False)
    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
    pipe.inverse_scheduler = DDIMInverseScheduler.from_config(pipe.scheduler.config)
    pipe.set_progress_bar_config(disable=True)
    return pipe


pipe = opened()
width = pipe.text_encoder.config.hidden_size
vectors = lambda *shape: torch.randn(*shape, width, generator=draws) * 0.3

# The files: diffusers' two layouts, the web UI's three, one of another model, one of two words.
torch.save({'<cat-toy>': vectors()}, out / 'cat-toy.bin')
torch.save({'<half>': vectors(2).half()}, out / 'half.bin')
save_file({'<dog>': vectors(3)}, out / 'dog.safetensors')
web = {'string_to_token': {'*': 265}, 'string_to_param': {'*': vectors(2)}, 'name': 'charturner', 'step': 2500,
       'sd_checkpoint': 'cc6cb27103', 'sd_checkpoint_name': None}
torch.save(web, out / 'charturner.pt')
first = {'string_to_token': {'*': torch.tensor(265)}, 'string_to_param': torch.nn.ParameterDict({'*': torch.nn.Parameter(vectors(1), requires_grad=True)})}
torch.save(first, out / 'first-kind.pt')
save_file({'emb_params': vectors(2)}, out / 'bad-hands.safetensors')
save_file({'clip_l': torch.zeros(1, 768), 'clip_g': torch.zeros(1, 1280)}, out / 'xl.safetensors')
save_file({'<wide>': torch.zeros(1, 1024)}, out / 'wide.safetensors')
save_file({'<one>': vectors(), '<two>': vectors()}, out / 'two-words.safetensors')


def embed(name, *prompts):
    ids = pipe.tokenizer([pipe.maybe_convert_prompt(p, pipe.tokenizer) for p in prompts], padding='max_length', truncation=True, max_length=77).input_ids
    golden[name] = pipe.encode_prompt(list(prompts), 'cpu', 1, False)[0].clone()
    notes[name] = {'prompts': prompts, 'ids': ids}


BASE = 'a bowl of fruits'
embed('base', BASE)
pipe.load_textual_inversion(str(out / 'cat-toy.bin'))
embed('cat', 'a bowl of <cat-toy> fruits', '<cat-toy>', BASE)
pipe.load_textual_inversion([str(out / 'dog.safetensors'), str(out / 'charturner.pt')], token=['sks', 'charturner'])
embed('three', 'a photo of sks', 'charturner, a bowl of <cat-toy>', 'sks sks <cat-toy>')

x = Image.fromarray(load_file(folder / 'golden.safetensors')['image'].numpy().astype(np.uint8))
golden['inverted'] = pipe.invert(prompt='a bowl of sks', image=x, num_inference_steps=4, inpaint_strength=0.8, guidance_scale=2.0,
                                 generator=torch.Generator().manual_seed(5)).latents.clone()

# The word that was loaded first: where another one goes, diffusers 0.34 gives two tokens one id.
pipe.unload_textual_inversion('<cat-toy>')
embed('without cat', 'charturner, a photo of sks', BASE)
pipe.unload_textual_inversion()
embed('none', BASE)
assert torch.equal(golden['none'], golden['base'])
pipe = opened()
pipe.load_textual_inversion(str(out / 'dog.safetensors'))
pipe.load_lora_weights(str(folder / '../lora'), weight_name='peft.safetensors')
embed('with lora', 'a bowl of <dog>')
pipe = opened()
pipe.load_textual_inversion(str(out / 'half.bin'))
embed('half', 'a <half> bowl')
pipe.load_textual_inversion(str(out / 'bad-hands.safetensors'), token='bad-hands')
embed('bad-hands', 'a bowl, bad-hands, <half>')


def refused(call):
    try:
        call()
    except Exception as error:
        return f'{type(error).__name__}: {str(error).strip()[:120]}'
    return 'taken'


load = lambda *args, **more: refused(lambda: pipe.load_textual_inversion(*args, **more))
notes['refused'] = {
    'known token': load(str(out / 'half.bin')),
    'word of the vocabulary': load(str(out / 'cat-toy.bin'), token='a</w>'),
    'numbered token': (pipe.tokenizer.add_tokens('odd_1'), load(str(out / 'cat-toy.bin'), token='odd'))[1],
    'same token twice': load([str(out / 'cat-toy.bin'), str(out / 'dog.safetensors')], token=['x', 'x']),
    'fewer tokens': load([str(out / 'cat-toy.bin'), str(out / 'dog.safetensors')], token=['x']),
    'other width': load(str(out / 'wide.safetensors')),
    'two words': load(str(out / 'two-words.safetensors')),
    'xl': load(str(out / 'xl.safetensors')),
    'unload of none': refused(lambda: pipe.unload_textual_inversion('nothing')),
}
versions = {p: importlib.metadata.version(p) for p in ('torch', 'transformers', 'diffusers', 'safetensors')}
save_file({name: value.contiguous() for name, value in golden.items()}, out / 'golden.safetensors')
(out / 'golden.json').write_text(json.dumps({'versions': versions, **notes}, indent=1))
print(json.dumps(notes['refused'], indent=1))

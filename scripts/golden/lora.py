"""LoRA files in the names that are about, and what diffusers and PEFT make of them.

  lora.py GOLDEN OUT_DIR

GOLDEN is test/golden: the models of sd1 and sd2 and the picture of sd1 are read. Writes OUT_DIR/*.safetensors and *.bin, the
adapters, and OUT_DIR/golden.safetensors and golden.json. Made with torch 2.13.0 (CPU), transformers 4.57.6, diffusers 0.34.0,
peft 0.21.2.
"""
import importlib.metadata, json, pathlib, re, sys
import numpy as np
import torch
from diffusers import DDIMInverseScheduler, DDIMScheduler, StableDiffusionDiffEditPipeline
from diffusers.loaders.lora_conversion_utils import _maybe_map_sgm_blocks_to_diffusers
from PIL import Image
from safetensors.torch import load_file, save_file

known, out = map(pathlib.Path, sys.argv[1:3])
out.mkdir(parents=True, exist_ok=True)
torch.set_grad_enabled(False)
torch.set_num_threads(1)
PROMPT, STEPS, GUIDANCE, STRENGTH = 'a bowl of fruits', 6, 2.0, 0.8
draws = torch.Generator().manual_seed(21)
picture = load_file(known / 'sd1' / 'golden.safetensors')['image'].numpy().astype(np.uint8)
image = Image.fromarray(picture)
golden, cases = {}, {}


def fresh(name):
    pipe = StableDiffusionDiffEditPipeline.from_pretrained(
        known / name / 'model', torch_dtype=torch.float32, safety_checker=None, feature_extractor=None, requires_safety_checker=False)
    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
    pipe.inverse_scheduler = DDIMInverseScheduler.from_config(pipe.scheduler.config)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def modules(model, pattern):
    """Linear layers and convolutions whose names match, with their weights' shapes."""
    kinds = (torch.nn.Linear, torch.nn.Conv2d)
    return {n: tuple(m.weight.shape) for n, m in model.named_modules() if isinstance(m, kinds) and re.search(pattern, n)}


def factors(shape, rank, dtype=torch.float32):
    """@return down [rank, in, ...] and up [out, rank, ...] whose product is about as large as a trained one"""
    outputs, inputs, *kernel = shape
    down = torch.randn(rank, inputs, *kernel, generator=draws) / (inputs * max(1, np.prod(kernel))) ** 0.5
    up = torch.randn(outputs, rank, *[1] * len(kernel), generator=draws) * 0.3 / rank ** 0.5
    return down.to(dtype).contiguous(), up.to(dtype).contiguous()


def record(case, pipe, adapters, **more):
    """Text, one prediction and one inversion."""
    ids = torch.tensor(pipe.tokenizer([PROMPT], padding='max_length', truncation=True, max_length=77).input_ids)
    golden[f'{case}.text'] = pipe.text_encoder(ids).last_hidden_state.clone()
    latents = pipe.invert(prompt=PROMPT, image=image, num_inference_steps=STEPS, inpaint_strength=STRENGTH,
                          guidance_scale=GUIDANCE, generator=torch.Generator().manual_seed(0)).latents
    golden[f'{case}.inverted'] = latents.clone().contiguous()
    cases[case] = dict(adapters=adapters, active=pipe.get_active_adapters(), **more)
    print(case, latents.abs().max().item(), flush=True)


def peft_names(pipe):
    """Linear layers of both networks; ranks differ; nothing is said of alpha."""
    unet, text = {}, {}
    for name, shape in modules(pipe.unet, r'(to_q|to_k|to_v|to_out\.0|ff\.net\.0\.proj|ff\.net\.2)$').items():
        rank = 3 if 'attn2' in name and 'down_blocks' in name else 2
        unet[f'{name}.lora_A.weight'], unet[f'{name}.lora_B.weight'] = factors(shape, rank)
    for name, shape in modules(pipe.text_encoder, r'(q_proj|k_proj|v_proj|out_proj|fc1)$').items():
        rank = 4 if name.endswith('q_proj') else 2
        text[f'{name}.lora_A.weight'], text[f'{name}.lora_B.weight'] = factors(shape, rank)
    return unet, text


def kohya_names(unet, text, dtype):
    """
    LoCon: convolutions too. Each module has its own rank and, outside of attentions, its own alpha; some have none. (Alphas that
    differ between attentions diffusers drops: it looks for them under names that it has changed.)
    """
    state = {}
    for prefix, found in (('lora_unet_', unet), ('lora_te_', text)):
        for i, (name, shape) in enumerate(found.items()):
            key, rank = prefix + name.replace('.', '_'), 1 + i % 3
            state[f'{key}.lora_down.weight'], state[f'{key}.lora_up.weight'] = factors(shape, rank, dtype)
            if i % 7:
                state[f'{key}.alpha'] = torch.tensor(1.0 if 'attn' in name else [2.0, 1.0, 0.5][i % 3])
    return state


def attention_processors(pipe):
    """The first names of diffusers: those of attention processors."""
    state = {}
    for name, shape in modules(pipe.unet, r'attn[12]\.(to_q|to_k|to_v|to_out\.0)$').items():
        block, layer = re.fullmatch(r'(.*attn[12])\.(to_\w+)(?:\.0)?', name).groups()
        down, up = factors(shape, 2)
        state[f'unet.{block}.processor.{layer}_lora.down.weight'], state[f'unet.{block}.processor.{layer}_lora.up.weight'] = down, up
    for name, shape in modules(pipe.text_encoder, r'self_attn\.').items():
        block, layer = re.fullmatch(r'(.*self_attn)\.(\w+)_proj', name).groups()
        down, up = factors(shape, 2)
        state[f'text_encoder.{block}.to_{layer}_lora.down.weight'], state[f'text_encoder.{block}.to_{layer}_lora.up.weight'] = down, up
    return state


IN_RESNETS = {'conv1': 'in_layers_2', 'time_emb_proj': 'emb_layers_1', 'conv2': 'out_layers_3', 'conv_shortcut': 'skip_connection'}


def original_names(pipe):
    """The numbers of the original code, for a UNet of two layers a block."""
    state, layers = {}, pipe.unet.config.layers_per_block + 1
    for i, (name, shape) in enumerate(modules(pipe.unet, r'(attentions|resnets|downsamplers)\.').items()):
        where, block, kind, layer, rest = re.fullmatch(r'(down|mid|up)_blocks?(?:\.(\d+))?\.(\w+)\.(\d+)\.(.*)', name).groups()
        if i % 3:
            continue
        rest = IN_RESNETS[rest] if kind == 'resnets' else 'op' if kind == 'downsamplers' else rest.replace('.', '_')
        part, layer = {'resnets': 0, 'attentions': 1, 'downsamplers': 0}[kind], int(layer)
        if where == 'mid':
            key = f'middle_block_{1 if part else 2 * layer}_{rest}'
        elif where == 'down':
            key = f'input_blocks_{1 + int(block) * layers + (layers - 1 if kind == "downsamplers" else layer)}_{part}_{rest}'
        else:
            key = f'output_blocks_{int(block) * layers + layer}_{part}_{rest}'
        rank = 1 + i % 2
        if 'attn' in key:
            rank = 2
        state[f'lora_unet_{key}.lora_down.weight'], state[f'lora_unet_{key}.lora_up.weight'] = factors(shape, rank)
        state[f'lora_unet_{key}.alpha'] = torch.tensor(1.0)
    return state


pipe = fresh('sd1')
record('base', pipe, [])
unet, text = peft_names(pipe)
pipe.save_lora_weights(out, unet_lora_layers=unet, text_encoder_lora_layers=text, weight_name='peft.safetensors')
locon = modules(pipe.unet, r'(conv1|conv2|conv_shortcut|time_emb_proj|proj_in|proj_out|downsamplers.0.conv|upsamplers.0.conv|to_k)$')
save_file(kohya_names(locon, modules(pipe.text_encoder, r'(_proj|fc2)$'), torch.float16), out / 'kohya.safetensors')
torch.save(attention_processors(pipe), out / 'processors.bin')

pipe.load_lora_weights(out / 'peft.safetensors', adapter_name='peft')
record('peft', pipe, ['peft.safetensors'])
pipe.load_lora_weights(out / 'kohya.safetensors', adapter_name='kohya')
record('kohya', pipe, ['kohya.safetensors'])  # what was loaded last acts alone
pipe.set_adapters(['peft', 'kohya'], [0.7, -0.4])
record('both', pipe, ['peft.safetensors', 'kohya.safetensors'], weights=[0.7, -0.4])
pipe.delete_adapters('peft')
record('kohya left', pipe, ['kohya.safetensors'])
pipe.unload_lora_weights()
record('unloaded', pipe, [])
for part in ('text', 'inverted'):
    assert torch.equal(golden.pop(f'unloaded.{part}'), golden[f'base.{part}'])
del cases['unloaded']

pipe = fresh('sd1')
pipe.load_lora_weights(torch.load(out / 'processors.bin', weights_only=True))
record('processors', pipe, ['processors.bin'])

pipe = fresh('sd1')
small = {f'unet.{k}': v for k, v in unet.items() if 'mid_block' in k} | {f'text_encoder.{k}': v for k, v in text.items() if 'q_proj' not in k}


def settings(prefix, **more):
    """PEFT's own, as the header of newer files has them."""
    names = sorted({k.removeprefix(f'{prefix}.').split('.lora_')[0] for k in small if k.startswith(f'{prefix}.')})
    own = dict(r=2, rank_pattern={}, alpha_pattern={}, target_modules=names, **more)
    return {f'{prefix}.{k}': v for k, v in own.items()}


stabilised = settings('unet', lora_alpha=1.0, use_rslora=True) | settings('text_encoder', lora_alpha=3.0)
stabilised['unet.alpha_pattern'] = {'mid_block.attentions.0.transformer_blocks.0.attn1.to_q': 6.0}
save_file(small, out / 'settings.safetensors', metadata={'format': 'pt', 'lora_adapter_metadata': json.dumps(stabilised)})
pipe.load_lora_weights(out / 'settings.safetensors')
record('settings', pipe, ['settings.safetensors'])

pipe = fresh('sd2')
state = original_names(pipe)
save_file(state, out / 'original.safetensors')
mapped = {}
for key in {k.split('.')[0] for k in state}:  # one by one: diffusers takes block 10 for block 1
    mapped |= _maybe_map_sgm_blocks_to_diffusers({k: v for k, v in state.items() if k.split('.')[0] == key}, pipe.unet.config)
pipe.load_lora_weights(mapped)
record('original', pipe, ['original.safetensors'])

versions = {name: importlib.metadata.version(name) for name in ('torch', 'diffusers', 'transformers', 'peft')}
save_file({k: v.contiguous() for k, v in golden.items()}, out / 'golden.safetensors', metadata={'made_by': 'lora.py', **versions})
run = dict(prompt=PROMPT, steps=STEPS, guidance=GUIDANCE, strength=STRENGTH)
with open(out / 'golden.json', 'w') as f:
    json.dump(dict(made_by='lora.py', versions=versions, run=run, cases=cases), f, indent=1)

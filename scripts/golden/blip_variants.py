"""BLIP beyond the main golden case: blocks, masks, other picture sizes, sampling, a model of odd sizes, torch.save files.

  blip_variants.py BLIP_FOLDER OUT_DIR

BLIP_FOLDER is test/golden/blip. Writes OUT_DIR/golden.safetensors and golden.json (activations and ids of the same
model), OUT_DIR/model/pytorch_model.bin (its state dict, by torch.save) and OUT_DIR/odd (a model whose widths are no multiples
of 8, with a head of its own, as pytorch_model.bin alone). Made with torch 2.13.0 (CPU), transformers 4.57.6.
"""
import json
import pathlib
import shutil
import sys
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import BlipConfig, BlipForConditionalGeneration

source, out = map(pathlib.Path, sys.argv[1:3])
torch.set_grad_enabled(False)
golden = {}


def record(model, prefix, run):
    """What every block returns while `run` runs."""
    wanted = ('vision_model.embeddings', 'vision_model.encoder.layers.', 'text_decoder.bert.embeddings',
              'text_decoder.bert.encoder.layer.')
    hooks = []
    for name, module in model.named_modules():
        if name in wanted[::2] or (name.startswith(wanted[1::2]) and name.split('.')[-1].isdigit()):
            def keep(module, args, result, name=name):
                golden[prefix + name] = (result[0] if isinstance(result, tuple) else result).clone()
            hooks.append(module.register_forward_hook(keep))
    result = run()
    for hook in hooks:
        hook.remove()
    return result


model = BlipForConditionalGeneration.from_pretrained(source / 'model').eval()
(out / 'model').mkdir(parents=True, exist_ok=True)
torch.save(model.state_dict(), out / 'model/pytorch_model.bin')
for name in ('config.json', 'generation_config.json', 'preprocessor_config.json'):
    shutil.copy(source / 'model' / name, out / 'model' / name)

torch.manual_seed(5)
first = load_file(source / 'golden.safetensors')
pixels = torch.cat([first['pixel_values'], torch.randn(1, 3, 48, 48)])
ids = torch.randint(3, 118, (2, 7))
ids[:, 0] = 118
mask = torch.tensor([[1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 0, 0]])
golden.update(pixels=pixels, ids=ids, mask=mask)
golden['masked.logits'] = record(model, '', lambda: model(pixel_values=pixels, input_ids=ids, attention_mask=mask)).logits

for height, width in ((64, 64), (48, 96), (40, 24), (71, 83)):
    name = f'size.{height}x{width}'
    x = torch.randn(1, 3, height, width)
    embeddings = model.vision_model.embeddings
    golden[f'{name}.pixels'] = x
    golden[f'{name}.positions'] = embeddings.interpolate_pos_encoding(torch.empty(1, (height // 8) * (width // 8) + 1, 40), height, width)
    golden[f'{name}.out'] = model.vision_model(x, interpolate_pos_encoding=True)[0]
    golden[f'{name}.greedy'] = model.generate(x, interpolate_pos_encoding=True, max_new_tokens=12)

prefix = first['prefix_ids'].long()
for seed in (0, 1):
    torch.manual_seed(seed)
    golden[f'sampled.{seed}'] = model.generate(first['pixel_values'], input_ids=prefix.clone(), do_sample=True, temperature=0.8,
                                              top_k=10, max_new_tokens=12, num_return_sequences=3)
golden['default_length'] = model.generate(first['pixel_values'])
golden['batch'] = model.generate(pixels, input_ids=prefix.repeat(2, 1), max_new_tokens=12)

torch.manual_seed(6)
config = BlipConfig(
    text_config=dict(vocab_size=99, hidden_size=36, encoder_hidden_size=30, intermediate_size=37, num_hidden_layers=2,
                     num_attention_heads=3, max_position_embeddings=20, bos_token_id=98, hidden_act='gelu_new'),
    vision_config=dict(hidden_size=30, intermediate_size=43, num_hidden_layers=2, num_attention_heads=2, image_size=25,
                       patch_size=5, hidden_act='quick_gelu'),
    projection_dim=8, image_text_hidden_size=8)
odd = BlipForConditionalGeneration(config).eval()
for name, p in sorted(odd.named_parameters()):
    # Norms and biases away from one and zero, so that leaving one out shows.
    if p.dim() == 1:
        p.copy_((1.0 if 'orm' in name and name.endswith('weight') else 0.0) + 0.1 * torch.randn(p.shape))
    else:
        p.copy_(0.3 * torch.randn(p.shape))
predictions = odd.text_decoder.cls.predictions
predictions.decoder.weight = torch.nn.Parameter(0.3 * torch.randn(99, 36))
config.text_config.tie_word_embeddings = False  # else reading the folder would tie them again
state = odd.state_dict()
assert predictions.decoder.bias is predictions.bias
# Old files hold the numbers of the positions, too.
state['text_decoder.bert.embeddings.position_ids'] = torch.arange(20)[None]
(out / 'odd').mkdir(exist_ok=True)
torch.save(state, out / 'odd/pytorch_model.bin')
(out / 'odd/config.json').write_text(json.dumps(config.to_dict(), indent=1) + '\n')
x, ids = torch.randn(1, 3, 25, 25), torch.tensor([[98, 5, 17, 90, 3, 60]])
golden.update({'odd.pixels': x, 'odd.ids': ids})
golden['odd.logits'] = record(odd, 'odd.', lambda: odd(pixel_values=x, input_ids=ids)).logits
golden['odd.greedy'] = odd.generate(x, input_ids=torch.tensor([[98, 5, 17, 90, 2]]), max_new_tokens=9)

golden = {k: (v.int() if v.dtype == torch.int64 else v.float()).contiguous() for k, v in golden.items()}
versions = {'torch': torch.__version__, 'transformers': transformers.__version__}
save_file(golden, out / 'golden.safetensors', {'made_by': 'blip_variants.py', 'versions': json.dumps(versions)})
(out / 'golden.json').write_text(json.dumps({'case': 'blip-variants', 'versions': versions,
                                            'tensors': {k: list(v.shape) for k, v in sorted(golden.items())}}, indent=1) + '\n')
for k, v in golden.items():
    if v.dtype == torch.int32:
        print(k, v.tolist())
for max_new in (12,):
    print(model.generate(first['pixel_values'], input_ids=prefix.clone(), max_new_tokens=max_new).tolist(), first['greedy'].tolist())
    print(model.generate(first['pixel_values'], max_new_tokens=max_new).tolist(), first['unconditional'].tolist())
    print(model.generate(first['pixel_values'], input_ids=prefix.clone(), max_new_tokens=max_new, num_beams=3).tolist(), first['beam3'].tolist())

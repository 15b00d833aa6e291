"""T5 beyond the main golden case: the original layout (ReLU, tied embeddings) and a gated one of odd sizes.

  t5_variants.py OUT_DIR

Writes OUT_DIR/golden.safetensors and golden.json (logits and ids, names beginning with the model's), and for each model a
folder with its config and weights; `original` in shards. Made with torch 2.13.0 (CPU), transformers 4.57.6.
"""
import json
import pathlib
import sys
import torch
import transformers
from safetensors.torch import save_file
from transformers import T5Config, T5ForConditionalGeneration

out = pathlib.Path(sys.argv[1])
torch.set_grad_enabled(False)
golden = {}

MODELS = {
    # Widths as in the peers' own tests: 37 and 99 are multiples of nothing.
    'original': dict(vocab_size=99, d_model=32, d_kv=8, num_heads=4, d_ff=37, num_layers=2, relative_attention_num_buckets=8,
                     relative_attention_max_distance=20, feed_forward_proj='relu'),
    'odd': dict(vocab_size=101, d_model=20, d_kv=5, num_heads=3, d_ff=21, num_layers=3, num_decoder_layers=1,
                relative_attention_num_buckets=12, relative_attention_max_distance=9, feed_forward_proj='gated-silu',
                tie_word_embeddings=False),
}

for name, settings in MODELS.items():
    torch.manual_seed(11)
    model = T5ForConditionalGeneration(T5Config(**settings, decoder_start_token_id=0)).eval()
    for key, value in model.named_parameters():
        # Fresh weights are small and norms all ones; these make every part count.
        if key.endswith('layer_norm.weight'):
            value.copy_(torch.rand(value.shape) + 0.5)
        elif 'relative_attention_bias' in key:
            value.copy_(torch.randn(value.shape))
        elif 'shared' in key or 'lm_head' in key:
            value.copy_(torch.randn(value.shape) * (2 if key == 'shared.weight' else 0.5))
    ids = torch.randint(2, settings['vocab_size'], (3, 29))
    mask = torch.ones_like(ids)
    ids[1, 22:], mask[1, 22:] = 0, 0
    ids[2, 9:], mask[2, 9:] = 0, 0
    answers = torch.randint(2, settings['vocab_size'], (3, 26))
    answers[:, 0] = 0
    call = dict(input_ids=ids, attention_mask=mask)
    golden[f'{name}.logits'] = model(**call, decoder_input_ids=answers, use_cache=False).logits
    # Without a penalty a tied model of random weights repeats its first id for ever.
    golden[f'{name}.greedy'] = model.generate(**call, max_new_tokens=12, repetition_penalty=3.0)
    golden[f'{name}.beams'] = model.generate(**call, max_new_tokens=12, num_beams=3, num_return_sequences=2)
    torch.manual_seed(7)
    golden[f'{name}.sampled'] = model.generate(**call, max_new_tokens=12, do_sample=True, num_return_sequences=2)
    # Beginnings of answers: with the start id, and without it, which generate then puts in front.
    for key, begun in (('begun', answers[:, :4]), ('begun_bare', answers[:, 1:4])):
        golden[f'{name}.{key}'] = model.generate(**call, decoder_input_ids=begun, max_new_tokens=6, repetition_penalty=3.0)
        golden[f'{name}.{key}_beams'] = model.generate(**call, decoder_input_ids=begun, max_new_tokens=6, num_beams=3)
    golden.update({f'{name}.input_ids': ids, f'{name}.attention_mask': mask, f'{name}.decoder_input_ids': answers})
    model.save_pretrained(out / name, **({'max_shard_size': '60KB'} if name == 'original' else {}))

save_file({key: value.contiguous().to(torch.int32 if value.dtype == torch.int64 else value.dtype) for key, value in golden.items()},
          out / 'golden.safetensors')
about = dict(greedy=dict(repetition_penalty=3.0), sampled=dict(torch_seed=7, num_return_sequences=2), beams=dict(num_beams=3, num_return_sequences=2), max_new_tokens=12,
             versions=dict(torch=torch.__version__, transformers=transformers.__version__))
(out / 'golden.json').write_text(json.dumps(about, indent=1) + '\n')

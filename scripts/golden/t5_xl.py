"""One encoder and one decoder block of Flan-T5-xl at their own widths (2048, 5120, 32 heads of 64), with a vocabulary of 512.

Writes test/golden/t5-xl/: ids, the encoder's rows of the first four of them and the logits, in float64, and how far torch's own
float32 is from them. Weights are fullsize.py's function of name and index, as float16.

    python scripts/golden/t5_xl.py     torch 2.13.0, transformers 4.57.6
"""

import json
import os

import torch
import transformers
from fullsize import fake, tensors
from safetensors.torch import save_file
from transformers import T5Config, T5ForConditionalGeneration

OUT = os.path.join(os.path.dirname(__file__), "..", "..", "test", "golden", "t5-xl")
torch.set_num_threads(1)
torch.set_grad_enabled(False)
model = T5ForConditionalGeneration(
    T5Config(
        vocab_size=512,
        d_model=2048,
        d_kv=64,
        d_ff=5120,
        num_layers=1,
        num_decoder_layers=1,
        num_heads=32,
        feed_forward_proj="gated-gelu",
        tie_word_embeddings=False,
        decoder_start_token_id=0,
    )
).eval()
for name, tensor in tensors(model):
    tensor.data.copy_(torch.from_numpy(fake(name, tuple(tensor.shape))))
draw = torch.Generator().manual_seed(2026)
ids = torch.randint(3, 500, (1, 19), generator=draw)
answers = torch.randint(3, 500, (1, 5), generator=draw)
answers[0, 0] = 0
single = model(input_ids=ids, decoder_input_ids=answers)
double = model.double()(input_ids=ids, decoder_input_ids=answers)
out, errors = {"input_ids": ids.int(), "decoder_input_ids": answers.int()}, {}
for name, a, b in (
    ("encoder", single.encoder_last_hidden_state[:, :4], double.encoder_last_hidden_state[:, :4]),
    ("logits", single.logits, double.logits),
):
    out[name] = b.float().contiguous()
    errors[name] = float((a - b).norm() / b.norm())
os.makedirs(OUT, exist_ok=True)
save_file(out, os.path.join(OUT, "golden.safetensors"))
about = {"versions": {"torch": torch.__version__, "transformers": transformers.__version__}, "torch_error": errors}
with open(os.path.join(OUT, "golden.json"), "w") as file:
    json.dump(about, file)
    file.write("\n")
print(errors)

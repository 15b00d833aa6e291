"""Checkpoints for test/io: torch.save files of every kind that the reader takes or refuses, and one safetensors file.

Usage: python scripts/golden/torch_zip.py   (torch, safetensors)
Writes test/golden/torch: *.bin, reference.safetensors, index.json (values of every tensor as numbers).
"""
import collections, json, os, pathlib, pickle, zipfile
import torch
from safetensors.torch import save

out = pathlib.Path(__file__).resolve().parents[2] / 'test/golden/torch'
out.mkdir(parents=True, exist_ok=True)
for old in out.iterdir():
    old.unlink()
torch.manual_seed(3)
index = {'torch': torch.__version__}


def values(t):
    t = t.detach()
    return t.contiguous().view(torch.int16 if t.dtype in (torch.float16, torch.bfloat16) else t.dtype).flatten().tolist()


def put(name, obj, state=None, **kwargs):
    torch.save(obj, out / name, **kwargs)
    index[name] = {k: {'shape': list(t.shape), 'values': values(t)} for k, t in (state or obj).items()}


kinds = {
    'f32': torch.randn(2, 3), 'f16': torch.randn(5).half(), 'bf16': torch.randn(4).bfloat16(),
    'f64': torch.randn(3, dtype=torch.float64), 'i64': torch.tensor([-5, 2 ** 40]), 'i32': torch.tensor([1, -2], dtype=torch.int32),
    'i16': torch.tensor([300, -300], dtype=torch.int16), 'i8': torch.tensor([-1, 2], dtype=torch.int8),
    'u8': torch.tensor([1, 255], dtype=torch.uint8), 'bool': torch.tensor([True, False, True]),
    'scalar': torch.tensor(1.5), 'empty': torch.zeros(0, 3),
}
put('kinds.bin', kinds)
put('kinds-protocol4.bin', kinds, pickle_protocol=4)
model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.GroupNorm(1, 2))
put('module.bin', model.state_dict())  # an OrderedDict with _metadata
put('parameters.bin', dict(model.named_parameters()))
big = torch.arange(24.).view(4, 6)
shared = {'whole': big, 'rows': big[1:3], 'transposed': big.t(), 'column': big[:, 2], 'expanded': big[0, :1].expand(3),
          'conv': torch.arange(48.).view(2, 4, 3, 2).to(memory_format=torch.channels_last)}
put('shared.bin', shared)
nested = {'state_dict': kinds, 'epoch': 3, 'lr': 1e-4, 'name': 'x', 'betas': (0.9, 0.99), 'steps': [1, 2, None], 'big': 2 ** 70}
put('nested.bin', nested, kinds)
torch.save(kinds['f32'], out / 'bare-tensor.bin')
torch.save({'a': 1}, out / 'no-tensors.bin')
torch.save({'w': torch.ones(2)}, out / 'old-format.bin', _use_new_zipfile_serialization=False)
torch.save({'z': torch.complex(torch.ones(2), torch.ones(2))}, out / 'complex.bin')


class Evil:
    def __reduce__(self):
        return os.system, ('touch /tmp/pentimento-was-here',)


class Plain:
    pass


torch.save({'w': torch.ones(2), 'evil': Evil()}, out / 'evil.bin')
torch.save({'w': torch.ones(2), 'evil': Evil()}, out / 'evil-protocol4.bin', pickle_protocol=4)
Plain.__module__ = 'some.package'
import sys, types
for n in ('some', 'some.package'):
    sys.modules[n] = types.ModuleType(n)
sys.modules['some.package'].Plain = Plain
torch.save({'w': torch.ones(2), 'config': Plain()}, out / 'class.bin')
torch.save({'w': torch.ones(2), 'tags': {1, 2}}, out / 'set.bin')
torch.save({'w': torch.ones(2), 'raw': b'abc'}, out / 'bytes.bin')

with zipfile.ZipFile(out / 'module.bin') as z:
    parts = {n: z.read(n) for n in z.namelist()}
with zipfile.ZipFile(out / 'compressed.bin', 'w', zipfile.ZIP_DEFLATED) as z:
    for n, d in parts.items():
        z.writestr(n, d)
with zipfile.ZipFile(out / 'big-endian.bin', 'w') as z:
    for n, d in parts.items():
        z.writestr(n, b'big' if n.endswith('byteorder') else d)
with zipfile.ZipFile(out / 'missing-storage.bin', 'w') as z:
    for n, d in parts.items():
        if not n.endswith('data/1'):
            z.writestr(n, d)
with zipfile.ZipFile(out / 'zip64.bin', 'w') as z:  # every entry with zip64 sizes in its local header
    for n, d in parts.items():
        with z.open(n, 'w', force_zip64=True) as f:
            f.write(d)
index['zip64.bin'] = index['module.bin']

ref = {k: v for k, v in kinds.items()} | {'b.\u00e9': torch.ones(1), 'b.\U0001f34e': torch.ones(1), 'b.\uff00': torch.ones(1)}
(out / 'reference.safetensors').write_bytes(save(ref, {'format': 'pt'}))
(out / 'index.json').write_text(json.dumps(index) + '\n')

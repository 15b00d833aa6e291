"""Weights as people bring them, for test/io: 8-bit and 64-bit floats with and without scales, checkpoints of trainers, torch's
old format, quantised tensors, embeddings in dicts of dicts.

Usage: python scripts/golden/outside_weights.py   (torch, numpy, safetensors)
Writes test/golden/outside-weights: *.safetensors, *.bin, *.ckpt, *.pt, index.json (shape and values of every tensor as numbers).
The classes of the trainer are made here under its module's names: what is recorded is what pickle writes for them.
"""
import collections, datetime, enum, json, pathlib, sys, types
import numpy as np
import torch
import torch.utils.serialization
from safetensors.torch import save_file

torch.set_num_threads(1)
torch.manual_seed(11)
out = pathlib.Path(__file__).resolve().parents[2] / 'test/golden/outside-weights'
out.mkdir(parents=True, exist_ok=True)
for old in out.iterdir():
    old.unlink()
index = {'torch': torch.__version__}


def values(t):
    """Numbers; floats of 16 bits by their bits, infinities and NaN as text."""
    t = t.detach().contiguous()
    if t.dtype in (torch.float16, torch.bfloat16):
        return t.view(torch.int16).flatten().tolist()
    return [v if not isinstance(v, float) or abs(v) < float('inf') else str(v).replace('inf', 'Infinity') for v in t.flatten().tolist()]


def put(name, obj, state=None, **kwargs):
    torch.save(obj, out / name, **kwargs)
    index[name] = {k: {'shape': list(t.shape), 'values': values(t)} for k, t in (state or obj).items()}


# Every code of both 8-bit floats, and what torch makes of them; numbers that rounding to 32 bits must get right.
codes = torch.arange(256, dtype=torch.int32).to(torch.uint8)
wide = {'e4m3': codes.view(torch.float8_e4m3fn).view(16, 16), 'e5m2': codes.clone().view(torch.float8_e5m2).view(16, 16),
        'double': torch.tensor([0., -0., 1 + 2 ** -24, 1 + 3 * 2 ** -24, -(1 + 2 ** -24 + 2 ** -50), 1e-45, 2 ** -150, 1e308,
                                float('inf'), float('nan'), 1 / 3], dtype=torch.float64)}
scaled = {
    'one.weight': torch.randn(3, 4).to(torch.float8_e4m3fn), 'one.scale_weight': torch.tensor(0.0123),
    'one.scale_input': torch.tensor(7.0), 'scaled_fp8': torch.zeros(2).to(torch.float8_e4m3fn), 'one.bias': torch.randn(3),
    'each.weight': torch.randn(3, 4).to(torch.float8_e5m2), 'each.weight_scale': torch.tensor([[0.5], [3e-3], [-2.25]]),
    'each.input_scale': torch.tensor([7.0]), 'half.weight': torch.randn(3, 4).half(), 'half.weight_scale': torch.tensor([0.75]),
    'brain.weight': torch.randn(2, 4).bfloat16(), 'brain.weight_scale': torch.tensor([0.1, 3.0]).bfloat16(),
    'inverse.weight': torch.randn(2, 2).to(torch.float8_e4m3fn), 'inverse.weight_scale_inv': torch.tensor(0.3),
    'block.weight': torch.randn(4, 4).to(torch.float8_e4m3fn), 'block.weight_scale_inv': torch.ones(2, 2),
    'none.weight': torch.randn(2, 2).to(torch.float8_e4m3fn), 'none.scale_weight': torch.zeros(0),
    'plain.weight': torch.randn(2), 'lone.weight_scale': torch.ones(1),
}
save_file(wide | scaled, out / 'float8.safetensors', {'format': 'pt'})
truth = {k: t.to(torch.float32) for k, t in wide.items()}
for layer, scale in (('one', 'scale_weight'), ('each', 'weight_scale'), ('half', 'weight_scale'), ('brain', 'weight_scale'),
                     ('inverse', 'weight_scale_inv')):
    s = scaled[f'{layer}.{scale}'].to(torch.float32)
    w = scaled[f'{layer}.weight'].to(torch.float32)
    truth[f'{layer}.weight'] = w * (s.reshape(-1, 1) if s.numel() > 1 else s)
truth['none.weight'] = scaled['none.weight'].to(torch.float32)
truth['plain.weight'] = scaled['plain.weight']
truth['one.bias'] = scaled['one.bias']
index['widened'] = {k: {'shape': list(t.shape), 'values': values(t)} for k, t in truth.items()}
torch.save(wide | scaled, out / 'float8.bin')
torch.save(wide | scaled, out / 'float8-old.bin', _use_new_zipfile_serialization=False)


# A checkpoint as a trainer leaves it.
def module(name):
    for i in range(name.count('.') + 1):
        path = '.'.join(name.split('.')[:i + 1])
        sys.modules.setdefault(path, types.ModuleType(path))
    return sys.modules[name]


def planted(where, cls):
    cls.__module__, cls.__qualname__ = where, cls.__name__
    setattr(module(where), cls.__name__, cls)
    return cls


class ModelCheckpoint:
    pass


class AttributeDict(dict):
    pass


class Kind(enum.Enum):
    EPOCH = 'epoch'


class Span(collections.namedtuple('Span', 'start end')):
    pass


class Tagged(list):
    pass


ModelCheckpoint = planted('pytorch_lightning.callbacks.model_checkpoint', ModelCheckpoint)
AttributeDict = planted('pytorch_lightning.utilities.parsing', AttributeDict)
Kind = planted('lightning_fabric.utilities.enums', Kind)
Span = planted('ldm.util', Span)
Tagged = planted('ldm.util', Tagged)
weights = collections.OrderedDict([
    ('model.diffusion_model.out.2.weight', torch.randn(2, 3)), ('model.diffusion_model.out.2.bias', torch.randn(3).half()),
    ('betas', torch.randn(4, dtype=torch.float64)), ('model_ema.num_updates', torch.tensor(7, dtype=torch.int32)),
    ('cond_stage_model.position_ids', torch.arange(4)), ('parameter', torch.nn.Parameter(torch.randn(2))),
    ('brain', torch.randn(2).bfloat16()), ('turned', torch.arange(6.).view(2, 3).t()),
])
weights._metadata = collections.OrderedDict([('', {'version': 1})])
stateful = torch.nn.Parameter(torch.ones(2))
stateful.note = 'a parameter with attributes'
annotated = torch.full((2,), 3.)
annotated.note = 'a tensor with attributes'
settings = AttributeDict(base_learning_rate=1e-4, target='ldm.Model', sizes=(64, 64))
settings.hidden = True
callback = ModelCheckpoint()
callback.best = np.float32(0.25)
trained = {
    'epoch': 142, 'global_step': 470000, 'pytorch-lightning_version': '1.4.2',
    'state_dict': weights | {'stateful': stateful, 'annotated': annotated},
    'callbacks': {ModelCheckpoint: {'monitor': None, 'best_model_score': torch.tensor(0.5), 'kth': np.float64(1.5)},
                  "EarlyStopping{'mode': 'min'}": callback},
    'optimizer_states': [{'state': {0: {'step': 3, 'exp_avg': torch.zeros(2, 3)}}, 'param_groups': [{'lr': 1e-4}]}],
    'lr_schedulers': [], 'hyper_parameters': settings, 'hparams_name': 'kwargs',
    'extras': [np.int64(3), np.bool_(True), np.arange(3), Kind.EPOCH, Span(1, 2), Tagged([1, 2]), {1, 'two'}, frozenset({3}),
               pathlib.PurePosixPath('/a/b'), datetime.datetime(2022, 8, 10), torch.float16, torch.Size([1, 2]), torch.device('cpu'),
               torch.Generator().get_state(), b'bytes', bytearray(b'more'), 2 ** 100, -2 ** 70, complex(1, 2), slice(1, 2), range(3),
               collections.defaultdict(list, {'a': [1]}), collections.Counter('aab'), type(None), len, torch.nn.Linear(2, 1), ...],
}
for name, kwargs in (('trained.ckpt', {}), ('trained-protocol4.ckpt', {'pickle_protocol': 4}),
                     ('trained-protocol5.ckpt', {'pickle_protocol': 5}),
                     ('trained-old.ckpt', {'_use_new_zipfile_serialization': False})):
    put(name, trained, trained['state_dict'], **kwargs)
put('twice-nested.ckpt', {'state_dict': {'state_dict': {'w': torch.ones(2)}}}, {'w': torch.ones(2)})

kinds = {'f32': torch.randn(2, 3), 'f16': torch.randn(5).half(), 'bf16': torch.randn(4).bfloat16(),
         'f64': torch.randn(3, dtype=torch.float64), 'i64': torch.tensor([-5, 2 ** 40]), 'u8': torch.tensor([1, 255], dtype=torch.uint8),
         'bool': torch.tensor([True, False, True]), 'scalar': torch.tensor(1.5), 'empty': torch.zeros(0, 3)}
base = torch.arange(24.).view(4, 6)
put('old.bin', kinds | {'whole': base, 'rows': base[1:3], 'turned': base.t(), 'expanded': base[0, :1].expand(3)},
    _use_new_zipfile_serialization=False)
put('empty.bin', {})
torch.utils.serialization.config.save.compute_crc32 = False
put('no-checksums.bin', {'w': torch.ones(2)})
torch.utils.serialization.config.save.compute_crc32 = True
torch.save({'w': torch.ones(2), 'q': torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8),
            's': torch.eye(2).to_sparse(), 'c': torch.ones(2, dtype=torch.complex64).conj(),
            'u': torch.tensor([1, 2], dtype=torch.uint16)}, out / 'odd-kinds.bin')
torch.save(torch.nn.Linear(2, 1), out / 'whole-module.bin')
put('embedding.pt', {'string_to_token': {'*': 265}, 'string_to_param': {'*': torch.randn(2, 4)}, 'name': 'orchard', 'step': 500,
                     'sd_checkpoint': 'a0b1', 'sd_checkpoint_name': 'v1'}, {'string_to_param.*': torch.empty(0)})
parameters = torch.nn.ParameterDict({'*': torch.nn.Parameter(torch.randn(2, 4))})
torch.save({'string_to_token': {'*': 265}, 'string_to_param': parameters}, out / 'embedding-module.pt')
index['embedding.pt'] = {'string_to_param.*': (lambda t: {'shape': list(t.shape), 'values': values(t)})(
    torch.load(out / 'embedding.pt')['string_to_param']['*'])}
index['embedding-module.pt'] = {'string_to_param.*': {'shape': [2, 4], 'values': values(parameters['*'])}}
(out / 'index.json').write_text(json.dumps(index) + '\n')

"""Writes test/golden/tokenizers/clip-slow.json: what transformers' slow CLIP class makes of prompts, where ftfy is not installed.

    python scripts/golden/clip_slow.py

Needs transformers without ftfy; the versions used stand in the file. Every character is tried between letters and behind an
apostrophe; of each block of 4096 the file has a hash, less the characters that the recording Python does not know, which it lists.
"""
import hashlib
import importlib.util
import json
import os
import random
import shutil
import tempfile
import unicodedata

import regex
import transformers
from transformers import AddedToken, CLIPTokenizer

assert importlib.util.find_spec('ftfy') is None
SEED = 11
BLOCK = 4096
golden = os.path.join(os.path.dirname(__file__), '../../test/golden/tokenizers')
draw = random.Random(SEED)
FRAGMENTS = ['the', 'apple', 'Bowl', ' ', '  ', '\t', '\n', '\r', '!', '!!', '\u0301', '\u200d', '\u200b', '\u202e', '\ufeff', '\u00ad', '\x00', '\x07', '\x1c',
             '\x85', '\xa0', '\u2028', '\u3000', '\ufffd', '<|endoftext|>', '<|EndOfText|>', '<|startoftext|>', "'s", "'LL", "'\u017f", '\u0130', '\u017f', '\u212a',
             '\u039f\u0394\u039f\u03a3', '\ufb03', '\uac00', '\u1100\u1161\u11a8', '\u65e5\u672c', '\u30c6\u30b9', '\U0001f350', '\U00020001', '\uf900', '\u0345', '\u03b1\u0345',
             '\U0001f468\u200d\U0001f469', '\ud83d', '<cat-toy>', 'sks', '1', '\u0e01\u0e33']
WRITTEN = ['', ' ', '!!!', '\u65e5\u672c\u8a9e\u306e\u30c6\u30ad\u30b9\u30c8', '\u4e2d\u6587 mixed\u4e2dwords', '\u200bzero\u200cwidth\u200d\ufeffbom', '\u202eRTL override', '\x07bell\x1b[31m',
           'tab\tand\x0bvertical\x0cform', 'a\u2028b\u2029c', 'soft\u00adhyphen', '<|startoftext|>a<|endoftext|>b', '<|ENDOFTEXT|>', '<|end\u200boftext|>',
           'don\'t can\'t I\'LL we\'Ve', 'STRASSE stra\u00dfe', 'A\u030angstro\u0308m \u00c5', '\u0391\u03a3 \u0391\u03a3\u0391 \u03a3', 'na\u00efve caf\u00e9 \u1e9b\u0323', '1234 \u00b2\u00bd \u0661\u0662']


def load(drop=(), **config):
    with tempfile.TemporaryDirectory() as place:
        folder = shutil.copytree(f'{golden}/clip', f'{place}/folder')
        for file in drop:
            os.remove(f'{folder}/{file}')
        path = f'{folder}/tokenizer_config.json'
        json.dump({**json.load(open(path)), **config}, open(path, 'w'))
        return CLIPTokenizer.from_pretrained(folder)


def sample():
    pick = lambda: ' ' if draw.random() < .2 else draw.choice(FRAGMENTS) if draw.random() < .6 else chr(draw.choice([draw.randint(33, 126), draw.randint(0xa0, 0x24f)]))
    return ''.join(pick() for _ in range(draw.randint(1, 20)))


texts = WRITTEN + [sample() for _ in range(200)]
plain = load()
named = load()
named.add_tokens(['<cat-toy>', '<cat-toy>_1', 'sks', '<Dog>', AddedToken('whole', single_word=True, normalized=True), AddedToken('<eager>', lstrip=True, rstrip=True)])
cases = {'plain': plain, 'endoftext pads': load(['special_tokens_map.json'], pad_token='<|endoftext|>'), 'added': named}
more = ['a photo of <cat-toy> on a table', 'SKS sks tasks', '<Dog> <dog>', 'the whole wholesome unwhole whole', 'a  <eager>  b', '<cat-toy><cat-toy>_1!']


def rows(tokenizer, texts):
    ids = [tokenizer(text).input_ids for text in texts]
    return {'ids': ids, 'decoded': [tokenizer.decode(row, skip_special_tokens=True) for row in ids], 'whole': [tokenizer.decode(row) for row in ids]}


def unknown():
    """Ranges of characters that this Python has no category for."""
    ranges = []
    for code in range(0x110000):
        if unicodedata.category(chr(code)) != 'Cn':
            continue
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return ranges


def block(start):
    told = hashlib.sha256()
    for code in range(start, start + BLOCK):
        if unicodedata.category(chr(code)) == 'Cn':
            continue
        character = chr(code)
        pieces = [plain.convert_tokens_to_ids(plain.tokenize(text)) for text in (f'a{character}b', f"'{character}")]
        told.update((';'.join(','.join(map(str, ids)) for ids in pieces) + '\n').encode())
    return told.hexdigest()[:16]


everything = texts + more
out = {
    'versions': {'transformers': transformers.__version__, 'regex': regex.__version__, 'unicode': unicodedata.unidata_version}, 'seed': SEED,
    'texts': everything,
    'cases': {name: rows(tokenizer, everything) for name, tokenizer in cases.items()},
    'unknown': unknown(),
    'blocks': [block(start) for start in range(0, 0x110000, BLOCK)],
}
with open(f'{golden}/clip-slow.json', 'w') as file:
    json.dump(out, file, separators=(',', ':'))

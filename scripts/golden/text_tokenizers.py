"""Writes test/golden/tokenizers/transformers.json: what transformers' own classes make of seeded texts.

    python scripts/golden/text_tokenizers.py

Needs transformers, tokenizers, sentencepiece and protobuf; the versions used stand in the file.
"""
import json
import os
import random
import shutil
import sys
import tempfile

import sentencepiece
import tokenizers
import transformers
from transformers import BertTokenizerFast, CLIPTokenizerFast, T5Tokenizer, T5TokenizerFast

SEED = 7
golden = os.path.join(os.path.dirname(__file__), '../../test/golden/tokenizers')
draw = random.Random(SEED)
FRAGMENTS = ['the', 'apple', 'bowl', ' ', '  ', '\t', '\n', '!', '!!', '\u0301', '\u200d', '<pad>', '</s>', '<unk>',
             '<extra_id_3>', '[CLS]', '[MASK]', '<|endoftext|>', '<|EndOfText|>', '\u2581', "'s", "'LL", '\u039f\u0394\u039f\u03a3',
             '\ufb03', '\uac00', '\u1100\u1161\u11a8', '\u65e5\u672c', '\U0001f350', '\x1c', '\x85', '\ufeff', '\U00020001']


def sample():
    pick = lambda: ' ' if draw.random() < .2 else draw.choice(FRAGMENTS) if draw.random() < .5 else chr(draw.choice([draw.randint(33, 126), draw.randint(0xa0, 0x24f)]))
    return ''.join(pick() for _ in range(draw.randint(1, 20)))


def load(cls, name, drop=(), steps=None, **config):
    """A copy of a folder without some files, with other steps in tokenizer.json and with other settings, read by a class."""
    with tempfile.TemporaryDirectory() as place:
        folder = shutil.copytree(f'{golden}/{name}', f'{place}/folder')
        for file in drop:
            os.remove(f'{folder}/{file}')
        if steps:
            whole = json.load(open(f'{folder}/tokenizer.json'))
            json.dump({**whole, **steps(whole)}, open(f'{folder}/tokenizer.json', 'w'))
        path = f'{folder}/tokenizer_config.json'
        if os.path.exists(path):
            settings = {**json.load(open(path)), **config}
            if isinstance(settings.get('extra_special_tokens'), list):
                del settings['extra_special_tokens']
            json.dump(settings, open(path, 'w'))
        return cls.from_pretrained(folder)


def metaspace(words=True, **settings):
    """T5's steps with other settings of Metaspace, on words or on the whole text."""
    step = {'type': 'Metaspace', 'replacement': '\u2581', **settings}
    split = {'type': 'Sequence', 'pretokenizers': [{'type': 'WhitespaceSplit'}, step]}
    return lambda whole: {'pre_tokenizer': split if words else step, 'decoder': step}


def flan(whole):
    """The steps of Flan-T5's tokenizer.json."""
    spaces = {'type': 'Replace', 'pattern': {'Regex': ' {2,}'}, 'content': ' '}
    step = {'type': 'Metaspace', 'replacement': '\u2581', 'add_prefix_space': True}
    return {'normalizer': {'type': 'Sequence', 'normalizers': [whole['normalizer'], spaces]}, 'pre_tokenizer': step, 'decoder': step}


def word_pieces():
    """What the clean-up of BERT's decoder does to words that hold spaces."""
    words = ['[UNK]', '[CLS]', '[SEP]', '[PAD]', '[MASK]', 'i', 'do', 'not', 'do not', '##do not', "n't", '.', '##.', 'a . b', '##s']
    with tempfile.TemporaryDirectory() as place:
        with open(f'{place}/vocab.txt', 'w') as file:
            file.write('\n'.join(words) + '\n')
        tokenizer = BertTokenizerFast(f'{place}/vocab.txt')
    ids = [[5, 8, 7], [5, 6, 7], [8, 5], [5, 9], [5, 6, 10, 11], [5, 12, 13, 14], [8, 8, 9, 11]]
    return {'words': words, 'cases': [{'ids': row, 'decoded': tokenizer.decode(row, clean_up_tokenization_spaces=False)} for row in ids]}


texts = [sample() for _ in range(120)]
clip = load(CLIPTokenizerFast, 'clip')
cases = {
    'clip': clip,
    'clip, endoftext pads': load(CLIPTokenizerFast, 'clip', drop=['special_tokens_map.json'], pad_token='<|endoftext|>'),
    'bert': load(BertTokenizerFast, 'bert'),
    'bert, vocab.txt': load(BertTokenizerFast, 'bert', drop=['tokenizer.json']),
    'bert, cased': load(BertTokenizerFast, 'bert', drop=['tokenizer.json'], do_lower_case=False, tokenize_chinese_chars=False),
    't5 fast, tokenizer.json': load(T5TokenizerFast, 't5'),
    't5 fast, layout of Flan-T5': load(T5TokenizerFast, 't5', steps=flan),
    't5 fast, no prefix space': load(T5TokenizerFast, 't5', steps=metaspace(prepend_scheme='never', add_prefix_space=False)),
    't5 fast, never': load(T5TokenizerFast, 't5', steps=metaspace(words=False, prepend_scheme='never')),
    't5 fast, first, not split': load(T5TokenizerFast, 't5', steps=metaspace(words=False, prepend_scheme='first', split=False)),
    't5 fast, not split': load(T5TokenizerFast, 't5', steps=metaspace(words=False, split=False)),
    't5 fast, spiece.model': load(T5TokenizerFast, 'orchard-t5'),
    't5 fast, spiece.model, not legacy': load(T5TokenizerFast, 'orchard-t5', legacy=False),
    't5 slow': load(T5Tokenizer, 'orchard-t5'),
    't5 slow, not legacy': load(T5Tokenizer, 'orchard-t5', legacy=False),
}


def rows(tokenizer):
    ids = [tokenizer(text).input_ids for text in texts]
    decode = lambda clean: [tokenizer.decode(row, skip_special_tokens=True, clean_up_tokenization_spaces=clean) for row in ids]
    return {'ids': ids, 'decoded': decode(False), 'cleaned': decode(True), 'cleansUp': tokenizer.clean_up_tokenization_spaces}


def overflow(text):
    """The part of a prompt that a Stable Diffusion pipeline warns about."""
    whole = clip(text, padding='longest', return_tensors='np').input_ids
    row = clip(text, padding='max_length', max_length=77, truncation=True).input_ids
    cut = whole.shape[-1] >= len(row) and whole[0].tolist() != row
    return {'text': text, 'ids': row, 'overflow': clip.batch_decode(whole[:, clip.model_max_length - 1:-1])[0] if cut else None}


def expand(prompt, added):
    """diffusers' rule for textual inversions of several vectors."""
    for token in sorted(set(added.tokenize(prompt))):
        if token in added.added_tokens_encoder:
            replacement, i = token, 1
            while f'{token}_{i}' in added.added_tokens_encoder:
                replacement += f' {token}_{i}'
                i += 1
            prompt = prompt.replace(token, replacement)
    return prompt


added = load(CLIPTokenizerFast, 'clip')
names = ['<cat-toy>', '<cat-toy>_1', '<cat-toy>_2', 'sks', '<Dog>']
added.add_tokens(names)
prompts = ['a photo of <cat-toy> on a table', 'a photo of <Dog> and sks, SKS', '<cat-toy><cat-toy>!', 'no such token <dog>', 'tasks for sks']
out = {
    'versions': {module.__name__: module.__version__ for module in (transformers, tokenizers, sentencepiece)}, 'seed': SEED,
    'texts': texts,
    'cases': {name: rows(tokenizer) for name, tokenizer in cases.items()},
    'wordPieces': word_pieces(),
    'long': [overflow(text) for text in ('a ' * 75, 'a ' * 76, 'a bowl of fruits, ' * 20, 'caf\u00e9 ! ' * 40, '\U0001f350' * 90, 'a bowl')],
    'added': {'names': names, 'ids': added.convert_tokens_to_ids(names), 'prompts': [
        {'text': text, 'ids': added(text).input_ids, 'decoded': added.decode(added(text).input_ids, skip_special_tokens=True), 'expanded': expand(text, added)} for text in prompts]},
}
json.dump(out, open(f'{golden}/transformers.json', 'w'), separators=(',', ':'))
print({name: len(row['ids']) for name, row in out['cases'].items()}, file=sys.stderr)

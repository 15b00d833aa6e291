"""Ids and scores for the tests under test/generation, from transformers' generate and its processors on a CPU.

Usage: python scripts/golden/generation.py   (torch 2.13, transformers 4.57.6; seeds are fixed)
Writes test/golden/generation: processors.json, sequences.json, stop-strings.json, arguments.json. float32 arrays are base64 of their
little-endian bytes. The model is a formula in whole numbers (`logits_of`), the same as in test/generation/toy.ts.
"""
import base64, inspect, json, logging, pathlib, re, warnings
import torch, transformers
from transformers import GenerationConfig, GenerationMixin, LogitsProcessorList, PretrainedConfig, PreTrainedModel
from transformers.generation import logits_process as lp
from transformers.modeling_outputs import BaseModelOutput, CausalLMOutput, Seq2SeqLMOutput

warnings.simplefilter('ignore')
transformers.logging.set_verbosity_error()
logging.disable(logging.WARNING)
out = pathlib.Path(__file__).resolve().parents[2] / 'test/golden/generation'
out.mkdir(parents=True, exist_ok=True)
versions = {'torch': torch.__version__, 'transformers': transformers.__version__}
V, P = 40, 131071


def b64(t):
    return base64.b64encode(t.detach().to(torch.float32).contiguous().numpy().tobytes()).decode()


def save(name, value):
    (out / f'{name}.json').write_text(json.dumps({'versions': versions, **value}, indent=0) + '\n')


def logits_of(key, ids, eager):
    """V different multiples of 2^-13 between -8 and 8; end ids 1 and 2 gain eager / 8 with every position."""
    last, before = ids[-1], (ids[-2] if len(ids) > 1 else 0)
    base = 17 + 131 * last * last + 7919 * (before % 3) + 65537 * key
    step = 40503 * (1 + last + 3 * (before % 3) + 5 * key)
    row = [((base + v * step) % P) / 8192 - 8 for v in range(V)]
    for v in (1, 2):
        row[v] += len(ids) * eager / 8 - 4
    return row


class ToyConfig(PretrainedConfig):
    model_type = 'toy'

    def __init__(self, vocab_size=V, eager=1, **kwargs):
        super().__init__(**kwargs)
        self.vocab_size, self.eager, self.num_hidden_layers, self.hidden_size, self.num_attention_heads = vocab_size, eager, 1, 1, 1


class Toy(PreTrainedModel, GenerationMixin):
    config_class, base_model_prefix, main_input_name = ToyConfig, 'toy', 'input_ids'

    def __init__(self, config):
        super().__init__(config)
        self.anchor = torch.nn.Parameter(torch.zeros(1))

    def prepare_inputs_for_generation(self, input_ids, encoder_outputs=None, **kwargs):
        return {'ids': input_ids, 'encoder_outputs': encoder_outputs}

    def forward(self, ids=None, encoder_outputs=None, return_dict=None):
        keys = ids[:, 0].tolist() if encoder_outputs is None else encoder_outputs.last_hidden_state[:, 0, 0].int().tolist()
        rows = [logits_of(k, row, self.config.eager) for k, row in zip(keys, ids.tolist())]
        kind = CausalLMOutput if encoder_outputs is None else Seq2SeqLMOutput
        return kind(logits=torch.tensor(rows)[:, None])


class Encoder(torch.nn.Module):
    main_input_name = 'input_ids'

    def forward(self, input_ids=None, attention_mask=None, return_dict=None, **kwargs):
        return BaseModelOutput(last_hidden_state=input_ids[:, :1, None].float())


class ToySeq2Seq(Toy):
    def __init__(self, config):
        super().__init__(config)
        self.encoder = Encoder()

    def get_encoder(self):
        return self.encoder


def model_for(encoder_decoder, eager):
    config = ToyConfig(eager=eager, is_encoder_decoder=encoder_decoder, eos_token_id=1, pad_token_id=0,
                       bos_token_id=3, decoder_start_token_id=0 if encoder_decoder else None)
    config.use_cache = False
    return (ToySeq2Seq if encoder_decoder else Toy)(config).eval()


PROMPTS = [[5, 9, 4], [7, 9, 4]]
ENCODER = [[6, 11, 12, 13, 11, 21, 1], [8, 30, 31, 32, 33, 1, 0]]


def run(name, seed=None, encoder_decoder=False, eager=1, inputs=None, **kwargs):
    inputs = inputs or (ENCODER if encoder_decoder else PROMPTS)
    model = model_for(encoder_decoder, eager)
    if seed is not None:
        torch.manual_seed(seed)
    with torch.no_grad():
        result = model.generate(torch.tensor(inputs), use_cache=False, return_dict_in_generate=True, output_scores=True, **kwargs)
    case = {'name': name, 'seed': seed, 'encoder_decoder': encoder_decoder, 'eager': eager, 'inputs': inputs,
            'arguments': kwargs, 'sequences': result.sequences.tolist(), 'steps': len(result.scores),
            'last_scores': b64(result.scores[-1])}
    if kwargs.get('num_beams', 1) > 1:
        case['sequences_scores'] = b64(result.sequences_scores)
        case['beam_indices'] = result.beam_indices.tolist()
    return case


def sequences():
    cases = [
        run('greedy'), run('greedy, one input', inputs=PROMPTS[:1]), run('greedy, eager to end', eager=4),
        run('greedy, encoder and decoder', encoder_decoder=True),
        run('max_length 9', max_length=9), run('max_new_tokens 7', max_new_tokens=7),
        run('max_new_tokens before max_length', max_new_tokens=4, max_length=30),
        run('min_length 16', eager=4, min_length=16, max_length=30), run('min_new_tokens 12', eager=4, min_new_tokens=12),
        run('two end ids', eager=4, eos_token_id=[1, 2]), run('no padding id', eager=3, pad_token_id=None),
        run('no end id', eager=4, eos_token_id=None), run('another padding id', eager=3, pad_token_id=7),
        run('repetition_penalty 1.3', repetition_penalty=1.3), run('repetition_penalty 0.8', repetition_penalty=0.8),
        run('no_repeat_ngram_size 1', no_repeat_ngram_size=1), run('no_repeat_ngram_size 2', no_repeat_ngram_size=2),
        run('no_repeat_ngram_size 3', no_repeat_ngram_size=3, max_new_tokens=40),
        run('encoder_no_repeat_ngram_size 2', encoder_decoder=True, encoder_no_repeat_ngram_size=2),
        run('encoder_no_repeat_ngram_size 1, beams', encoder_decoder=True, encoder_no_repeat_ngram_size=1, num_beams=3),
        run('encoder_repetition_penalty 2', encoder_decoder=True, encoder_repetition_penalty=2.0),
        run('encoder_repetition_penalty 3, beams', encoder_decoder=True, encoder_repetition_penalty=3.0, num_beams=3),
        run('encoder_repetition_penalty of a prompt', encoder_repetition_penalty=1.7),
        run('bad_words_ids', bad_words_ids=[[11], [1], [23, 4], [37, 30]]),
        run('sequence_bias', sequence_bias=[[[12], 3.0], [[4, 17], 9.5], [[9, 4, 20], 11.25]]),
        run('forced_bos_token_id', encoder_decoder=True, forced_bos_token_id=14),
        run('forced_eos_token_id', forced_eos_token_id=2, max_new_tokens=6),
        run('forced_eos_token_id, beams', forced_eos_token_id=1, max_new_tokens=6, num_beams=3),
        run('exponential_decay_length_penalty', exponential_decay_length_penalty=[3, 1.4], max_new_tokens=40),
        run('suppress_tokens', suppress_tokens=[4, 10, 11, 12, 13, 14, 22, 23]),
        run('begin_suppress_tokens', begin_suppress_tokens=list(range(3, 30))),
        run('begin_suppress_tokens behind a forced id', encoder_decoder=True, forced_bos_token_id=14,
            begin_suppress_tokens=list(range(0, 36))),
        run('renormalize_logits', renormalize_logits=True), run('remove_invalid_values', remove_invalid_values=True, bad_words_ids=[[11]]),
    ]
    sampling = {
        'all of top_k 50': {}, 'no cut-off': {'top_k': 0}, 'temperature and top_k': {'temperature': 0.8, 'top_k': 10},
        'top_k null': {'top_k': None, 'temperature': 2.0}, 'top_p': {'top_p': 0.8, 'temperature': 2.5}, 'min_p': {'min_p': 0.1, 'temperature': 3.0},
        'typical_p': {'typical_p': 0.7, 'temperature': 2.0}, 'epsilon_cutoff': {'epsilon_cutoff': 0.02, 'temperature': 3.0},
        'eta_cutoff': {'eta_cutoff': 0.05, 'temperature': 3.0}, 'all cut-offs': {'top_k': 30, 'top_p': 0.95, 'min_p': 0.01, 'typical_p': 0.95,
        'epsilon_cutoff': 0.001, 'eta_cutoff': 0.001, 'temperature': 4.0, 'renormalize_logits': True, 'repetition_penalty': 1.2},
    }
    for name, arguments in sampling.items():
        for seed in (0, 1, 2025):
            cases.append(run(f'sample, {name}, seed {seed}', seed=seed, do_sample=True, **arguments))
    cases += [
        run('sample, returned sequences', seed=3, do_sample=True, num_return_sequences=5, temperature=2.0),
        run('sample, returned sequences, some end early', seed=4, eager=4, do_sample=True, num_return_sequences=4, temperature=2.0),
        run('sample, encoder and decoder', seed=5, encoder_decoder=True, do_sample=True, num_return_sequences=3, temperature=1.5, top_k=10),
        run('sample, ended rows go on without an end id', seed=6, do_sample=True, eos_token_id=None, num_return_sequences=2),
    ]
    for penalty in (-1.0, 0.0, 0.6, 1.0, 2.0):
        for stop in (False, True, 'never'):
            cases.append(run(f'beams 4, length_penalty {penalty}, early_stopping {stop}', eager=5, num_beams=4, max_new_tokens=40,
                             length_penalty=penalty, early_stopping=stop, num_return_sequences=3))
    cases += [
        run('beams 2', num_beams=2), run('beams 3, encoder and decoder', encoder_decoder=True, num_beams=3, eager=2),
        run('beams 5, all returned, padded with 7', num_beams=5, num_return_sequences=5, eager=3, pad_token_id=7, early_stopping=True),
        run('beams 4, two end ids', num_beams=4, num_return_sequences=4, eager=2, eos_token_id=[1, 2]),
        run('beams 2, two likely end ids', num_beams=2, num_return_sequences=2, eager=12, eos_token_id=[1, 2], early_stopping='never', length_penalty=3.0),
        run('beams 3, no end id', num_beams=3, eos_token_id=None, max_new_tokens=8),
        run('beams 3, no_repeat_ngram_size 2', num_beams=3, no_repeat_ngram_size=2),
        run('beams 3, repetition_penalty', num_beams=3, repetition_penalty=1.5, num_return_sequences=2),
        run('beams 3, min_new_tokens', num_beams=3, eager=6, min_new_tokens=14, pad_token_id=7),
        run('beams 3, max_new_tokens 1', num_beams=3, num_return_sequences=3, max_new_tokens=1),
    ]
    for seed in (0, 1, 7):
        cases.append(run(f'beam sample 3, seed {seed}', seed=seed, num_beams=3, do_sample=True, temperature=2.0, num_return_sequences=2))
        cases.append(run(f'beam sample 4, top_k 5, seed {seed}', seed=seed, num_beams=4, do_sample=True, top_k=5, eager=2,
                         temperature=3.0, encoder_decoder=True, early_stopping=True))
        cases.append(run(f'beam sample 2, fewest tokens kept, seed {seed}', seed=seed, num_beams=2, do_sample=True, top_k=1, top_p=0.1,
                         min_p=0.9, typical_p=0.1, epsilon_cutoff=0.9, eta_cutoff=0.9, eos_token_id=[1, 2], temperature=5.0))
    save('sequences', {'cases': cases})


def stable_sorts():
    """Equal scores in the order of their ids: torch's default sort is unstable on processors with AVX."""
    sort, argsort = torch.sort, torch.argsort
    torch.sort = lambda x, **kwargs: sort(x, stable=True, **kwargs)
    torch.argsort = lambda x, **kwargs: argsort(x, stable=True, **kwargs)


def processors():
    stable_sorts()
    torch.manual_seed(0)
    rows, vocab = 6, 24
    scores = (torch.randn(rows, vocab) * 3).round(decimals=3)
    scores[1, 3:9] = scores[1, 2]  # ties
    scores[2, ::2] = -torch.inf
    scores[3] = 0.25
    scores[4] *= 4
    ids = torch.randint(0, vocab, (rows, 9))
    ids[0] = torch.tensor([5, 6, 7, 5, 6, 7, 5, 6, 7])
    ids[1] = torch.tensor([1, 1, 1, 1, 1, 1, 1, 1, 1])
    encoder = torch.randint(0, vocab, (3, 7))
    encoder[0] = torch.tensor([6, 7, 8, 6, 7, 9, 2])
    odd = scores.clone()
    odd[0, 0], odd[1, 1], odd[2, 3] = torch.nan, torch.inf, torch.nan
    eos = torch.tensor([1, 4])
    biases = [[[5], 1.75], [[7, 2], -3.3], [[6, 7, 2], 0.7], [[1, 1, 3], 10.1], [[4], -0.1], [[23, 23], 5.0], [[5], 2.25]]
    calls = [
        ('repetitionPenalty', [1.3], lp.RepetitionPenaltyLogitsProcessor(1.3)),
        ('repetitionPenalty', [0.7], lp.RepetitionPenaltyLogitsProcessor(0.7)),
        ('encoderRepetitionPenalty', [1.5, encoder.tolist()], lp.EncoderRepetitionPenaltyLogitsProcessor(1.5, encoder)),
        *[('noRepeatNgram', [n], lp.NoRepeatNGramLogitsProcessor(n)) for n in (1, 2, 3, 4, 9, 10, 11, 15)],
        *[('encoderNoRepeatNgram', [n, encoder.tolist()], lp.EncoderNoRepeatNGramLogitsProcessor(n, encoder)) for n in (1, 2, 3, 8, 12)],
        ('sequenceBias', [biases], lp.SequenceBiasLogitsProcessor(biases)),
        ('badWords', [[[3], [1], [4], [6, 7, 9], [1, 2], [9] * 12], [1, 4]],
         lp.NoBadWordsLogitsProcessor([[3], [1], [4], [6, 7, 9], [1, 2], [9] * 12], eos)),
        ('minLength', [10, [1, 4]], lp.MinLengthLogitsProcessor(10, eos)),
        ('minLength', [9, [1, 4]], lp.MinLengthLogitsProcessor(9, eos)),
        ('forcedEos', [[1, 4], 10], lp.ForcedEOSTokenLogitsProcessor(10, eos)),
        ('forcedEos', [[1], 11], lp.ForcedEOSTokenLogitsProcessor(11, 1)),
        ('exponentialDecay', [2, 1.37, [1, 4], 3], lp.ExponentialDecayLengthPenalty((2, 1.37), eos, 3)),
        ('exponentialDecay', [6, 1.37, [1, 4], 3], lp.ExponentialDecayLengthPenalty((6, 1.37), eos, 3)),
        ('suppressTokens', [[0, 3, 23, 99]], lp.SuppressTokensLogitsProcessor([0, 3, 23, 99])),
        ('suppressTokensAt', [[0, 3], 9], lp.SuppressTokensAtBeginLogitsProcessor([0, 3], 9)),
        ('suppressTokensAt', [[0, 3], 8], lp.SuppressTokensAtBeginLogitsProcessor([0, 3], 8)),
        *[('temperature', [t], lp.TemperatureLogitsWarper(t)) for t in (0.7, 0.8, 3.3)],
        *[('topK', [k, n], lp.TopKLogitsWarper(k, min_tokens_to_keep=n)) for k, n in ((1, 1), (4, 1), (6, 1), (2, 5), (100, 1))],
        *[('topP', [p, n], lp.TopPLogitsWarper(p, min_tokens_to_keep=n)) for p, n in ((0.1, 1), (0.55, 1), (0.9, 1), (0.999, 1), (0.0, 1), (0.2, 3), (23 / 24, 1))],
        *[('minP', [p, n], lp.MinPLogitsWarper(p, min_tokens_to_keep=n)) for p, n in ((0.05, 1), (0.5, 1), (1.0, 1), (0.9, 3))],
        *[('typicalP', [p, n], lp.TypicalLogitsWarper(p, min_tokens_to_keep=n)) for p, n in ((0.1, 1), (0.5, 1), (0.9, 1), (0.3, 4))],
        *[('epsilonCutoff', [p, n], lp.EpsilonLogitsWarper(p, min_tokens_to_keep=n)) for p, n in ((0.01, 1), (0.2, 1), (0.9, 3))],
        *[('etaCutoff', [p, n], lp.EtaLogitsWarper(p, min_tokens_to_keep=n)) for p, n in ((0.01, 1), (0.2, 1), (0.9, 3))],
        ('renormalise', [], lp.LogitNormalization()),
    ]
    cases = []
    for name, arguments, processor in calls:
        cases.append({'name': name, 'arguments': arguments, 'processed': b64(processor(ids, scores.clone()))})
    one = ids[:, :1]
    forced = {'one': b64(lp.ForcedBOSTokenLogitsProcessor(5)(one, scores.clone())), 'nine': b64(lp.ForcedBOSTokenLogitsProcessor(5)(ids, scores.clone()))}
    save('processors', {'rows': rows, 'vocab': vocab, 'scores': b64(scores), 'ids': ids.tolist(), 'cases': cases, 'forced_bos': forced,
                        'odd': b64(odd), 'valid': b64(lp.InfNanRemoveLogitsProcessor()(ids, odd.clone()))})


class Pieces:
    """A tokenizer of fixed pieces, as much of one as stop strings need."""
    tokens = ['abcdef', '', 'a', 'b', 'ab', 'ba', 'abc', ' a', 'c', 'bca', 'cab', ' ', 'aaaa', 'b c']

    def get_vocab(self):
        return {token: i for i, token in enumerate(self.tokens)}

    def __call__(self, text, add_special_tokens):
        return {'input_ids': [0]}

    def _convert_id_to_token(self, i):
        return self.tokens[i]

    def convert_tokens_to_string(self, tokens):
        return ''.join(tokens)


def stop_strings():
    torch.manual_seed(1)
    cases = []
    for stops in (['abc'], ['a'], ['aa', 'b c'], ['cab a'], ['abcab', 'ca'], [' ']):
        criterion = transformers.StopStringCriteria(Pieces(), stops)
        ids = torch.randint(1, len(Pieces.tokens), (40, 6))
        ids[0] = torch.tensor([2, 2, 4, 1, 1, 8])  # empty pieces count as pieces
        cases.append({'stops': stops, 'ids': ids.tolist(), 'done': criterion(ids, None).tolist()})
    save('stop-strings', {'tokens': Pieces.tokens, 'cases': cases, 'generated': [stopped(*case) for case in STOPPED], 't5': t5_stops()})


class Words(Pieces):
    """The same for the toy model's ids."""
    tokens = [f' w{i}' for i in range(V)]

    def __len__(self):
        return V

    def __call__(self, text, add_special_tokens):
        return {'input_ids': [V]}

    def _convert_id_to_token(self, i):
        return 'abcdef'


# What ends a text, and how it is written.
STOPPED = [
    (['w9 w4'], {'max_new_tokens': 6}), (['w17'], {}), (['w17', ' w5 '], {'num_beams': 3, 'num_return_sequences': 3}),
    (['w1'], {'num_beams': 2, 'max_new_tokens': 8}), (['7'], {'num_beams': 4, 'num_return_sequences': 2, 'early_stopping': True}),
    (['w3'], {'num_beams': 3, 'early_stopping': 'never', 'length_penalty': 2.0}),
]


def stopped(stops, arguments):
    result = model_for(False, 1).generate(torch.tensor(PROMPTS), use_cache=False, tokenizer=Words(), stop_strings=stops, **arguments)
    return {'stops': stops, 'arguments': arguments, 'inputs': PROMPTS, 'sequences': result.tolist()}


def t5_stops():
    """Which of many short rows of ids a real T5 vocabulary ends."""
    tokenizer = transformers.T5TokenizerFast.from_pretrained(out.parent / 'tokenizers/orchard-t5')
    draw = torch.Generator().manual_seed(3)
    cases = []
    for stops in (['.'], ['s', ' of '], ['bowl of'], ['</s>']):
        texts = ['a bowl of apples. ', 'of bowls', 'a bowl  of']
        rows = [tokenizer(text).input_ids[:n] for text in texts for n in range(1, 10)]
        rows += torch.randint(0, len(tokenizer), (12, 3), generator=draw).tolist()
        criterion = transformers.StopStringCriteria(tokenizer, stops)
        cases.append({'stops': stops, 'ids': rows, 'done': [bool(criterion(torch.tensor([row]), None)[0]) for row in rows]})
    return cases


def arguments():
    config = [name for name in GenerationConfig().__dict__ if not name.startswith('_') and name != 'transformers_version']
    source = inspect.getsource(GenerationMixin.generate) + inspect.getsource(GenerationMixin._extract_generation_mode_kwargs)
    call = [name for name in inspect.signature(GenerationMixin.generate).parameters if name not in ('self', 'kwargs')]
    popped = [name for name in re.findall(r'kwargs.pop\("(\w+)"', source) if name != 'input_ids']
    # What reaches the models as **kwargs.
    signatures = [transformers.T5ForConditionalGeneration.forward, transformers.BlipForConditionalGeneration.generate]
    model = {name for f in signatures for name in inspect.signature(f).parameters}
    known = {'self', 'input_ids', 'pixel_values', 'generate_kwargs', 'return_dict', *config}
    save('arguments', {'config': config, 'call': call + popped, 'model': sorted(model - known)})


sequences()
processors()
stop_strings()
arguments()

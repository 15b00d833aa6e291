import { describe, expect, test } from 'vitest';
import { generate, readGenerationDefaults } from '../../src/generation/index.ts';
import { toyTask } from './toy.ts';

const read = readGenerationDefaults;

describe('settings from a model’s files', () => {
  test('generation_config.json counts, config.json only where there is none', () => {
    const model = { vocab_size: 9, num_beams: 4, eos_token_id: 2 };
    expect(read({ eos_token_id: [1, 7], top_k: null, transformers_version: '4.57.6' }, model)).toEqual({
      eosTokenId: [1, 7],
      topK: null,
    });
    expect(read(undefined, model)).toEqual({ numBeams: 4, eosTokenId: 2 });
    expect(read()).toEqual({});
  });

  test('config.json replaces what was made from it once it sets a generation field', () => {
    const made = { _from_model_config: true, eos_token_id: 1, pad_token_id: 0 };
    expect(read(made, { eos_token_id: 5, max_length: 20 })).toEqual({ eosTokenId: 1, padTokenId: 0 });
    expect(read(made, { eos_token_id: 5, max_length: 30 })).toEqual({ eosTokenId: 5, maxLength: 30 });
    expect(read({ ...made, _from_model_config: false }, { max_length: 30 })).toEqual({ eosTokenId: 1, padTokenId: 0 });
  });

  test('config.json may hold anything where it does not count', () => {
    const own = { eos_token_id: 1 };
    for (const model of [{ top_p: 7.5 }, { num_beam_groups: 2 }, { max_length: 'x' }]) {
      expect(read(own, model)).toEqual({ eosTokenId: 1 });
      expect(() => read(undefined, model)).toThrow('config.json');
    }
  });

  test('the decoder’s part of config.json fills in what the outer part leaves at its default', () => {
    const model = { num_beams: 1, eos_token_id: 2, text_config: { num_beams: 3, eos_token_id: 9, pad_token_id: 0 } };
    expect(read(undefined, model)).toEqual({ numBeams: 3, eosTokenId: 2, padTokenId: 0 });
  });

  test('null in config.json leaves the default, in generation_config.json it turns the setting off', () => {
    expect(read(undefined, { top_k: null })).toEqual({});
    expect(read({ top_k: null })).toEqual({ topK: null });
  });

  test('a way of generating that there is not is refused, speed settings are passed over', () => {
    expect(() => read({ num_beam_groups: 2 })).toThrowErrorMatchingInlineSnapshot(
      `[InputError: generate: num_beam_groups is not supported: got 2 (generation_config.json). There is no group beam search: use numBeams, or doSample with numBeams.]`,
    );
    expect(read({ cache_implementation: 'static', num_beam_groups: 1, diversity_penalty: 0 })).toEqual({});
  });

  test('a value of the wrong kind is refused with its place', () => {
    expect(() => read({ top_p: 1.5 })).toThrowErrorMatchingInlineSnapshot(
      `[InputError: generate: no value for this setting: expected a number from 0 to 1 or null, got 1.5 (generation_config.json: top_p)]`,
    );
    expect(() => read(undefined, { text_config: { eos_token_id: 'end' } })).toThrowErrorMatchingInlineSnapshot(
      `[InputError: generate: no value for this setting: expected an id or ids or null, got "end" (config.json: decoder: eos_token_id)]`,
    );
  });
});

describe('settings of a call', () => {
  const message = async (options: Record<string, unknown>, inputs = [[5, 9, 4]], encoderDecoder = false) => {
    const task = toyTask(inputs, encoderDecoder);
    const error = await generate(task, options).then(
      () => new Error('nothing was thrown'),
      (reason: Error) => reason,
    );
    expect(task.decoders).toEqual([]);
    return `${error.name}: ${error.message}`;
  };

  test('go before the files’', async () => {
    const task = { ...toyTask([[5, 9, 4]]), defaults: { maxNewTokens: 2, suppressTokens: [35] } };
    expect((await generate(task)).sequences[0]).toHaveLength(5);
    expect((await generate(task, { maxNewTokens: 1, suppressTokens: null })).sequences).toEqual([[5, 9, 4, 35]]);
  });

  test('an absent one is as if not written', async () => {
    const { sequences } = await generate(toyTask([[5, 9, 4]]), { maxLength: undefined, maxNewTokens: 3 });
    expect(sequences[0]).toHaveLength(6);
  });

  test('the default length counts new ids and ends at the decoder’s positions', async () => {
    const inputs = [[5, 9, 4]];
    expect((await generate(toyTask(inputs))).sequences[0]).toHaveLength(23);
    expect((await generate({ ...toyTask(inputs), maxPositions: 11 })).sequences[0]).toHaveLength(11);
    expect((await generate(toyTask(inputs), { maxLength: 20 })).sequences[0]).toHaveLength(20);
    const files = { ...toyTask(inputs), defaults: { maxLength: 12 } };
    expect((await generate(files)).sequences[0]).toHaveLength(12);
  });

  test('the decoder gets room for the longest sequence and a row for each beam', async () => {
    const task = toyTask([
      [5, 9, 4],
      [7, 9, 4],
    ]);
    await generate(task, { maxNewTokens: 6, numBeams: 3 });
    expect(task.decoders.map(({ rows, maxLength }) => ({ rows, maxLength }))).toEqual([{ rows: 6, maxLength: 9 }]);
  });

  test('a text beside an encoder begins with the start id, its own or that of the sentence', async () => {
    const begin = async (prompt: number[][] | undefined, options: Record<string, unknown> = {}) => {
      const task = { ...toyTask([[6], [8]], true), ...(prompt ? { prompt } : {}) };
      return (await generate(task, { maxNewTokens: 1, ...options })).sequences.map(ids => ids.slice(0, -1));
    };
    expect(await begin(undefined)).toEqual([[0], [0]]);
    expect(await begin(undefined, { decoderStartTokenId: null })).toEqual([[3], [3]]);
    expect(await begin(undefined, { decoderStartTokenId: [4, 5] })).toEqual([[4], [5]]);
    expect(
      await begin([
        [7, 9],
        [7, 8],
      ]),
    ).toEqual([
      [0, 7, 9],
      [0, 7, 8],
    ]);
    expect(
      await begin([
        [0, 9],
        [7, 8],
      ]),
    ).toEqual([
      [0, 9],
      [7, 8],
    ]);
  });

  test('unknown names are refused, with the right spelling where there is one', async () => {
    expect(await message({ topk: 3 })).toMatchInlineSnapshot(
      `"InputError: generate: there is no such argument: got topk. Write topK."`,
    );
    expect(await message({ top_k: 3 })).toMatchInlineSnapshot(
      `"InputError: generate: there is no such argument: got top_k. Write topK."`,
    );
  });

  test('refused ones say what to do instead', async () => {
    expect(await message({ numBeamGroups: 2 })).toMatchInlineSnapshot(
      `"InputError: generate: numBeamGroups is not supported: got 2. There is no group beam search: use numBeams, or doSample with numBeams."`,
    );
    expect(await message({ streamer: () => {} })).toMatchInlineSnapshot(
      `"InputError: generate: streamer is not supported: got a function. Use onToken."`,
    );
    expect(await message({ penalty_alpha: 0.6 })).toMatchInlineSnapshot(
      `"InputError: generate: penalty_alpha is not supported: got 0.6. There is no contrastive search: use doSample with topK, or numBeams."`,
    );
  });

  test('values out of range are refused', async () => {
    expect(await message({ temperature: -1 })).toMatchInlineSnapshot(
      `"InputError: generate: no value for this setting: expected a number >= 0 or null, got -1 (temperature)"`,
    );
    expect(await message({ numBeams: 0 })).toMatchInlineSnapshot(
      `"InputError: generate: no value for this setting: expected a whole number >= 1, got 0 (numBeams)"`,
    );
    expect(await message({ earlyStopping: 'always' })).toMatchInlineSnapshot(
      `"InputError: generate: no value for this setting: expected true, false or never, got "always" (earlyStopping)"`,
    );
    expect(await message({ badWordsIds: [[]] })).toMatchInlineSnapshot(
      `"InputError: generate: no value for this setting: expected lists of ids or null, got [[]] (badWordsIds)"`,
    );
  });

  test('contradictions are refused', async () => {
    expect(await message({ numReturnSequences: 2 })).toMatchInlineSnapshot(
      `"InputError: generate: the greedy choice gives one sequence: got 2 (numReturnSequences). Set doSample, or numBeams to at least as many."`,
    );
    expect(await message({ numReturnSequences: 3, numBeams: 2 })).toMatchInlineSnapshot(
      `"InputError: generate: more sequences than beams: expected at most 2, got 3 (numReturnSequences). Raise numBeams."`,
    );
    expect(await message({ temperature: 0, doSample: true })).toMatchInlineSnapshot(
      `"InputError: generate: no number can be divided by a temperature of 0: got 0 (temperature). Set doSample to false for the likeliest token."`,
    );
    expect(await message({ onToken: () => {}, numBeams: 2 })).toMatchInlineSnapshot(
      `"InputError: generate: beams are not known token by token: got numBeams 2 (onToken). Leave onToken out, or set numBeams to 1."`,
    );
    expect(await message({ maxLength: 3 })).toMatchInlineSnapshot(
      `"InputError: generate: no room for a new id: expected more than the prompt’s 3 ids, got 3 (maxLength). Raise maxLength, or give maxNewTokens."`,
    );
    expect(await message({ stopStrings: 'end' })).toMatchInlineSnapshot(
      `"InputError: generate: stop strings need the text of tokens: got [end] (stopStrings). Give tokenText: tokenTextOf(tokenizer)."`,
    );
    expect(await message({ exponentialDecayLengthPenalty: [1, 1.5], eosTokenId: null })).toMatchInlineSnapshot(
      `"InputError: generate: this setting needs an id that ends a text: got none (exponentialDecayLengthPenalty). Give eosTokenId."`,
    );
  });

  test('prompts that do not fit are refused', async () => {
    expect(await message({}, [[5, 9, 4], [5]])).toMatchInlineSnapshot(
      `"InputError: generate: the prompts do not fit together: expected 2 rows of equal length, at least one id, got [3, 1] (prompt). Give prompts of different lengths in calls of their own."`,
    );
    expect(await message({ decoderStartTokenId: null, bosTokenId: null }, [[6]], true)).toMatchInlineSnapshot(
      `"InputError: generate: no id begins the text: expected one id, or 1, got [] (decoderStartTokenId). Give decoderStartTokenId (bosTokenId for a decoder alone), or a prompt."`,
    );
  });

  test('ids outside the vocabulary are refused where they would be written', async () => {
    const run = (options: Record<string, unknown>) => generate(toyTask([[5, 9, 4]]), options);
    await expect(run({ forcedEosTokenId: 40, maxNewTokens: 1 })).rejects.toThrowErrorMatchingInlineSnapshot(
      `[InputError: generate: an id lies outside the vocabulary: expected 0 to 39, got 40 (forcedEosTokenId). Take ids of this model’s tokenizer.]`,
    );
    await expect(run({ sequenceBias: [[[41], 1]] })).rejects.toThrowErrorMatchingInlineSnapshot(
      `[InputError: generate: an id lies outside the vocabulary: expected 0 to 39, got 41 (sequenceBias). Take ids of this model’s tokenizer.]`,
    );
  });
});

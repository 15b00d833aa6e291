import { describe, expect, test, vi } from 'vitest';
import {
  generate,
  type LogitsProcessor,
  type StepDecoder,
  type TokenEvent,
  tokenTextOf,
} from '../../src/generation/index.ts';
import { endsWithText } from '../../src/generation/stopping.ts';
import { Generator } from '../../src/schedulers/generator.ts';
import { T5Tokenizer } from '../../src/tokenizers/index.ts';
import { goldenFolder } from '../tokenizers/golden.ts';
import { loadGeneration, optionsOf, ToyDecoder, toyTask } from './toy.ts';

const PROMPT = [[5, 9, 4]];
/** What the toy model writes behind PROMPT. */
const GREEDY = [35, 17, 0, 6, 5, 37, 0, 15];

describe('streaming', () => {
  test('reports each id of each sequence until it ends', async () => {
    const events: TokenEvent[] = [];
    const task = toyTask(
      [
        [5, 9, 4],
        [7, 9, 4],
      ],
      false,
      4,
    );
    const { sequences } = await generate(task, { onToken: event => events.push(event) });
    for (const row of [0, 1]) {
      const own = events.filter(event => event.row === row);
      const ids = own.map(event => event.token);
      expect(sequences[row].slice(3, 3 + ids.length)).toEqual(ids);
      expect(own.map(event => event.position)).toEqual(ids.map((_, i) => 3 + i));
      expect(own.map(event => event.done)).toEqual(ids.map((_, i) => i === ids.length - 1));
      expect(ids.at(-1)).toBe(1);
    }
    expect(events.length).toBeLessThan(2 * (sequences[0].length - 3));
  });

  test('comes before the next step begins', async () => {
    const task = toyTask(PROMPT);
    const steps: number[] = [];
    await generate(task, { maxNewTokens: 4, onToken: () => steps.push(task.decoders[0].steps) });
    expect(steps).toEqual([0, 1, 2, 3]);
  });
});

describe('ending early', () => {
  test.each([{}, { numBeams: 3 }])('an aborted signal ends the call with its reason: %o', async settings => {
    const task = toyTask(PROMPT);
    const controller = new AbortController();
    const stop: LogitsProcessor = (_, sequences) => {
      if (sequences[0].length === 6) controller.abort(new Error('enough'));
    };
    const call = generate(task, { ...settings, signal: controller.signal, logitsProcessor: [stop] });
    await expect(call).rejects.toThrow('enough');
    expect(task.decoders[0]).toMatchObject({ disposed: true, steps: 3 });
  });

  test('a signal aborted before starts no decoder', async () => {
    const task = toyTask(PROMPT);
    await expect(generate(task, { signal: AbortSignal.abort(new Error('never')) })).rejects.toThrow('never');
    expect(task.decoders).toEqual([]);
  });

  test('the decoder is freed when a step fails', async () => {
    const task = toyTask(PROMPT);
    const fail: LogitsProcessor = () => {
      throw new Error('no scores');
    };
    await expect(generate(task, { logitsProcessor: [fail] })).rejects.toThrow('no scores');
    expect(task.decoders[0].disposed).toBe(true);
  });

  test('maxTime ends after the step during which it ran out', async () => {
    const now = vi.spyOn(performance, 'now').mockImplementation(() => 0);
    try {
      const later: LogitsProcessor = (_, sequences) => {
        if (sequences[0].length === 5) now.mockImplementation(() => 2001);
      };
      const { sequences } = await generate(toyTask(PROMPT), { maxTime: 2, logitsProcessor: [later] });
      expect(sequences[0].slice(3)).toEqual(GREEDY.slice(0, 3));
    } finally {
      now.mockRestore();
    }
  });

  test('an own criterion ends its sequence only', async () => {
    const inputs = [
      [5, 9, 4],
      [7, 9, 4],
    ];
    const { sequences } = await generate(toyTask(inputs), {
      maxNewTokens: 4,
      stoppingCriteria: [ids => ids.at(-1) === 17],
    });
    expect(sequences).toEqual([
      [5, 9, 4, 35, 17, 0, 0],
      [7, 9, 4, 29, 39, 28, 6],
    ]);
  });
});

interface StopCase {
  readonly stops: string[];
  readonly ids: number[][];
  readonly done: boolean[];
}

describe('stop strings', () => {
  const recorded: {
    tokens: string[];
    cases: StopCase[];
    generated: { stops: string[]; arguments: Record<string, unknown>; inputs: number[][]; sequences: number[][] }[];
    t5: StopCase[];
  } = loadGeneration('stop-strings');
  const words = (id: number) => ({ 35: ' be', 17: 'gin', 0: '', 6: 'ning', 5: ' st', 37: 'opped' })[id] ?? ` w${id}`;
  const stopped = async (stopStrings: string | string[], options = {}) =>
    (await generate(toyTask(PROMPT), { stopStrings, tokenText: words, ...options })).sequences[0].slice(3);

  test('end the texts that transformers ends', () => {
    for (const { stops, ids, done } of recorded.cases) {
      const criterion = endsWithText(stops, id => recorded.tokens[id]);
      expect(ids.map(criterion), stops.join(', ')).toEqual(done);
    }
    const all = recorded.cases.flatMap(c => c.done);
    expect(new Set(all).size).toBe(2);
  });

  test('end where the last token completes one', async () => {
    expect(await stopped('begin')).toEqual([35, 17]);
    expect(await stopped(['zebra', 'stop'])).toEqual([35, 17, 0, 6, 5, 37]);
  });

  test('may reach over the end of a token, over empty tokens and into the prompt', async () => {
    expect(await stopped('beginn')).toEqual([35, 17, 0, 6]);
    expect(await stopped('4 be')).toEqual([35]);
    expect(await stopped('op')).toEqual([35, 17, 0, 6, 5, 37]);
  });

  test('do not count where they stand in the prompt alone', async () => {
    expect(await stopped('w9 w4', { maxNewTokens: 5 })).toHaveLength(5);
  });

  test.each(recorded.generated)('end the recorded sequences: $stops, $arguments', async ({ stops, ...c }) => {
    const options = { ...optionsOf(c.arguments), stopStrings: stops, tokenText: (id: number) => ` w${id}` };
    expect((await generate(toyTask(c.inputs), options)).sequences).toEqual(c.sequences);
  });

  test('end the texts of a T5 vocabulary that transformers ends', async () => {
    const folder = goldenFolder('orchard-t5');
    const tokenText = tokenTextOf(await T5Tokenizer.fromFolder(folder, '', { mode: 'fast' }), { cleanUp: false });
    for (const { stops, ids, done } of recorded.t5) {
      expect(ids.map(endsWithText(stops, tokenText)), stops.join(', ')).toEqual(done);
      expect(done).toContain(true);
    }
  });

  test('tokenTextOf takes the text behind another word, once for each id', () => {
    const decode = vi.fn((ids: readonly number[]) =>
      ids.map(id => ({ 1: 'abc', 2: 'def', 3: ' on', 4: 'ce' })[id]).join(''),
    );
    const text = tokenTextOf({ encode: () => ({ ids: [1, 2] }), decode });
    expect([3, 4, 3].map(text)).toEqual([' on', 'ce', ' on']);
    expect(decode).toHaveBeenCalledTimes(3); // the word alone too
  });

  test('tokenTextOf refuses a vocabulary that cannot write the word, and an id that changes it', () => {
    const unknown = { encode: () => ({ ids: [0] }), decode: () => ' \u2047 ' };
    expect(() => tokenTextOf(unknown)).toThrowErrorMatchingInlineSnapshot(
      `[InputError: tokenTextOf: the vocabulary has no pieces for a word: expected abcdef…, got " ⁇ ". Give a tokenText of your own, or end texts by stoppingCriteria.]`,
    );
    const decode = (ids: readonly number[]) => (ids.includes(7) ? 'ABCDEF' : 'abcdef');
    const text = tokenTextOf({ encode: () => ({ ids: [1] }), decode });
    expect(text(3)).toBe('');
    expect(() => text(7)).toThrowErrorMatchingInlineSnapshot(
      `[InputError: tokenTextOf: the vocabulary has no pieces for a word: expected abcdef…, got "ABCDEF". Give a tokenText of your own, or end texts by stoppingCriteria.]`,
    );
  });
});

describe('the choice on the device', () => {
  const withGreedy = () => {
    const task = toyTask(PROMPT);
    const asked: number[][] = [];
    const startDecoder = async (rows: number, maxLength: number): Promise<StepDecoder> => {
      const decoder = (await task.startDecoder(rows, maxLength)) as ToyDecoder;
      decoder.greedyStep = async tokens => {
        asked.push([...tokens]);
        const row = await decoder.step(tokens);
        return [row.indexOf(Math.max(...row))];
      };
      return decoder;
    };
    return { task: { ...task, startDecoder }, asked };
  };

  test('is taken where nothing changes or shows the scores', async () => {
    const { task, asked } = withGreedy();
    const { sequences } = await generate(task, { maxNewTokens: 5 });
    expect(sequences[0].slice(3)).toEqual(GREEDY.slice(0, 5));
    expect(asked).toEqual(GREEDY.slice(0, 4).map(id => [id]));
  });

  test.each([
    { repetitionPenalty: 1.2 },
    { outputScores: true },
    { outputLogits: true },
    { doSample: true, topK: 1 },
    { logitsProcessor: [() => {}] },
  ])('is left where they count: %o', async options => {
    const { task, asked } = withGreedy();
    await generate(task, { maxNewTokens: 3, ...options });
    expect(asked).toEqual([]);
  });
});

describe('own functions', () => {
  test('a processor stands behind the settings’ and before the temperature', async () => {
    const seen: number[] = [];
    const look: LogitsProcessor = scores => {
      seen.push(scores[35], scores[9]);
      scores.fill(Number.NEGATIVE_INFINITY);
      scores[11] = 8;
    };
    const options = {
      suppressTokens: [35],
      doSample: true,
      temperature: 4,
      maxNewTokens: 1,
      outputScores: true,
      outputLogits: true,
    };
    const { sequences, scores, logits } = await generate(toyTask(PROMPT), { ...options, logitsProcessor: [look] });
    expect(seen[0]).toBe(Number.NEGATIVE_INFINITY);
    expect(seen[1]).toBe(logits?.[0][9]);
    expect(sequences[0][3]).toBe(11);
    expect(scores?.[0][11]).toBe(2);
    expect(logits?.[0][35]).toBeGreaterThan(0);
  });

  test('allowed ids are asked for by batch and beam', async () => {
    const batches: number[] = [];
    const allowed = (batch: number, ids: readonly number[]) => {
      batches.push(batch);
      return ids.length % 2 === 0 ? [10 + batch, 20] : [12, 13];
    };
    const inputs = [
      [5, 9, 4],
      [7, 9, 4],
    ];
    const { sequences } = await generate(toyTask(inputs), {
      prefixAllowedTokensFn: allowed,
      numBeams: 2,
      maxNewTokens: 4,
    });
    expect(batches.slice(0, 4)).toEqual([0, 0, 1, 1]);
    sequences.forEach((ids, input) => {
      ids.slice(3).forEach((id, i) => {
        expect(i % 2 === 1 ? [10 + input, 20] : [12, 13]).toContain(id);
      });
    });
  });

  test('nothing allowed is an error', async () => {
    await expect(
      generate(toyTask(PROMPT), { prefixAllowedTokensFn: () => [] }),
    ).rejects.toThrowErrorMatchingInlineSnapshot(
      `[InputError: generate: no id is allowed after [5, 9, 4]: got an empty list for batch 0 (prefixAllowedTokensFn). Return at least one id, for example the end id.]`,
    );
  });
});

describe('chance', () => {
  test('without a generator no two calls need agree, with the same seed all do', async () => {
    const run = async (generator?: Generator) =>
      (await generate(toyTask(PROMPT), { doSample: true, temperature: 3, ...(generator ? { generator } : {}) }))
        .sequences;
    expect(await run(new Generator(8))).toEqual(await run(new Generator(8)));
    expect(await run()).not.toEqual(await run());
  });

  test('one generator goes on from call to call', async () => {
    const generator = new Generator(8);
    const run = async () => (await generate(toyTask(PROMPT), { doSample: true, temperature: 3, generator })).sequences;
    expect(await run()).not.toEqual(await run());
  });

  test.each([{ doSample: true }, { doSample: true, numBeams: 2 }, { numBeams: 2 }])(
    'scores without a distribution are an error: %o',
    async options => {
      const broken: LogitsProcessor = scores => scores.fill(Number.NaN);
      await expect(generate(toyTask(PROMPT), { ...options, logitsProcessor: [broken] })).rejects.toMatchObject({
        name: 'InputError',
      });
    },
  );
});

test('a decoder with other rows than asked for is refused', async () => {
  const startDecoder = async () => new ToyDecoder([5, 5], 23, 1);
  await expect(generate({ ...toyTask(PROMPT), startDecoder })).rejects.toThrowErrorMatchingInlineSnapshot(
    `[ShapeError: generate: the decoder has another number of rows: expected 1, got 2]`,
  );
});

test('more beams than the vocabulary has continuations are refused', async () => {
  const tiny: StepDecoder = {
    vocab: 1,
    rows: 2,
    prefill: async () => new Float32Array(2),
    step: async () => new Float32Array(2),
    dispose: () => {},
  };
  const task = { ...toyTask(PROMPT), startDecoder: async () => tiny };
  await expect(generate(task, { numBeams: 2 })).rejects.toThrowErrorMatchingInlineSnapshot(
    `[InputError: generate: the vocabulary is too small for so many beams: expected at least 4 continuations, got 2 (numBeams)]`,
  );
});

import { describe, expect, test } from 'vitest';
import { type NdArray, ndarray } from '../../../src/core/ndarray.ts';
import type { GenerateOptions } from '../../../src/generation/index.ts';
import { embedPrompts } from '../../../src/pipeline/diffusion/embed-prompts.ts';
import { caption, generatePrompts, promptRequest } from '../../../src/pipeline/guide/captions-and-prompts.ts';
import { Generator } from '../../../src/schedulers/index.ts';

/** Keeps what it is asked, answers with numbered texts. */
function fakeWriter() {
  const asked: [string, GenerateOptions][] = [];
  return {
    asked,
    generate: async (prompt: string, options: GenerateOptions = {}) => {
      asked.push([prompt, options]);
      return { texts: Array.from({ length: options.numReturnSequences ?? 1 }, (_, i) => `text ${i}`), sequences: [] };
    },
  };
}

/** Sentence i becomes rows of its length and of i. */
function fakeEncoder() {
  const asked: unknown[] = [];
  return {
    asked,
    encodePrompt: async (prompt: string | readonly string[]): Promise<{ promptEmbeds: NdArray }> => {
      asked.push(prompt);
      const rows = [prompt].flat() as string[];
      const data = rows.flatMap((text, i) => [text.length, i, -i, 0.1]);
      return { promptEmbeds: ndarray(Float32Array.from(data), [rows.length, 2, 2]) };
    },
  };
}

describe('generatePrompts', () => {
  test("asks the guide's question, its last space included, with the guide's settings", async () => {
    const writer = fakeWriter();
    const generator = new Generator(0);
    const prompts = await generatePrompts(writer, 'bowl', { generator });
    expect(prompts).toHaveLength(16);
    const [[question, options]] = writer.asked;
    expect(question).toBe('Provide a caption for images containing a bowl. ');
    expect(options).toMatchObject({
      doSample: true,
      numReturnSequences: 16,
      temperature: 0.8,
      topK: 10,
      maxNewTokens: 128,
    });
    expect(options.generator).toBe(generator);
  });

  test('passes other settings, the signal and the listener on', async () => {
    const writer = fakeWriter();
    const { signal } = new AbortController();
    const onToken = () => undefined;
    const asked = { n: 3, temperature: 1.5, topK: 0, maxNewTokens: 9, cleanUp: true, signal, onToken };
    expect(await generatePrompts(writer, 'plate of lemons', asked)).toEqual(['text 0', 'text 1', 'text 2']);
    expect(writer.asked[0][1]).toMatchObject({
      ...{ numReturnSequences: 3, temperature: 1.5, topK: 0, maxNewTokens: 9, cleanUp: true },
      ...{ signal, onToken },
    });
  });

  test('refuses an empty concept before it asks', async () => {
    const writer = fakeWriter();
    await expect(generatePrompts(writer, ' ')).rejects.toThrowErrorMatchingInlineSnapshot(
      `[InputError: generatePrompts: no concept: expected a noun such as bowl, got " ". Name what the picture contains, or what it shall contain.]`,
    );
    expect(() => promptRequest(undefined as unknown as string)).toThrowErrorMatchingInlineSnapshot(
      `[InputError: generatePrompts: no concept: expected a noun such as bowl, got undefined. Name what the picture contains, or what it shall contain.]`,
    );
    expect(writer.asked).toEqual([]);
  });
});

describe('embedPrompts', () => {
  test('averages the rows of all sentences, which are encoded in one call', async () => {
    const encoder = fakeEncoder();
    const { data, shape } = await embedPrompts(encoder, ['ab', 'abcd', 'abcdef']);
    expect(shape).toEqual([1, 2, 2]);
    expect(Array.from(data)).toEqual([4, 1, -1, Math.fround(0.1)]);
    expect(encoder.asked).toEqual([['ab', 'abcd', 'abcdef']]);
  });

  test('refuses what is no list of sentences', async () => {
    const encoder = fakeEncoder();
    await expect(embedPrompts(encoder, [])).rejects.toThrowErrorMatchingInlineSnapshot(
      `[InputError: embedPrompts: no sentences: expected a list of at least one, got an empty list (sentences). Pass what generatePrompts returns, or sentences of your own.]`,
    );
    await expect(embedPrompts(encoder, 'a bowl' as never)).rejects.toThrowErrorMatchingInlineSnapshot(
      `[InputError: embedPrompts: no sentences: expected a list of at least one, got string (sentences). Pass what generatePrompts returns, or sentences of your own.]`,
    );
    expect(encoder.asked).toEqual([]);
  });
});

describe('caption', () => {
  const image = { width: 1, height: 1, data: new Uint8Array(3) };
  const asked: unknown[] = [];
  const captioner = {
    caption: async (...args: unknown[]) => {
      asked.push(args);
      return { text: 'a photograph of a bowl' };
    },
  };

  test("begins with the guide's prefix and writes up to 128 ids", async () => {
    expect(await caption(captioner, image)).toBe('a photograph of a bowl');
    expect(asked.pop()).toEqual([image, 'a photograph of', { maxNewTokens: 128 }]);
  });

  test.each([null, ''])('gives the model no text for the prefix %j', async prefix => {
    await caption(captioner, image, prefix, { maxNewTokens: 5 });
    expect(asked.pop()).toEqual([image, undefined, { maxNewTokens: 5 }]);
  });
});

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { StepDecoder } from '../../../src/generation/index.ts';
import type { LoadedWeights } from '../../../src/nn/load.ts';
import { DeviceMemory } from '../../../src/pipeline/runtime/device-memory.ts';
import { CachedDecoder } from '../../../src/pipeline/text/cached-decoder.ts';
import { EncodedTexts } from '../../../src/pipeline/text/t5-encoded-texts.ts';
import { expectClose } from '../../support/close.ts';
import { loadGolden } from '../../support/golden.ts';
import { testGpu } from '../../support/gpu.ts';
import { loadT5, rowsOf } from '../../support/t5.ts';

const golden = loadGolden('t5');
const rows = (name: string) => rowsOf(golden.ints(name).data, golden.ints(name).shape);
const input = { ids: rows('input_ids'), mask: rows('attention_mask') };
const VOCAB = 160;

let memory: DeviceMemory;
let weights: LoadedWeights;
let context: EncodedTexts;

beforeAll(async () => {
  const gpu = await testGpu();
  const loaded = await loadT5(gpu);
  weights = loaded.weights;
  memory = new DeviceMemory(gpu);
  context = await EncodedTexts.create(memory, loaded.model, input);
  await context.encode(input);
});

afterAll(() => {
  context.dispose();
  weights.dispose();
  expect(memory.bytes).toBe(0);
});

/** Logits after each of some rows of ids, fed whole into a fresh cache. */
async function whole(ids: readonly (readonly number[])[]): Promise<Float32Array> {
  const decoder = await context.start(ids.length, 30);
  const logits = await decoder.prefill(ids);
  decoder.dispose();
  return logits;
}

/** The same, id by id. */
async function stepwise(decoder: StepDecoder, ids: readonly (readonly number[])[]): Promise<Float32Array> {
  let logits = await decoder.prefill(ids.map(row => row.slice(0, 1)));
  for (let i = 1; i < (ids[0]?.length ?? 0); i++) logits = await decoder.step(ids.map(row => row[i] ?? 0));
  return logits;
}

describe('CachedDecoder', () => {
  test('several ids at once give what one at a time gives', async () => {
    const ids = rows('decoder_input_ids');
    const decoder = await context.start(2, 30);
    const logits = await stepwise(decoder, ids);
    expectClose(await whole(ids), logits, 1e-5);
    const last = [0, 1].flatMap(row => [
      ...golden.floats('logits').data.subarray((row * 9 + 8) * VOCAB, (row * 9 + 9) * VOCAB),
    ]);
    expectClose(logits, last, 1e-4);
  });

  test('rows take over from each other, and share what was read', async () => {
    const answers = [
      [0, 5, 9, 4],
      [0, 7, 2, 8],
      [0, 3, 3, 6],
    ];
    const six = [...answers, ...answers.map(row => row.map(id => (id * 7) % VOCAB))];
    const decoder = await context.start(6, 30);
    await stepwise(decoder, six);
    const from = [2, 0, 0, 4, 3, 5];
    const tokens = [11, 12, 13, 14, 15, 16];
    const moved = await decoder.step(tokens, from);
    expectClose(moved, await whole(from.map((row, r) => [...(six[row] ?? []), tokens[r] ?? 0])), 1e-5);
    // The two inputs are different texts: the same answer gets other logits.
    expect(moved.slice(0, VOCAB)).not.toEqual((await whole([...answers, ...answers])).slice(3 * VOCAB, 4 * VOCAB));
  });

  test('the choice on the device is that of the logits', async () => {
    const [first, second] = [await context.start(4, 30), [3, 9, 4, 150]];
    await first.prefill([[0], [0], [0], [0]]);
    const ids = await first.greedyStep?.(second);
    const logits = await whole(second.map(id => [0, id]));
    const largest = second.map((_, r) => {
      const row = logits.subarray(r * VOCAB, (r + 1) * VOCAB);
      return row.indexOf(Math.max(...row));
    });
    expect(ids).toEqual(largest);
  });

  test('begins anew in the same memory, and ends what came before', async () => {
    const first = await context.start(2, 30);
    await first.prefill([[0], [0]]);
    const bytes = memory.bytes;
    const second = await context.start(2, 31); // the same capacity of 32
    const again = await second.prefill([[0], [0]]);
    expect(memory.bytes).toBe(bytes);
    expectClose(again, await whole([[0], [0]]), 1e-6);
    await expect(first.step([1, 1])).rejects.toThrowErrorMatchingInlineSnapshot(
      `[InputError: decode: these texts have ended; their cache may hold others. Start the decoder again.]`,
    );
  });

  test('keeps the plan for one id and that of the latest beginning', async () => {
    const row = [0, 5, 9, 4, 7, 2];
    const held: number[] = [];
    for (const length of [1, 2, 3, 4, 5, 6, 2, 1]) {
      const ids = row.slice(0, length);
      await whole([ids, ids]);
      held.push(memory.bytes);
    }
    expect(held[6]).toBe(held[1]);
    expect(held[7]).toBe(held[1]);
  });

  test('refuses rows that do not fit', async () => {
    await expect(context.start(3, 30)).rejects.toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: t5 decoder: rows do not split into the inputs: expected a multiple of 2, got 3]`,
    );
    const decoder = await context.start(4, 30);
    await expect(decoder.prefill([[0], [0]])).rejects.toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: decode: another number of rows: expected 4, got 2]`,
    );
    await expect(decoder.prefill([[0], [0], [0], [0, 1]])).rejects.toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: decode: rows of ids differ: expected equal lengths >= 1, got [1, 1, 1, 2]]`,
    );
    await decoder.prefill([[0], [0], [0], [0]]);
    await expect(decoder.step([1, 1, 1, 1], [0, 2, 2, 3])).rejects.toThrowErrorMatchingInlineSnapshot(
      `[InputError: decode: row 1 would take over from another input: expected 0 to 1, got 2]`,
    );
    const row = Array.from({ length: 32 }, () => 1);
    await expect(decoder.prefill([row, row, row, row])).rejects.toThrowErrorMatchingInlineSnapshot(
      `[InputError: decode: the text is longer than its cache: expected at most 32 ids, got 33. Lower maxNewTokens, or end the text earlier.]`,
    );
  });

  test('frees what it had where memory runs out', () => {
    const before = memory.bytes;
    const network = {
      name: 'huge',
      vocab: 1,
      blocks: 3,
      cacheWidth: 2 ** 20,
      inputs: 1,
      step: () => expect.fail('not reached'),
    };
    expect(() => new CachedDecoder(memory, network, { rows: 2 ** 10, capacity: 2 ** 10 })).toThrow('maxBufferSize');
    expect(memory.bytes).toBe(before);
  });
});

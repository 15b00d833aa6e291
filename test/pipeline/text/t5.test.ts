import { readFileSync } from 'node:fs';
import { afterAll, describe, expect, test } from 'vitest';
import type { LogitsProcessor } from '../../../src/generation/index.ts';
import { T5ForConditionalGeneration, type T5Options } from '../../../src/pipeline/text/t5.ts';
import { Generator } from '../../../src/schedulers/index.ts';
import { repositoryFolder } from '../../support/captioner.ts';
import { goldenPath } from '../../support/checkpoint.ts';
import { expectClose, relativeL2 } from '../../support/close.ts';
import { diskFolder, memoryFolder } from '../../support/folder.ts';
import { loadGolden } from '../../support/golden.ts';
import { testGpu } from '../../support/gpu.ts';
import { renewed } from '../../support/renewed.ts';
import { rowsOf } from '../../support/t5.ts';

const golden = loadGolden('t5');
const ids = rowsOf(golden.ints('input_ids').data, golden.ints('input_ids').shape);
const attentionMask = rowsOf(golden.ints('attention_mask').data, golden.ints('attention_mask').shape);
const answers = rowsOf(golden.ints('decoder_input_ids').data, golden.ints('decoder_input_ids').shape);
const recorded = (name: string) => rowsOf(golden.ints(name).data, golden.ints(name).shape);
const input = { ids, attentionMask };
const configJson = JSON.parse(readFileSync(goldenPath('t5/model/config.json'), 'utf8'));

async function open(options: Partial<T5Options> & { bare?: boolean } = {}): Promise<T5ForConditionalGeneration> {
  const { bare, ...own } = options;
  const gpu = await testGpu(bare ? { bare } : {});
  return T5ForConditionalGeneration.fromPretrained(diskFolder(goldenPath('t5/model')), { gpu, ...own });
}

describe.each([
  { name: 'broadcast kernels', bare: false },
  { name: 'a bare device', bare: true },
])('generation on $name', ({ bare }) => {
  let t5: T5ForConditionalGeneration;
  renewed(async () => {
    t5 = await open({ bare });
  });
  afterAll(() => t5.dispose());

  test('greedy: the recorded ids', async () => {
    const { sequences } = await t5.generate(input, { maxNewTokens: 20 });
    expect(sequences).toEqual(recorded('greedy'));
  });

  test('four beams: the recorded ids', async () => {
    const { sequences } = await t5.generate(input, { maxNewTokens: 20, numBeams: 4 });
    expect(sequences).toEqual(recorded('beam4'));
  });

  test('sampled with a seed: the recorded ids', async () => {
    const { temperature, top_k: topK, num_return_sequences: numReturnSequences, torch_seed } = golden.json.sampled;
    const generator = new Generator(torch_seed);
    const { sequences } = await t5.generate(input, {
      ...{ doSample: true, maxNewTokens: 20, temperature, topK, numReturnSequences, generator },
    });
    expect(sequences).toEqual(recorded('sampled'));
  });

  test('logits with the cache are those of whole answers', async () => {
    const whole = await t5.logits(input, answers);
    expectClose(whole.data, golden.floats('logits').data, 1e-4);
    const length = answers[0]?.length ?? 0;
    // Each step forced to the given id: its logits are the recorded row.
    const { logits = [] } = await t5.generate(input, {
      ...{
        maxNewTokens: length,
        outputLogits: true,
        eosTokenId: null,
        decoderStartTokenId: answers.map(row => row[0] ?? 0),
      },
      prefixAllowedTokensFn: (row, sequence) => [answers[row]?.[sequence.length] ?? 2],
    });
    expect(logits.length).toBe(length);
    for (const [i, step] of logits.entries()) {
      const expected = [0, 1].flatMap(row => [
        ...whole.data.subarray((row * length + i) * 160, (row * length + i + 1) * 160),
      ]);
      expect(relativeL2(step, expected), `step ${i}`).toBeLessThan(1e-5);
    }
  });
});

describe('T5ForConditionalGeneration', () => {
  test('refuses by name what is neither text nor ids', async () => {
    const folder = repositoryFolder('models/orchard/t5');
    const t5 = await T5ForConditionalGeneration.fromPretrained(folder, { gpu: await testGpu(), modelCpuOffload: true });
    for (const [none, received] of [
      [null, 'null'],
      [5, 'number'],
      [{}, 'object'],
      [[], 'an empty list'],
    ] as const)
      for (const method of ['generate', 'encode'] as const)
        await expect(t5[method](none as unknown as string)).rejects.toThrow(
          `T5ForConditionalGeneration: no text: expected a text, several, or { ids }, got ${received}`,
        );
    t5.dispose();
  });

  test('encodes as recorded, with and without half storage', async () => {
    for (const [dtype, tolerance] of [
      ['float32', 1e-4],
      ['float16', 1e-2],
    ] as const) {
      const t5 = await open({ dtype });
      const encoded = await t5.encode(input);
      expect(encoded.shape).toEqual([2, 23, 48]);
      expectClose(encoded.data, golden.floats('encoder.out').data, tolerance);
      expectClose((await t5.logits(input, answers)).data, golden.floats('logits').data, tolerance);
      t5.dispose();
    }
  });

  test('half storage decodes step by step as it does at once', async () => {
    const t5 = await open({ dtype: 'float16' });
    const { sequences, logits = [] } = await t5.generate(input, { maxNewTokens: 6, outputLogits: true });
    const whole = await t5.logits(
      input,
      sequences.map(row => row.slice(0, -1)),
    );
    for (const [i, step] of logits.entries()) {
      const expected = [0, 1].flatMap(row => [...whole.data.subarray((row * 6 + i) * 160, (row * 6 + i + 1) * 160)]);
      expect(relativeL2(step, expected), `step ${i}`).toBeLessThan(5e-3);
    }
    t5.dispose();
  });

  test('takes all ids but padding to count where no mask is given', async () => {
    const t5 = await open();
    const padded = ids.map((row, i) => row.map((id, j) => (attentionMask[i]?.[j] ? id : 0)));
    const { sequences } = await t5.generate({ ids: padded }, { maxNewTokens: 4 });
    expect(sequences).toEqual((await t5.generate({ ids: padded, attentionMask }, { maxNewTokens: 4 })).sequences);
    const all = attentionMask.map(row => row.map(() => 1));
    const [one, two] = [await t5.encode({ ids: padded }), await t5.encode({ ids: padded, attentionMask: all })];
    expect(relativeL2(one.data, two.data)).toBeGreaterThan(1e-3);
    t5.dispose();
  });

  test('leaves nothing on the device between calls with modelCpuOffload, and after dispose', async () => {
    const offloaded = await open({ modelCpuOffload: true });
    expect(offloaded.bytes).toBe(0);
    const { sequences } = await offloaded.generate(input, { maxNewTokens: 3 });
    expect(sequences).toEqual(recorded('greedy').map(row => row.slice(0, 4)));
    expect(offloaded.bytes).toBe(0);
    expect(offloaded.peakBytes).toBeGreaterThan(0);
    const kept = await open();
    await kept.generate(input, { maxNewTokens: 3 });
    const after = kept.bytes;
    await kept.generate(input, { maxNewTokens: 3 });
    expect(kept.bytes).toBe(after);
    kept.unload();
    expect(kept.bytes).toBe(0);
    kept.dispose();
    await expect(kept.encode(input)).rejects.toThrowErrorMatchingInlineSnapshot(
      `[DeviceError: encode: the model was disposed. Open it again with fromPretrained().]`,
    );
    offloaded.dispose();
  });

  test('one call at a time', async () => {
    const t5 = await open();
    const first = t5.generate(input, { maxNewTokens: 2 });
    await expect(t5.encode(input)).rejects.toThrowErrorMatchingInlineSnapshot(
      `[DeviceError: encode: the model is busy: expected one call at a time, got generate is still running. Await the other call, abort it by its signal, or open a second model on the same device.]`,
    );
    await first;
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(t5.generate(input, { signal })).rejects.toThrow('enough');
    t5.dispose();
  });

  test('refuses ids, masks and answers that do not fit, and texts without a tokenizer', async () => {
    const t5 = await open();
    await expect(t5.generate('Hello')).rejects.toThrowErrorMatchingInlineSnapshot(
      `[InputError: T5ForConditionalGeneration: the folder has no tokenizer. Add tokenizer.json or spiece.model to the folder, or pass ids.]`,
    );
    await expect(t5.encode({ ids: [[3, 4], [5]] })).rejects.toThrowErrorMatchingInlineSnapshot(
      `[InputError: T5ForConditionalGeneration: not ids of this model: expected rows of equal length, ids from 0 to 159, got [[3, 4], [5]] (ids)]`,
    );
    await expect(t5.encode({ ids: [[160]] })).rejects.toThrowErrorMatchingInlineSnapshot(
      `[InputError: T5ForConditionalGeneration: not ids of this model: expected rows of equal length, ids from 0 to 159, got [[160]] (ids)]`,
    );
    await expect(t5.encode({ ids: [[3]], attentionMask: [[1, 1]] })).rejects.toThrowErrorMatchingInlineSnapshot(
      `[InputError: T5ForConditionalGeneration: the mask does not fit the ids: expected 0 or 1 for each of 1 x 1 ids, got [[1, 1]] (attentionMask)]`,
    );
    await expect(t5.logits({ ids: [[3]] }, [[0], [0]])).rejects.toThrowErrorMatchingInlineSnapshot(
      `[InputError: T5ForConditionalGeneration: one answer for each input: expected 1 rows, got 2 (decoderIds)]`,
    );
    t5.dispose();
  });

  test('a config without ids ends answers by those of its class', async () => {
    const { eos_token_id, pad_token_id, decoder_start_token_id, ...json } = configJson;
    expect([eos_token_id, pad_token_id, decoder_start_token_id]).toEqual([1, 0, 0]);
    /** Asks for an end behind the second id of the first answer. */
    const end: LogitsProcessor = (scores, [{ length }]) => {
      if (length === 3) scores[1] = 1e9;
    };
    const write = async (config: object) => {
      const t5 = await openChanged({ ...json, ...config });
      const { sequences } = await t5.generate(input, { logitsProcessor: [end], maxNewTokens: 5 });
      t5.dispose();
      return sequences;
    };
    const [first = [], second = []] = recorded('greedy');
    expect(await write({})).toEqual([[...first.slice(0, 3), 1, 0, 0], second.slice(0, 6)]);
    expect(await write({ eos_token_id: 5, pad_token_id: 9 })).not.toEqual(await write({}));
  });

  test('a head that the config does not ask for is ignored, which is said', async () => {
    const warnings: string[] = [];
    const t5 = await openChanged({ ...configJson, tie_word_embeddings: true }, warnings);
    expect(warnings).toEqual([
      'memory/model.safetensors: config.json makes the embeddings the head; lm_head.weight is ignored',
    ]);
    t5.dispose();
  });

  test('ignores tensors of old files, and says so', async () => {
    const { source, warnings } = await withExtra();
    const t5 = await T5ForConditionalGeneration.fromPretrained(source, {
      gpu: await testGpu(),
      onWarning: m => warnings.push(m),
    });
    expect(warnings).toMatchInlineSnapshot(`
      [
        "memory/model.safetensors: the model has no use for decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight; ignored",
      ]
    `);
    const { sequences } = await t5.generate(input, { maxNewTokens: 3 });
    expect(sequences).toEqual(recorded('greedy').map(row => row.slice(0, 4)));
    t5.dispose();
  });
});

/** The recorded weights under another config, without generation_config.json. */
async function openChanged(config: object, warnings: string[] = []): Promise<T5ForConditionalGeneration> {
  const weights = new Uint8Array(readFileSync(goldenPath('t5/model/model.safetensors')));
  const files = { 'config.json': JSON.stringify(config), 'model.safetensors': weights };
  const options = { gpu: await testGpu(), onWarning: (m: string) => warnings.push(m) };
  return T5ForConditionalGeneration.fromPretrained(memoryFolder(files), options);
}

/** The recorded folder with a bias table that nothing uses. */
async function withExtra() {
  const read = (name: string) => new Uint8Array(readFileSync(goldenPath(`t5/model/${name}`)));
  const bytes = read('model.safetensors');
  const size = Number(new DataView(bytes.buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + size)));
  const name = 'decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight';
  const data = bytes.subarray(8 + size);
  header[name] = { dtype: 'F32', shape: [1, 1], data_offsets: [data.length, data.length + 4] };
  const text = new TextEncoder().encode(JSON.stringify(header).padEnd(size + 256));
  const file = new Uint8Array(8 + text.length + data.length + 4);
  new DataView(file.buffer).setBigUint64(0, BigInt(text.length), true);
  file.set(text, 8);
  file.set(data, 8 + text.length);
  const files = { 'model.safetensors': file, 'config.json': new TextDecoder().decode(read('config.json')) };
  return { source: memoryFolder(files), warnings: [] as string[] };
}

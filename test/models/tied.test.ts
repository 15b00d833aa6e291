import { describe, expect, test } from 'vitest';
import type { TensorSource } from '../../src/core/tensor-source.ts';
import { BlipModel, parseBlipConfig } from '../../src/models/blip/index.ts';
import { parseT5Config, T5Model } from '../../src/models/t5/index.ts';
import { Weights } from '../../src/nn/weights.ts';
import type { Parameter } from '../../src/tensor/parameter.ts';
import { fill, fullSize } from '../support/fake-weights.ts';
import { testGpu } from '../support/gpu.ts';

/** Small models of the published layouts: [V, D], and what of each is the head and what the table. */
interface Tied {
  readonly vocabulary: number;
  readonly width: number;
  readonly table: string;
  readonly head: string;
  build(w: Weights, tied: boolean): { readonly table: Parameter; readonly head: Parameter };
}

const T5 = { vocab_size: 100, d_model: 24, d_kv: 8, d_ff: 16, num_layers: 1, num_heads: 2 };
const BERT = {
  ...{ vocab_size: 100, hidden_size: 24, intermediate_size: 16, num_hidden_layers: 1, num_attention_heads: 3 },
  ...{ bos_token_id: 1, sep_token_id: 2, max_position_embeddings: 8 },
};
const VISION = { hidden_size: 24, intermediate_size: 16, num_hidden_layers: 1, num_attention_heads: 3, image_size: 16 };

const MODELS: Record<string, Tied> = {
  T5: {
    ...{ vocabulary: 100, width: 24, table: 'shared.weight', head: 'lm_head.weight' },
    build: (w, tied) => {
      const { decoder } = new T5Model(w, parseT5Config({ ...T5, tie_word_embeddings: tied }, 't5'));
      return { table: decoder.embedding.table, head: decoder.head };
    },
  },
  BLIP: {
    ...{ vocabulary: 100, width: 24, table: 'text_decoder.bert.embeddings.word_embeddings.weight' },
    head: 'text_decoder.cls.predictions.decoder.weight',
    build: (w, tied) => {
      const config = { vision_config: VISION, text_config: { ...BERT, tie_word_embeddings: tied } };
      const { text } = new BlipModel(
        w,
        parseBlipConfig(config, 'blip', () => {}),
      );
      return { table: text.embeddings.word.table, head: text.head.decoder };
    },
  },
};

/** Whatever a model asks for, of the shape that it expects: found by asking until nothing is missing. */
function sourceFor({
  build,
  head,
  vocabulary,
  width,
}: Tied): TensorSource & { readonly bytesRead: Map<string, number> } {
  const tensors = new Map<string, TensorSource['tensors'] extends ReadonlyMap<string, infer T> ? T : never>();
  const add = (name: string, shape: readonly number[]) =>
    tensors.set(name, { name, dtype: 'F16', shape, byteLength: 2 * shape.reduce((a, b) => a * b, 1) });
  const bytesRead = new Map<string, number>();
  const read: TensorSource['read'] = async (name, start, into) => {
    bytesRead.set(name, (bytesRead.get(name) ?? 0) + into.length);
    const { shape } = tensors.get(name) as { shape: readonly number[] };
    fill({ name, shape }, start / 2, new Uint16Array(into.buffer, into.byteOffset, into.length / 2));
  };
  const source = { label: 'asked for', tensors, read, bytesRead };
  add(head, [vocabulary, width]); // writers may store it although it is tied
  for (let round = 0; round < 2000; round++) {
    const w = Weights.open(source);
    build(w, false);
    try {
      w.check();
      return source;
    } catch (error) {
      const message = String(error);
      const wrong = /wrong shape: (\S+) is .*? expected \[([\d, ]+)\]/.exec(message);
      const missing = /missing: (\S+)/.exec(message);
      if (wrong) add(wrong[1] as string, (wrong[2] as string).split(', ').map(Number));
      else if (missing) add(missing[1] as string, [0]);
      else throw error;
    }
  }
  throw new Error('no end of missing tensors');
}

describe.each(Object.entries(MODELS))('%s', (_, model) => {
  test('holds a table that is the head too once on the device, and reads it once', async () => {
    const gpu = await testGpu();
    const source = sourceFor(model);
    const sizes = [...source.tensors.values()].reduce((sum, t) => sum + t.byteLength, 0);
    const [tableBytes, pitch] = [2 * model.vocabulary * model.width, 32 * Math.ceil(model.vocabulary / 32)];
    const load = async (tied: boolean, dtype: 'float32' | 'float16') => {
      source.bytesRead.clear();
      const w = Weights.open(source);
      const { table, head } = model.build(w, tied);
      expect(table === head).toBe(tied);
      const weights = await w.load(gpu, { dtype });
      expect(head.layout).toBe('panels');
      expect(w.bytesToRead).toBe([...source.bytesRead.values()].reduce((a, b) => a + b, 0));
      expect(source.bytesRead.get(model.table)).toBe(tableBytes);
      expect(source.bytesRead.get(model.head)).toBe(tied ? undefined : tableBytes);
      const { bytes } = weights;
      weights.dispose();
      return { bytes, toRead: w.bytesToRead };
    };
    for (const dtype of ['float32', 'float16'] as const) {
      const [once, twice] = [await load(true, dtype), await load(false, dtype)];
      expect(twice.toRead).toBe(sizes);
      expect(once.toRead).toBe(sizes - tableBytes);
      // The rows of the table, and what aligns them; the panels stay.
      expect(twice.bytes - once.bytes).toBe(Math.ceil(tableBytes / 256) * 256);
      expect(once.bytes).toBeGreaterThan(2 * pitch * model.width);
    }
  });
});

test('BLIP base as published: the words lie once, 47 MB of halves', () => {
  const { config, source } = fullSize('blip');
  const w = Weights.open(source);
  const { text } = new BlipModel(
    w,
    parseBlipConfig(config, 'blip', () => {}),
  );
  w.check();
  expect(text.head.decoder).toBe(text.embeddings.word.table);
  expect(w.bytesToRead).toBe([...source.tensors.values()].reduce((sum, t) => sum + t.byteLength, 0));
});

import { readFileSync } from 'node:fs';
import type { GenerateOptions, GenerationTask, Sequences, StepDecoder } from '../../src/generation/index.ts';

const VOCAB = 40;
const P = 131071;

/** The model of scripts/golden/generation.py: whole numbers only, so that both sides have the same float32 logits. */
function logitsOf(key: number, ids: readonly number[], eager: number): Float32Array {
  const last = ids.at(-1) ?? 0;
  const before = ids.at(-2) ?? 0;
  const base = 17 + 131 * last * last + 7919 * (before % 3) + 65537 * key;
  const step = 40503 * (1 + last + 3 * (before % 3) + 5 * key);
  const row = Float32Array.from({ length: VOCAB }, (_, v) => ((base + v * step) % P) / 8192 - 8);
  for (const v of [1, 2]) row[v] += (ids.length * eager) / 8 - 4;
  return row;
}

/** Remembers each row's ids, as a cache does, and forgets nothing: a wrong `reorder` gives wrong logits. */
export class ToyDecoder implements StepDecoder {
  readonly vocab = VOCAB;
  readonly rows: number;
  readonly maxLength: number;
  greedyStep?: (tokens: readonly number[]) => Promise<readonly number[]>;
  disposed = false;
  steps = 0;
  private readonly keys: readonly number[];
  private readonly eager: number;
  private texts: (readonly number[])[] = [];

  constructor(keys: readonly number[], maxLength: number, eager: number) {
    this.keys = keys;
    this.rows = keys.length;
    this.maxLength = maxLength;
    this.eager = eager;
  }

  async prefill(ids: Sequences): Promise<Float32Array> {
    if (this.texts.length > 0) throw new Error('the cache is not empty');
    this.texts = ids.map(row => [...row]);
    return this.logits();
  }

  async step(tokens: readonly number[], reorder?: readonly number[]): Promise<Float32Array> {
    this.steps++;
    const order = reorder ?? tokens.map((_, r) => r);
    if (tokens.length !== this.rows || order.length !== this.rows) throw new Error('another number of rows');
    // Rows of different inputs must not be mixed.
    order.forEach((from, r) => {
      if (this.keys[from] !== this.keys[r]) throw new Error(`row ${r} takes over row ${from} of another input`);
    });
    this.texts = order.map((from, r) => [...this.texts[from], tokens[r]]);
    if (this.texts[0].length >= this.maxLength) throw new Error('the cache is full');
    return this.logits();
  }

  dispose(): void {
    this.disposed = true;
  }

  private logits(): Float32Array {
    const out = new Float32Array(this.rows * VOCAB);
    this.texts.forEach((ids, r) => {
      out.set(logitsOf(this.keys[r], ids, this.eager), r * VOCAB);
    });
    return out;
  }
}

export interface ToyTask extends GenerationTask {
  /** Every decoder that was started. */
  readonly decoders: ToyDecoder[];
}

/** A task on the toy model; `inputs` are prompts, or the encoder's ids. */
export function toyTask(inputs: Sequences, encoderDecoder = false, eager = 1): ToyTask {
  const decoders: ToyDecoder[] = [];
  return {
    decoders,
    inputs: inputs.length,
    encoderDecoder,
    ...(encoderDecoder ? { encoderIds: inputs } : { prompt: inputs }),
    defaults: { eosTokenId: 1, padTokenId: 0, bosTokenId: 3, ...(encoderDecoder ? { decoderStartTokenId: 0 } : {}) },
    async startDecoder(rows, maxLength) {
      const keys = Array.from({ length: rows }, (_, r) => inputs[Math.floor((r * inputs.length) / rows)][0]);
      const decoder = new ToyDecoder(keys, maxLength, eager);
      decoders.push(decoder);
      return decoder;
    },
  };
}

/** transformers' keyword arguments as options. */
export function optionsOf(keywords: Record<string, unknown>): GenerateOptions {
  const camel = (key: string) => key.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
  return Object.fromEntries(Object.entries(keywords).map(([key, value]) => [camel(key), value])) as GenerateOptions;
}

/** Parses test/golden/generation/<name>.json, written by scripts/golden/generation.py. */
// biome-ignore lint/suspicious/noExplicitAny: free-form JSON, each test knows its own file
export function loadGeneration(name: string): any {
  return JSON.parse(readFileSync(new URL(`../golden/generation/${name}.json`, import.meta.url), 'utf8'));
}

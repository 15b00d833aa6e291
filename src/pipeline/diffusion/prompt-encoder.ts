/** Prompts to embeddings: every distinct row of ids goes through the text encoder once, then comes from a cache on the host. */
import { type NdArray, ndarray } from '../../core/ndarray.ts';
import { concatenate } from '../../io/preprocess.ts';
import type { ClipTextModel } from '../../models/stable-diffusion/index.ts';
import { type ClipTokenizer, checkIds } from '../../tokenizers/index.ts';
import type { DeviceCall } from '../runtime/device-call.ts';
import type { Network } from '../runtime/network.ts';
import type { PromptRequest, Prompts, TextSizes } from './prompt-request.ts';

/** Rows that are remembered: [77, 1024] floats are 300 KiB. */
const REMEMBERED = 64;

/** Embeddings of the prompts of a batch, [B, L, D] each. */
export interface Embeddings {
  /** [B, L, D] of the prompts. */
  readonly positive: NdArray;
  /** Absent without guidance. */
  readonly negative: NdArray | undefined;
}

/** The tokenizer, the text encoder and the embeddings made so far. */
export class ClipPromptEncoder {
  /** The text encoder. */
  readonly network: Network<ClipTextModel>;
  /** CLIP's, with the folder's added tokens. */
  readonly tokenizer: ClipTokenizer;
  readonly #warn: (message: string) => void;
  /** By the network's revision, clipSkip and ids. */
  readonly #rows = new Map<string, Float32Array>();

  constructor(network: Network<ClipTextModel>, tokenizer: ClipTokenizer, warn: (message: string) => void) {
    this.network = network;
    this.tokenizer = tokenizer;
    this.#warn = warn;
  }

  /** Takes over what another has encoded: for plans. */
  remember(other: ClipPromptEncoder): void {
    for (const [key, row] of other.#rows) this.#rows.set(key, row);
  }

  /** What requests must know. */
  get sizes(): TextSizes {
    const { width, layers } = this.network.model.config;
    return { length: this.tokenizer.modelMaxLength, width, layers };
  }

  /**
   * Embeddings of the prompts of one request.
   * @throws InputError for a token without embedding, before the device works
   */
  async encode(call: DeviceCall, request: PromptRequest): Promise<Embeddings> {
    const [both] = await this.encodeAll(call, [request]);
    return both as Embeddings;
  }

  /** The same for several, with one pass of the text encoder for each clipSkip; undefined for what is not wanted. */
  async encodeAll(
    call: DeviceCall,
    requests: readonly (PromptRequest | undefined)[],
  ): Promise<readonly (Embeddings | undefined)[]> {
    const texts = requests.flatMap(request => [
      ...textsOf(request?.positive).map(text => ({ text, clipSkip: request?.clipSkip ?? 0 })),
      ...textsOf(request?.negative).map(text => ({ text, clipSkip: 0 })),
    ]);
    const rows = await this.#rowsOf(call, texts);
    let at = 0;
    const take = (prompts: Prompts): NdArray => {
      if ('shape' in prompts) return prompts;
      at += prompts.length;
      return this.#stack(rows.slice(at - prompts.length, at));
    };
    return requests.map(request => {
      return request && { positive: take(request.positive), negative: request.negative && take(request.negative) };
    });
  }

  #stack(rows: readonly Float32Array[]): NdArray {
    const { width } = this.network.model.config;
    return concatenate(
      rows.map(data => ndarray(data, [1, data.length / width, width])),
      'encodePrompt',
    );
  }

  async #rowsOf(call: DeviceCall, texts: readonly { text: string; clipSkip: number }[]): Promise<Float32Array[]> {
    const told = new Set<string>();
    const keys = texts.map(({ text, clipSkip }) => {
      const { ids, overflowText } = this.tokenizer.encode(this.tokenizer.expandTokens(text));
      this.#checkRow(ids);
      if (overflowText && !told.has(text)) {
        told.add(text);
        this.#warn(
          `The text encoder takes ${this.tokenizer.modelMaxLength} tokens; the rest of a prompt is cut off: "${overflowText}"`,
        );
      }
      return { key: `${this.network.revision}:${clipSkip}:${ids.join()}`, ids, clipSkip };
    });
    const missing = new Map(keys.filter(k => !this.#rows.has(k.key)).map(k => [k.key, k]));
    const found = new Map(keys.map(({ key }) => [key, this.#rows.get(key)]));
    const phase = missing.size > 0 ? call.phase('text', missing.size) : undefined;
    let done = 0;
    for (const clipSkip of new Set([...missing.values()].map(k => k.clipSkip))) {
      const batch = [...missing.values()].filter(k => k.clipSkip === clipSkip);
      const rows = await this.#run(
        call,
        batch.map(k => k.ids),
        clipSkip,
      );
      done += batch.length;
      phase?.done(done);
      batch.forEach((k, i) => {
        found.set(k.key, rows[i]);
        this.#rows.set(k.key, rows[i] as Float32Array);
      });
    }
    for (const key of [...this.#rows.keys()].slice(0, Math.max(0, this.#rows.size - REMEMBERED)))
      this.#rows.delete(key);
    return keys.map(({ key }) => found.get(key) as Float32Array);
  }

  /** @throws InputError for a token that the tokenizer knows and the text encoder does not */
  #checkRow(ids: readonly number[]): void {
    const table = { rows: this.network.model.config.vocabulary, name: 'the token embedding of the text encoder' };
    const fix = "Use tokenizer and weights of one model, or load the token's embedding with loadTextualInversion.";
    checkIds('encodePrompt', ids, this.tokenizer, table, fix);
  }

  /** ids [P][L] -> P rows of [L, D] */
  async #run(call: DeviceCall, ids: readonly number[][], clipSkip: number): Promise<Float32Array[]> {
    const [count, length] = [ids.length, ids[0]?.length ?? 0];
    const key = `${count}x${length} skip ${clipSkip}`;
    const input = { data: ids.flat(), shape: [count, length], dtype: 'uint32' as const };
    const { data: values } = await call.evaluate(this.network, key, 1, input, x =>
      this.network.model.forward(x, { clipSkip }),
    );
    const size = values.length / count;
    // A dry device gives zeros for every prompt: told apart, each has keys and values of its own, as on a real one.
    if (call.memory.gpu.dry) for (let i = 0; i < count; i++) values[i * size] = this.#rows.size + i + 1;
    return ids.map((_, i) => values.slice(i * size, (i + 1) * size));
  }
}

function textsOf(prompts: Prompts | undefined): readonly string[] {
  return prompts === undefined || 'shape' in prompts ? [] : prompts;
}

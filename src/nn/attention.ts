/** Multi-head attention with its projections: heads of any width, keys and values that may be kept for later calls. */
import type { DType } from '../core/dtype.ts';
import { alignUp, ROW_ALIGN } from '../core/shape.ts';
import { type AttentionMasks, attention } from '../tensor/ops/attention.ts';
import { cacheAppend } from '../tensor/ops/cache.ts';
import { linear } from '../tensor/ops/contraction.ts';
import type { Parameter } from '../tensor/parameter.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { Module } from './module.ts';
import type { Weights } from './weights.ts';

/** How wide an attention is, and how its checkpoint names the parts. */
export interface AttentionOptions {
  /** Width of x, of the result, and of q, k and v unless `headWidth` says otherwise. */
  readonly query: number;
  /** Width of the context for cross-attention; without it attention is to x itself. */
  readonly context?: number | undefined;
  readonly heads: number;
  /** Default query / heads. */
  readonly headWidth?: number | undefined;
  /** Biases of q, k, v; default false. */
  readonly bias?: boolean | undefined;
  /** Bias of the output projection; default true. */
  readonly outBias?: boolean | undefined;
  /** Factor of the scores; default headWidth^-0.5. */
  readonly scale?: number | undefined;
  readonly names?: { readonly q: string; readonly k: string; readonly v: string; readonly out: string } | undefined;
}

const DIFFUSERS_NAMES = { q: 'to_q', k: 'to_k', v: 'to_v', out: 'to_out.0' };

/** Keys and values of a context, side by side: [N, S, 2 * heads * padded head width]. */
export interface KeyValues {
  /** Keys first, then values, in each row. */
  readonly tensor: Tensor;
}

/** Keys and values of what a decoder wrote so far, side by side, in memory of their own. */
export interface KeyValueCache {
  /** [N, capacity, 2 * heads * padded head width], an input of the graph */
  readonly tensor: Tensor;
  /** uint32 [1, 2]: keys after the call, position of its first row. */
  readonly lengths: Tensor;
}

/**
 * softmax(scale q k^T + masks) v by heads, with its projections. Scores and softmax in f32 and never stored. Heads are padded
 * to multiples of 8 in memory; q, k and v (or k and v) come from one matrix product.
 *
 * @see Vaswani et al. 2017, https://arxiv.org/abs/1706.03762; Dao et al. 2022, https://arxiv.org/abs/2205.14135; diffusers Attention
 */
export class Attention extends Module {
  readonly heads: number;
  readonly headWidth: number;
  readonly scale: number;
  readonly #query: Parameter;
  readonly #queryBias: Parameter | undefined;
  readonly #keyValue: Parameter | undefined;
  readonly #keyValueBias: Parameter | undefined;
  readonly #out: Parameter;
  readonly #outBias: Parameter | undefined;
  readonly #width: number;

  constructor(w: Weights, o: AttentionOptions) {
    super(w);
    const names = o.names ?? DIFFUSERS_NAMES;
    this.heads = o.heads;
    this.headWidth = o.headWidth ?? o.query / o.heads;
    this.scale = o.scale ?? this.headWidth ** -0.5;
    this.#width = o.query;
    const inner = this.heads * this.headWidth;
    const heads = { width: this.headWidth, padded: alignUp(this.headWidth, ROW_ALIGN) };
    const part = (name: string, inputs: number) => ({ from: w.at(name), outputs: inner, inputs, outHeads: heads });
    const key = part(names.k, o.context ?? o.query);
    const value = part(names.v, o.context ?? o.query);
    const query = part(names.q, o.query);
    const bias = (parts: ReturnType<typeof part>[]) =>
      o.bias ? w.vector(parts.map(p => ({ ...p, inputs: 1 }))) : undefined;
    const first = o.context === undefined ? [query, key, value] : [query];
    this.#query = w.matrix(first);
    this.#queryBias = bias(first);
    this.#keyValue = o.context === undefined ? undefined : w.matrix([key, value]);
    this.#keyValueBias = o.context === undefined ? undefined : bias([key, value]);
    const out = { from: w.at(names.out), outputs: o.query, inputs: inner };
    this.#out = w.matrix([{ ...out, inHeads: heads }]);
    this.#outBias = o.outBias === false ? undefined : w.vector([{ ...out, inputs: 1 }]);
  }

  /** Width of q, k or v in memory: heads times padded head width. */
  get inner(): number {
    return this.heads * alignUp(this.headWidth, ROW_ALIGN);
  }

  /** Channels of a cache: keys and values. */
  get cacheWidth(): number {
    return 2 * this.inner;
  }

  /** Projects a context [N, S, Dc] once, for any number of forwards. */
  keyValues(context: Tensor): KeyValues {
    const { weight, bias } = this.#cross();
    return { tensor: linear(context, 2 * this.inner, { weight, bias }) };
  }

  /** x [N, L, D] -> [N, L, D] in `dtype`, the graph's by default; cross-attention takes the key-values of its context. */
  forward(x: Tensor, context?: KeyValues, masks: AttentionMasks = {}, dtype?: DType): Tensor {
    const q = this.#project(x);
    if (this.#keyValue) return this.#mix(q, (context as KeyValues).tensor, 0, masks, dtype);
    return this.#mix(q, q, this.inner, masks, dtype);
  }

  /**
   * Self-attention of new rows to themselves and to all before them: their keys and values join the cache first.
   * @param x [N, L, D], positions lengths[1] and following
   * @returns [N, L, D] in `dtype`, the graph's by default
   */
  forwardCached(x: Tensor, cache: KeyValueCache, masks: AttentionMasks = {}, dtype?: DType): Tensor {
    const { tensor, lengths } = cache;
    const q = this.#project(x);
    cacheAppend(tensor, { tensor: q, offset: this.inner }, lengths);
    return this.#mix(q, tensor, 0, { ...masks, causal: x.dim(1) > 1, lengths }, dtype);
  }

  /** q, or q, k and v side by side. */
  #project(x: Tensor): Tensor {
    const options = { weight: this.#query, bias: this.#queryBias };
    return linear(x, this.#keyValue ? this.inner : 3 * this.inner, options);
  }

  /** Attention of the first channels of `q` to keys at channel `from` of `kv` and values behind them, projected. */
  #mix(q: Tensor, kv: Tensor, from: number, masks: AttentionMasks, dtype: DType | undefined): Tensor {
    const { inner } = this;
    const heads = { heads: this.heads, headWidth: inner / this.heads, scale: this.scale };
    const query = { tensor: q, offset: 0 };
    const mixed = attention(query, { tensor: kv, offset: from }, { tensor: kv, offset: from + inner }, heads, masks);
    return linear(mixed, this.#width, { weight: this.#out, bias: this.#outBias }, dtype);
  }

  #cross(): { weight: Parameter; bias: Parameter | undefined } {
    return { weight: this.#keyValue ?? this.#query, bias: this.#keyValueBias };
  }
}

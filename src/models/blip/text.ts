/**
 * BLIP's text decoder, a BERT (LayerNorm last) whose every layer also looks at the picture.
 *
 * Devlin et al. 2018, BERT, https://arxiv.org/abs/1810.04805; Li et al. 2022, BLIP, https://arxiv.org/abs/2201.12086, section 3.1.
 * Reference: transformers 4.57.6, models/blip/modeling_blip_text.py.
 *
 * Shapes through the base model, S = 577 rows of the picture:
 *
 *   ids               [N, L]
 *   embeddings        [N, L, 768]      token + position, behind a LayerNorm; no token types
 *   layers 0..11      [N, L, 768]      12 heads of 64 over the text, then over the picture; feed-forward width 3072
 *   predictions       [N, L, 30524]    logits, always f32
 */
import { InputError } from '../../core/errors.ts';
import { dim } from '../../core/shape.ts';
import { Attention, type KeyValueCache, type KeyValues } from '../../nn/attention.ts';
import { Embedding } from '../../nn/embedding.ts';
import { concat } from '../../nn/functional.ts';
import { Linear } from '../../nn/linear.ts';
import { Module } from '../../nn/module.ts';
import { LayerNorm } from '../../nn/norm.ts';
import type { Weights } from '../../nn/weights.ts';
import type { AttentionMasks } from '../../tensor/ops/attention.ts';
import { linear } from '../../tensor/ops/contraction.ts';
import type { Parameter } from '../../tensor/parameter.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import { counted } from '../counted.ts';
import { activation } from './activation.ts';
import type { BlipTextConfig } from './config.ts';

/** LN(token + position). */
export class BlipTextEmbeddings extends Module {
  readonly word: Embedding;
  readonly position: Embedding;
  readonly norm: LayerNorm;

  /** `tied` is the head's matrix where it is that of the words. */
  constructor(w: Weights, c: BlipTextConfig, tied?: Parameter) {
    super(w);
    this.word = new Embedding(w.at('word_embeddings'), { count: c.vocabulary, width: c.width, tied });
    this.position = new Embedding(w.at('position_embeddings'), { count: c.positions, width: c.width });
    this.norm = new LayerNorm(w.at('LayerNorm'), { width: c.width, eps: c.normEps });
  }

  /** ids [N, L], positions uint32 [1, L] (default 0 to L - 1) -> [N, L, D] */
  forward(ids: Tensor, positions?: Tensor): Tensor {
    const where = positions ? this.position.forward(positions) : this.position.rows(ids.graph, 0, dim(ids.shape, 1));
    return this.norm.forward(this.word.forward(ids).add(where));
  }
}

/** LN(attention(x) + x), over the text or over the picture. */
export class BlipTextAttention extends Module {
  readonly attention: Attention;
  readonly norm: LayerNorm;

  constructor(w: Weights, c: BlipTextConfig, context?: number) {
    super(w);
    const names = { q: 'self.query', k: 'self.key', v: 'self.value', out: 'output.dense' };
    this.attention = new Attention(w, { query: c.width, context, heads: c.heads, bias: true, outBias: true, names });
    this.norm = new LayerNorm(w.at('output.LayerNorm'), { width: c.width, eps: c.normEps });
  }

  /** x [N, L, D] -> [N, L, D] */
  forward(x: Tensor, context?: KeyValues, masks?: AttentionMasks): Tensor {
    return this.norm.forward(this.attention.forward(x, context, masks).add(x));
  }

  /** x [N, L, D], new rows behind those that the cache holds -> [N, L, D] */
  forwardCached(x: Tensor, cache: KeyValueCache): Tensor {
    return this.norm.forward(this.attention.forwardCached(x, cache).add(x));
  }
}

/** The text, then the picture, then a feed-forward network; a LayerNorm behind each. */
export class BlipTextLayer extends Module {
  readonly attention: BlipTextAttention;
  readonly crossAttention: BlipTextAttention;
  readonly intermediate: Linear;
  readonly output: Linear;
  readonly norm: LayerNorm;
  readonly activation: (x: Tensor) => Tensor;

  constructor(w: Weights, c: BlipTextConfig, pictureWidth: number) {
    super(w);
    this.attention = new BlipTextAttention(w.at('attention'), c);
    this.crossAttention = new BlipTextAttention(w.at('crossattention'), c, pictureWidth);
    this.intermediate = new Linear(w.at('intermediate.dense'), { in: c.width, out: c.hiddenWidth });
    this.output = new Linear(w.at('output.dense'), { in: c.hiddenWidth, out: c.width });
    this.norm = new LayerNorm(w.at('output.LayerNorm'), { width: c.width, eps: c.normEps });
    this.activation = activation(c.activation);
  }

  /** x [N, L, D], picture: this layer's keys and values -> [N, L, D] */
  forward(x: Tensor, picture: KeyValues, masks: AttentionMasks): Tensor {
    return this.#look(this.attention.forward(x, undefined, masks), picture);
  }

  /** The same for new rows behind those that the cache holds. */
  forwardCached(x: Tensor, picture: KeyValues, cache: KeyValueCache): Tensor {
    return this.#look(this.attention.forwardCached(x, cache), picture);
  }

  /** What follows the attention over the text. */
  #look(x: Tensor, picture: KeyValues): Tensor {
    const h = this.crossAttention.forward(x, picture);
    return this.norm.forward(this.output.forward(this.activation(this.intermediate.forward(h))).add(h));
  }
}

/**
 * Logits: a dense layer, a LayerNorm, and the token embeddings, or where the config unties them a matrix of its own. Of tied
 * ones, files may hold a second copy, which transformers leaves for that of the embeddings. The bias goes by two names; a file
 * holds either or both.
 */
export class BlipTextHead extends Module {
  readonly dense: Linear;
  readonly norm: LayerNorm;
  readonly decoder: Parameter;
  readonly bias: Parameter;
  readonly activation: (x: Tensor) => Tensor;
  readonly vocabulary: number;
  /** Whether the matrix is that of the token embeddings. */
  readonly tied: boolean;

  constructor(w: Weights, c: BlipTextConfig, embeddings: Weights) {
    super(w);
    this.dense = new Linear(w.at('transform.dense'), { in: c.width, out: c.width });
    this.norm = new LayerNorm(w.at('transform.LayerNorm'), { width: c.width, eps: c.normEps });
    const sizes = { outputs: c.vocabulary, inputs: c.width };
    this.tied = c.tied || !w.has('decoder.weight');
    const from = this.tied ? embeddings.at('word_embeddings') : w.at('decoder');
    if (this.tied) w.ignore(/(^|\.)cls\.predictions\.decoder\.weight$/);
    this.decoder = w.matrix([{ ...sizes, from }]);
    const name = w.has('decoder.bias') ? 'decoder.bias' : 'bias';
    this.bias = w.vector([{ ...sizes, inputs: 1, from: w, name }]);
    w.ignore(/(^|\.)cls\.predictions\.bias$/);
    this.activation = activation(c.activation);
    this.vocabulary = c.vocabulary;
  }

  /** x [N, L, D] -> float32 [N, L, V] */
  forward(x: Tensor): Tensor {
    const h = this.norm.forward(this.activation(this.dense.forward(x)));
    return linear(h, this.vocabulary, { weight: this.decoder, bias: this.bias }, 'float32');
  }
}

/** Which tokens of a call count. */
export interface BlipTextMask {
  /** f32 [N, L]: 0 for tokens, a large negative number for padding; default no padding. */
  readonly keyMask?: Tensor | undefined;
}

/** New tokens behind those that were fed before. */
export interface BlipTextStep {
  /** uint32 [1, L]: their positions. */
  readonly positions: Tensor;
  /** One for each layer, of `cacheWidth` channels. */
  readonly caches: readonly KeyValueCache[];
}

/** Token ids and a picture to logits of the next token. */
export class BlipTextDecoder extends Module {
  /** Sizes of the network. */
  readonly config: BlipTextConfig;
  /** @internal */ readonly embeddings: BlipTextEmbeddings;
  /** @internal */ readonly layers: readonly BlipTextLayer[];
  /** @internal */ readonly head: BlipTextHead;

  constructor(w: Weights, config: BlipTextConfig, pictureWidth: number) {
    super(w);
    const bert = w.at('bert');
    // Files of older writers hold the numbers 0 to 511.
    w.ignore(/(^|\.)embeddings\.position_ids$/);
    this.config = config;
    this.head = new BlipTextHead(w.at('cls.predictions'), config, bert.at('embeddings'));
    const { tied, decoder } = this.head;
    this.embeddings = new BlipTextEmbeddings(bert.at('embeddings'), config, tied ? decoder : undefined);
    this.layers = counted(config.layers, i => new BlipTextLayer(bert.at('encoder.layer').at(i), config, pictureWidth));
  }

  /** picture [N, S, Dv] -> the keys and values of every layer, computed once for all steps */
  context(picture: Tensor): KeyValues[] {
    return this.layers.map(layer => layer.crossAttention.attention.keyValues(picture));
  }

  /**
   * Logits of whole rows of tokens; a token sees itself and what stands before it.
   * @param ids uint32 [N, L], L at most the config's positions
   * @param picture what context() returned; its batch divides N
   * @param mask padding
   * @returns float32 [N, L, V]
   * @throws InputError for rows that are too long and for another model's context
   */
  forward(ids: Tensor, picture: readonly KeyValues[], mask: BlipTextMask = {}): Tensor {
    this.#check(dim(ids.shape, 1), picture);
    const masks = { causal: true, keyMask: mask.keyMask };
    let h = this.embeddings.forward(ids);
    for (const [i, layer] of this.layers.entries()) h = layer.forward(h, picture[i] as KeyValues, masks);
    return this.head.forward(h);
  }

  /** Channels of a cache: keys and values of all heads. */
  get cacheWidth(): number {
    return this.layers[0]?.attention.attention.cacheWidth ?? 0;
  }

  /**
   * Feeds new tokens, whose keys and values join the caches.
   * @param ids uint32 [N, L]
   * @param picture what context() returned; its batch divides N
   * @param step where the tokens stand
   * @returns float32 [N, 1, V], logits behind the last of them
   * @throws InputError for too many tokens and for another model's context or caches
   */
  forwardCached(ids: Tensor, picture: readonly KeyValues[], step: BlipTextStep): Tensor {
    this.#check(dim(ids.shape, 1), picture);
    this.#check(dim(ids.shape, 1), step.caches);
    let h = this.embeddings.forward(ids, step.positions);
    for (const [i, layer] of this.layers.entries()) {
      h = layer.forwardCached(h, picture[i] as KeyValues, step.caches[i] as KeyValueCache);
    }
    return this.head.forward(lastTokens(h));
  }

  #check(length: number, context: readonly KeyValues[]): void {
    const op = 'blipText';
    const { positions } = this.config;
    if (length > positions) {
      const expected = `at most ${positions}`;
      throw new InputError({ op, problem: 'too many tokens', expected, received: length, fix: 'Truncate the ids.' });
    }
    if (context.length === this.layers.length) return;
    const [expected, received] = [this.layers.length, context.length];
    const fix = 'Make one for each layer, by context() of the same model.';
    throw new InputError({ op, problem: 'keys and values of another model', expected, received, fix });
  }
}

/** x [N, L, D] -> [N, 1, D] */
function lastTokens(x: Tensor): Tensor {
  const [count, length, width] = [dim(x.shape, 0), dim(x.shape, 1), dim(x.shape, 2)];
  if (length === 1) return x;
  const rows = x.reshape([count * length, width]);
  const last = counted(count, i => rows.slice(0, (i + 1) * length - 1, (i + 1) * length));
  return concat(last, 0).reshape([count, 1, width]);
}

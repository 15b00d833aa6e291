/**
 * The blocks of T5's two stacks. The residual stream, the gated product and what `wo` makes of it are f32 whatever the
 * storage: in larger models they leave the range of f16.
 */
import { Attention, type KeyValueCache, type KeyValues } from '../../nn/attention.ts';
import { gelu, geluTanh, relu, silu } from '../../nn/functional.ts';
import { Linear } from '../../nn/linear.ts';
import { Module } from '../../nn/module.ts';
import { RMSNorm } from '../../nn/norm.ts';
import type { Weights } from '../../nn/weights.ts';
import type { AttentionMasks } from '../../tensor/ops/attention.ts';
import { embedColumns } from '../../tensor/ops/embedding.ts';
import type { Parameter } from '../../tensor/parameter.ts';
import type { Recorder, Tensor } from '../../tensor/tensor.ts';
import type { T5Activation, T5Config } from './config.ts';
import { bucketsByDistance } from './relative-buckets.ts';

const ACTIVATIONS: Readonly<Record<T5Activation, (x: Tensor) => Tensor>> = { relu, gelu, gelu_new: geluTanh, silu };
const NAMES = { q: 'q', k: 'k', v: 'v', out: 'o' };

/** Attention scores that depend on the distance of key and query alone; one table serves all blocks of a stack. */
export class T5PositionBias extends Module {
  readonly table: Parameter;
  readonly config: T5Config;
  readonly bidirectional: boolean;

  constructor(w: Weights, c: T5Config, bidirectional: boolean) {
    super(w);
    this.table = w.table('weight', c.buckets, c.heads);
    this.config = c;
    this.bidirectional = bidirectional;
  }

  /** Bias between `length` positions -> f32 [A, 2 length - 1], by key - query from 1 - length on */
  record(graph: Recorder, length: number): Tensor {
    const { buckets, maxDistance, heads } = this.config;
    const ids = bucketsByDistance(length, { bidirectional: this.bidirectional, buckets, maxDistance });
    const table = { table: this.table, count: buckets, width: heads };
    return embedColumns(graph.constant(ids, [1, ids.length], 'uint32'), table);
  }
}

/** x + attention(norm(x)), no biases, scores unscaled. */
export class T5AttentionLayer extends Module {
  readonly norm: RMSNorm;
  readonly attention: Attention;

  /** `name`: SelfAttention, or EncDecAttention, whose keys and values come from the encoder. */
  constructor(w: Weights, c: T5Config, name: 'SelfAttention' | 'EncDecAttention') {
    super(w);
    this.norm = new RMSNorm(w.at('layer_norm'), { width: c.width, eps: c.normEps });
    this.attention = new Attention(w.at(name), {
      query: c.width,
      context: name === 'EncDecAttention' ? c.width : undefined,
      heads: c.heads,
      headWidth: c.headWidth,
      bias: false,
      outBias: false,
      scale: 1,
      names: NAMES,
    });
  }

  /** x f32 [N, L, D] -> f32 [N, L, D] */
  forward(x: Tensor, masks: AttentionMasks, context?: KeyValues): Tensor {
    return x.add(this.attention.forward(this.norm.forward(x), context, masks, 'float32'));
  }

  /** The same for rows behind those in the cache. */
  forwardCached(x: Tensor, masks: AttentionMasks, cache: KeyValueCache): Tensor {
    return x.add(this.attention.forwardCached(this.norm.forward(x), cache, masks, 'float32'));
  }
}

/** x + wo(act(wi norm(x))), or x + wo(act(wi_0 norm(x)) * wi_1 norm(x)). */
export class T5FeedForward extends Module {
  readonly norm: RMSNorm;
  readonly wi: Linear;
  readonly gate: Linear | undefined;
  readonly wo: Linear;
  readonly activation: (x: Tensor) => Tensor;

  constructor(w: Weights, c: T5Config) {
    super(w);
    const dense = w.at('DenseReluDense');
    const up = { in: c.width, out: c.hiddenWidth, bias: false };
    this.norm = new RMSNorm(w.at('layer_norm'), { width: c.width, eps: c.normEps });
    this.wi = new Linear(dense.at(c.gated ? 'wi_0' : 'wi'), up);
    this.gate = c.gated ? new Linear(dense.at('wi_1'), up) : undefined;
    this.wo = new Linear(dense.at('wo').forInputs('float32'), { in: c.hiddenWidth, out: c.width, bias: false });
    this.activation = ACTIVATIONS[c.activation];
  }

  /** x f32 [N, L, D] -> f32 [N, L, D] */
  forward(x: Tensor): Tensor {
    const n = this.norm.forward(x);
    const h = this.activation(this.wi.forward(n, 'float32')); // [N, L, F]
    const product = this.gate ? h.mul(this.gate.forward(n, 'float32')) : h;
    return x.add(this.wo.forward(product, 'float32'));
  }
}

/** Self-attention and feed-forward. */
export class T5EncoderBlock extends Module {
  readonly attention: T5AttentionLayer;
  readonly feedForward: T5FeedForward;

  constructor(w: Weights, c: T5Config) {
    super(w);
    this.attention = new T5AttentionLayer(w.at('layer.0'), c, 'SelfAttention');
    this.feedForward = new T5FeedForward(w.at('layer.1'), c);
  }

  /** x f32 [N, S, D] -> f32 [N, S, D] */
  forward(x: Tensor, masks: AttentionMasks): Tensor {
    return this.feedForward.forward(this.attention.forward(x, masks));
  }
}

/** Causal self-attention, attention to the encoder's rows, feed-forward. */
export class T5DecoderBlock extends Module {
  readonly attention: T5AttentionLayer;
  readonly crossAttention: T5AttentionLayer;
  readonly feedForward: T5FeedForward;

  constructor(w: Weights, c: T5Config) {
    super(w);
    this.attention = new T5AttentionLayer(w.at('layer.0'), c, 'SelfAttention');
    this.crossAttention = new T5AttentionLayer(w.at('layer.1'), c, 'EncDecAttention');
    this.feedForward = new T5FeedForward(w.at('layer.2'), c);
  }

  /** x f32 [N, L, D], context: this block's keys and values -> f32 [N, L, D]; `own` masks or caches self-attention */
  forward(x: Tensor, context: KeyValues, own: AttentionMasks, cross: AttentionMasks, cache?: KeyValueCache): Tensor {
    const h = cache ? this.attention.forwardCached(x, own, cache) : this.attention.forward(x, own);
    return this.feedForward.forward(this.crossAttention.forward(h, cross, context));
  }
}

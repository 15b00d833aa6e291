/**
 * The text encoder of Stable Diffusion: OpenAI's CLIP ViT-L/14 text tower (1.x), OpenCLIP's ViT-H/14 less its last
 * layer (2.x).
 *
 * Radford et al. 2021, Learning Transferable Visual Models From Natural Language Supervision,
 * https://arxiv.org/abs/2103.00020, section 2.4.
 * Reference: transformers 4.57.6, models/clip/modeling_clip.py.
 *
 * Shapes through Stable Diffusion 2.1:
 *
 *   ids                    [N, 77]
 *   embeddings             [N, 77, 1024]    token + position
 *   layers 0..22           [N, 77, 1024]    16 heads of 64; feed-forward width 4096
 *   final_layer_norm       [N, 77, 1024]
 *
 * A token sees itself and what stands before it; padding is not masked.
 */
import { InputError } from '../../core/errors.ts';
import { dim } from '../../core/shape.ts';
import { Attention } from '../../nn/attention.ts';
import { Embedding } from '../../nn/embedding.ts';
import { Linear } from '../../nn/linear.ts';
import { Module } from '../../nn/module.ts';
import { LayerNorm } from '../../nn/norm.ts';
import type { Weights } from '../../nn/weights.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import { counted } from '../counted.ts';
import { activation } from './activation.ts';
import type { ClipTextConfig } from './config.ts';

/** Token embedding plus learned position embedding. */
export class ClipEmbeddings extends Module {
  readonly token: Embedding;
  readonly position: Embedding;

  constructor(w: Weights, c: ClipTextConfig) {
    super(w);
    this.token = new Embedding(w.at('token_embedding'), { count: c.vocabulary, width: c.width });
    this.position = new Embedding(w.at('position_embedding'), { count: c.positions, width: c.width });
  }

  /** ids [N, L] -> [N, L, D] */
  forward(ids: Tensor): Tensor {
    return this.token.forward(ids).add(this.position.rows(ids.graph, 0, dim(ids.shape, 1)));
  }
}

/** Feed-forward network: D -> 4 D -> D in the published models. */
export class ClipMlp extends Module {
  readonly fc1: Linear;
  readonly fc2: Linear;
  readonly activation: (x: Tensor) => Tensor;

  constructor(w: Weights, c: ClipTextConfig) {
    super(w);
    this.fc1 = new Linear(w.at('fc1'), { in: c.width, out: c.hiddenWidth });
    this.fc2 = new Linear(w.at('fc2'), { in: c.hiddenWidth, out: c.width });
    this.activation = activation(c.activation);
  }

  /** x [N, L, D] -> [N, L, D] */
  forward(x: Tensor): Tensor {
    return this.fc2.forward(this.activation(this.fc1.forward(x)));
  }
}

/** Causal self-attention and feed-forward, each behind a LayerNorm and added to its input. */
export class ClipLayer extends Module {
  readonly norm1: LayerNorm;
  readonly attention: Attention;
  readonly norm2: LayerNorm;
  readonly mlp: ClipMlp;

  constructor(w: Weights, c: ClipTextConfig) {
    super(w);
    const norm = { width: c.width, eps: c.normEps };
    const names = { q: 'q_proj', k: 'k_proj', v: 'v_proj', out: 'out_proj' };
    this.norm1 = new LayerNorm(w.at('layer_norm1'), norm);
    this.attention = new Attention(w.at('self_attn'), {
      query: c.width,
      heads: c.heads,
      bias: true,
      outBias: true,
      names,
    });
    this.norm2 = new LayerNorm(w.at('layer_norm2'), norm);
    this.mlp = new ClipMlp(w.at('mlp'), c);
  }

  /** x [N, L, D] -> [N, L, D] */
  forward(x: Tensor): Tensor {
    const h = x.add(this.attention.forward(this.norm1.forward(x), undefined, { causal: true }));
    return h.add(this.mlp.forward(this.norm2.forward(h)));
  }
}

/** Token ids to text embeddings. */
export class ClipTextModel extends Module {
  /** Sizes of the network. */
  readonly config: ClipTextConfig;
  /** @internal */ readonly embeddings: ClipEmbeddings;
  /** @internal */ readonly layers: readonly ClipLayer[];
  /** @internal */ readonly finalNorm: LayerNorm;

  constructor(weights: Weights, config: ClipTextConfig) {
    // Newer writers leave the prefix out.
    const w = weights.has('text_model.final_layer_norm.weight') ? weights.at('text_model') : weights;
    super(w);
    // Files of older writers hold the numbers 0 to 76.
    w.ignore(/(^|\.)embeddings\.position_ids$/);
    this.config = config;
    this.embeddings = new ClipEmbeddings(w.at('embeddings'), config);
    this.layers = counted(config.layers, i => new ClipLayer(w.at('encoder.layers').at(i), config));
    this.finalNorm = new LayerNorm(w.at('final_layer_norm'), { width: config.width, eps: config.normEps });
  }

  /**
   * Embeddings of the tokens.
   * @param ids uint32 [N, L], L at most the config's positions
   * @param options clipSkip: how many of the last layers to leave out, 0 to all of them
   * @returns [N, L, D] behind the final LayerNorm
   * @throws InputError where clipSkip or the length is out of range
   * @see diffusers StableDiffusionPipeline.encode_prompt, clip_skip
   */
  forward(ids: Tensor, options: { readonly clipSkip?: number | undefined } = {}): Tensor {
    const { clipSkip = 0 } = options;
    const { layers, positions } = this.config;
    inRange('clipSkip', clipSkip, 0, layers, 'Leave out fewer layers.');
    inRange('tokens', dim(ids.shape, 1), 1, positions, 'Truncate the ids.');
    let h = this.embeddings.forward(ids);
    for (const layer of this.layers.slice(0, layers - clipSkip)) h = layer.forward(h);
    return this.finalNorm.forward(h);
  }
}

function inRange(problem: string, received: number, least: number, most: number, fix: string): void {
  if (Number.isInteger(received) && received >= least && received <= most) return;
  const expected = `a whole number from ${least} to ${most}`;
  throw new InputError({ op: 'clipText', problem: `${problem} out of range`, expected, value: received, fix });
}

/**
 * BLIP's picture encoder, a ViT with LayerNorm first.
 *
 * Dosovitskiy et al. 2020, An Image is Worth 16x16 Words, https://arxiv.org/abs/2010.11929;
 * Li et al. 2022, BLIP, https://arxiv.org/abs/2201.12086, section 3.1.
 * Reference: transformers 4.57.6, models/blip/modeling_blip.py.
 *
 * Shapes through the base model:
 *
 *   pixels            [N, 3, 384, 384]
 *   patch_embedding   [N, 768, 24, 24]    one vector a patch of 16 x 16
 *   embeddings        [N, 577, 768]       class token first, then the patches row by row; plus positions
 *   layers 0..11      [N, 577, 768]       12 heads of 64; feed-forward width 3072
 *   post_layernorm    [N, 577, 768]       what the text decoder looks at
 */
import { ShapeError } from '../../core/errors.ts';
import { checkMember } from '../../core/kinds.ts';
import { alignUp, dim, ROW_ALIGN } from '../../core/shape.ts';
import { Conv2d } from '../../nn/conv2d.ts';
import { Embedding } from '../../nn/embedding.ts';
import { concat } from '../../nn/functional.ts';
import { Linear } from '../../nn/linear.ts';
import { Module } from '../../nn/module.ts';
import { LayerNorm } from '../../nn/norm.ts';
import type { Weights } from '../../nn/weights.ts';
import { attention } from '../../tensor/ops/attention.ts';
import { linear } from '../../tensor/ops/contraction.ts';
import type { Parameter } from '../../tensor/parameter.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import { counted } from '../counted.ts';
import { activation } from './activation.ts';
import type { BlipVisionConfig } from './config.ts';
import type { Grid } from './positions.ts';

/** Patches as vectors behind the class token, plus position embeddings. */
export class BlipVisionEmbeddings extends Module {
  readonly patch: Conv2d;
  readonly class: Embedding;
  readonly position: Embedding;
  readonly width: number;

  constructor(w: Weights, c: BlipVisionConfig) {
    super(w);
    const { width, patchSize: side } = c;
    const [rows, columns] = patchGrid(c, c.imageSize, c.imageSize);
    this.width = width;
    this.patch = new Conv2d(w.at('patch_embedding'), { in: 3, out: width, kernel: side, stride: side });
    this.class = new Embedding(w, { name: 'class_embedding', count: 1, width });
    this.position = new Embedding(w, { name: 'position_embedding', count: 1 + rows * columns, width });
  }

  /** pixels [N, 3, H, W], positions [1, 1 + P, D] where the picture has another size -> [N, 1 + P, D] */
  forward(pixels: Tensor, positions?: Tensor): Tensor {
    const patches = this.patch.forward(pixels).tokens(); // [N, P, D]
    const [images, count] = [dim(patches.shape, 0), dim(patches.shape, 1)];
    const start = this.class.rows(pixels.graph, 0, 1).reshape([1, this.width]);
    const rows = counted(images, i => [start, patches.slice(0, i, i + 1).reshape([count, this.width])]);
    const h = concat(rows.flat(), 0).reshape([images, 1 + count, this.width]);
    return h.add(positions ?? this.position.rows(pixels.graph, 0, 1 + count));
  }
}

/** Self-attention whose queries, keys and values are one matrix in the file, too. */
export class BlipVisionAttention extends Module {
  readonly heads: number;
  readonly headWidth: number;
  readonly projection: Parameter;
  readonly projectionBias: Parameter;
  readonly qkv: Parameter;
  readonly qkvBias: Parameter;

  constructor(w: Weights, c: BlipVisionConfig) {
    super(w);
    this.heads = c.heads;
    this.headWidth = c.width / c.heads;
    const heads = { width: this.headWidth, padded: alignUp(this.headWidth, ROW_ALIGN) };
    const qkv = { from: w.at('qkv'), outputs: 3 * c.width, inputs: c.width, outHeads: heads };
    const out = { from: w.at('projection'), outputs: c.width, inputs: c.width };
    this.qkv = w.matrix([qkv]);
    this.qkvBias = w.vector([{ ...qkv, inputs: 1 }]);
    this.projection = w.matrix([{ ...out, inHeads: heads }]);
    this.projectionBias = w.vector([{ ...out, inputs: 1 }]);
  }

  /** x [N, L, D] -> [N, L, D] */
  forward(x: Tensor): Tensor {
    const headWidth = alignUp(this.headWidth, ROW_ALIGN);
    const inner = this.heads * headWidth;
    const tensor = linear(x, 3 * inner, { weight: this.qkv, bias: this.qkvBias });
    const part = (i: number) => ({ tensor, offset: i * inner });
    const heads = { heads: this.heads, headWidth, scale: this.headWidth ** -0.5 };
    const mixed = attention(part(0), part(1), part(2), heads);
    return linear(mixed, dim(x.shape, 2), { weight: this.projection, bias: this.projectionBias });
  }
}

/** Feed-forward network: D -> 4 D -> D in the published models. */
export class BlipMlp extends Module {
  readonly fc1: Linear;
  readonly fc2: Linear;
  readonly activation: (x: Tensor) => Tensor;

  constructor(w: Weights, c: BlipVisionConfig) {
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

/** Self-attention and feed-forward, each behind a LayerNorm and added to its input. */
export class BlipVisionLayer extends Module {
  readonly norm1: LayerNorm;
  readonly attention: BlipVisionAttention;
  readonly norm2: LayerNorm;
  readonly mlp: BlipMlp;

  constructor(w: Weights, c: BlipVisionConfig) {
    super(w);
    const norm = { width: c.width, eps: c.normEps };
    this.norm1 = new LayerNorm(w.at('layer_norm1'), norm);
    this.attention = new BlipVisionAttention(w.at('self_attn'), c);
    this.norm2 = new LayerNorm(w.at('layer_norm2'), norm);
    this.mlp = new BlipMlp(w.at('mlp'), c);
  }

  /** x [N, L, D] -> [N, L, D] */
  forward(x: Tensor): Tensor {
    const h = x.add(this.attention.forward(this.norm1.forward(x)));
    return h.add(this.mlp.forward(this.norm2.forward(h)));
  }
}

/** Pixels to the rows that the text decoder looks at. */
export class BlipVisionModel extends Module {
  /** Sizes of the network. */
  readonly config: BlipVisionConfig;
  /** @internal */ readonly embeddings: BlipVisionEmbeddings;
  /** @internal */ readonly layers: readonly BlipVisionLayer[];
  /** @internal */ readonly postNorm: LayerNorm;

  constructor(w: Weights, config: BlipVisionConfig) {
    super(w);
    this.config = config;
    this.embeddings = new BlipVisionEmbeddings(w.at('embeddings'), config);
    this.layers = counted(config.layers, i => new BlipVisionLayer(w.at('encoder.layers').at(i), config));
    this.postNorm = new LayerNorm(w.at('post_layernorm'), { width: config.width, eps: config.normEps });
  }

  /**
   * Encodes pictures.
   * @param pixels [N, 3, H, W], normalised
   * @param positions [1, 1 + P, D] from interpolatePositions, for sides other than the config's
   * @returns [N, 1 + P, D] behind the last LayerNorm
   * @throws ShapeError for pixels or positions of another shape
   */
  forward(pixels: Tensor, positions?: Tensor): Tensor {
    this.#check(pixels, positions);
    let h = this.embeddings.forward(pixels, positions);
    for (const layer of this.layers) h = layer.forward(h);
    return this.postNorm.forward(h);
  }

  #check({ shape }: Tensor, positions: Tensor | undefined): void {
    const { imageSize: side, patchSize, width } = this.config;
    const op = 'blipVision';
    const [height = 0, across = 0] = shape.slice(2);
    if (shape.length !== 4 || dim(shape, 1) !== 3 || Math.min(height, across) < patchSize) {
      const expected = `[N, 3, H, W], sides of at least ${patchSize}`;
      throw new ShapeError({ op, problem: 'not pictures', expected, received: shape });
    }
    if (!positions) {
      if (height === side && across === side) return;
      const fix = 'Resize the picture, or pass positions from interpolatePositions().';
      const expected = `[N, 3, ${side}, ${side}]`;
      throw new ShapeError({ op, problem: 'pictures of another size', expected, received: shape, fix });
    }
    const [rows, columns] = patchGrid(this.config, height, across);
    const expected = [1, 1 + rows * columns, width];
    if (positions.shape.length === 3 && expected.every((size, i) => size === positions.shape[i])) return;
    throw new ShapeError({ op, problem: 'positions of another grid', expected, received: positions.shape });
  }
}

/** Patches that a picture has; pixels right of and below the last whole patch are left out. */
export function patchGrid(config: BlipVisionConfig, height: number, width: number): Grid {
  checkMember('patchGrid', config, 'patchSize', 'number', 'the vision part of what parseBlipConfig returns');
  return [Math.floor(height / config.patchSize), Math.floor(width / config.patchSize)];
}

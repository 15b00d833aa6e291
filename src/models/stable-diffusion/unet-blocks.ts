/**
 * Blocks of the UNet, smallest first: residual block, transformer, resampling, and the one block class that serves
 * the way down and the way up. The autoencoder uses the residual block and the resampling too.
 *
 * Ho et al. 2020, Denoising Diffusion Probabilistic Models, https://arxiv.org/abs/2006.11239, appendix B;
 * Rombach et al. 2022, High-Resolution Image Synthesis with Latent Diffusion Models, https://arxiv.org/abs/2112.10752.
 * Reference: diffusers 0.34.0, models/unets/unet_2d_blocks.py, models/transformers/transformer_2d.py.
 */
import { dim } from '../../core/shape.ts';
import { Attention, type KeyValues } from '../../nn/attention.ts';
import { Conv2d } from '../../nn/conv2d.ts';
import { concat, upsampleNearest } from '../../nn/functional.ts';
import { GegluLinear, Linear } from '../../nn/linear.ts';
import { Module } from '../../nn/module.ts';
import { GroupNorm, LayerNorm } from '../../nn/norm.ts';
import type { Weights } from '../../nn/weights.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import { counted } from '../counted.ts';
import { activation, type StableDiffusionActivation } from './activation.ts';
import { TimeProjection } from './time-embedding.ts';

/** Widths of a residual block and its function, default silu; `time` is absent in the autoencoder. */
export interface ResnetConfig {
  readonly in: number;
  readonly out: number;
  readonly time?: number;
  readonly groups: number;
  readonly eps: number;
  readonly activation?: StableDiffusionActivation | undefined;
}

/** Residual block, conditioned on the timestep where it has a time projection. Ho et al. 2020, appendix B. */
export class ResnetBlock extends Module {
  readonly norm1: GroupNorm;
  readonly conv1: Conv2d;
  readonly timeProjection: TimeProjection | undefined;
  readonly norm2: GroupNorm;
  readonly conv2: Conv2d;
  readonly shortcut: Conv2d | undefined;
  readonly activation: (x: Tensor) => Tensor;

  constructor(w: Weights, c: ResnetConfig) {
    super(w);
    this.norm1 = new GroupNorm(w.at('norm1'), { channels: c.in, groups: c.groups, eps: c.eps });
    this.conv1 = new Conv2d(w.at('conv1'), { in: c.in, out: c.out, kernel: 3, padding: 1 });
    if (c.time !== undefined) this.timeProjection = new TimeProjection(w.at('time_emb_proj'), c.out);
    this.norm2 = new GroupNorm(w.at('norm2'), { channels: c.out, groups: c.groups, eps: c.eps });
    this.conv2 = new Conv2d(w.at('conv2'), { in: c.out, out: c.out, kernel: 3, padding: 1 });
    if (c.in !== c.out) this.shortcut = new Conv2d(w.at('conv_shortcut'), { in: c.in, out: c.out, kernel: 1 });
    this.activation = activation(c.activation);
  }

  /** x [N, in, H, W], queue of the blocks' projections of the timestep -> [N, out, H, W] */
  forward(x: Tensor, times?: Tensor[]): Tensor {
    const shortcut = this.shortcut?.forward(x) ?? x; // first, so that x is free, part by part, as it is normalised
    let h = this.conv1.forward(this.activation(this.norm1.forward(x)));
    if (times && this.timeProjection) {
      const t = this.timeProjection.forward(times); // [1 or N, out]
      h = h.add(t.reshape([...t.shape, 1, 1])); // broadcast over H, W
    }
    return this.conv2.forward(this.activation(this.norm2.forward(h))).add(shortcut);
  }
}

/** Gated feed-forward network. Shazeer 2020, GLU Variants Improve Transformer, https://arxiv.org/abs/2002.05202. */
export class FeedForward extends Module {
  readonly gate: GegluLinear;
  readonly out: Linear;

  constructor(w: Weights, width: number) {
    super(w);
    this.gate = new GegluLinear(w.at('net.0.proj'), { in: width, out: 4 * width });
    this.out = new Linear(w.at('net.2'), { in: 4 * width, out: width });
  }

  /** x [N, L, D] -> [N, L, D] */
  forward(x: Tensor): Tensor {
    return this.out.forward(this.gate.forward(x));
  }
}

/** Widths of a transformer: D, A heads, width of the text embeddings, number of blocks, groups of its norm. */
export interface TransformerConfig {
  readonly width: number;
  readonly heads: number;
  readonly contextWidth: number;
  readonly depth: number;
  readonly groups: number;
}

/** Self-attention, cross-attention to the text, feed-forward; each behind a LayerNorm and added to its input. */
export class TransformerBlock extends Module {
  readonly norm1: LayerNorm;
  readonly selfAttention: Attention;
  readonly norm2: LayerNorm;
  readonly crossAttention: Attention;
  readonly norm3: LayerNorm;
  readonly feedForward: FeedForward;

  constructor(w: Weights, c: TransformerConfig) {
    super(w);
    const norm = { width: c.width, eps: 1e-5 };
    const attention = { query: c.width, heads: c.heads, bias: false, outBias: true };
    this.norm1 = new LayerNorm(w.at('norm1'), norm);
    this.selfAttention = new Attention(w.at('attn1'), attention);
    this.norm2 = new LayerNorm(w.at('norm2'), norm);
    this.crossAttention = new Attention(w.at('attn2'), { ...attention, context: c.contextWidth });
    this.norm3 = new LayerNorm(w.at('norm3'), norm);
    this.feedForward = new FeedForward(w.at('ff'), c.width);
  }

  /** x [N, L, D] -> [N, L, D]; takes its text keys and values off the queue */
  forward(x: Tensor, context: KeyValues[]): Tensor {
    let h = x.add(this.selfAttention.forward(this.norm1.forward(x)));
    h = h.add(this.crossAttention.forward(this.norm2.forward(h), context.shift()));
    return h.add(this.feedForward.forward(this.norm3.forward(h)));
  }
}

/** Transformer over the pixels of a feature map. Rombach et al. 2022, section 3.3. */
export class Transformer2D extends Module {
  readonly norm: GroupNorm;
  readonly projectionIn: Linear;
  readonly blocks: readonly TransformerBlock[];
  readonly projectionOut: Linear;

  constructor(w: Weights, c: TransformerConfig) {
    super(w);
    this.norm = new GroupNorm(w.at('norm'), { channels: c.width, groups: c.groups, eps: 1e-6 });
    this.projectionIn = new Linear(w.at('proj_in'), { in: c.width, out: c.width });
    this.blocks = counted(c.depth, i => new TransformerBlock(w.at('transformer_blocks').at(i), c));
    this.projectionOut = new Linear(w.at('proj_out'), { in: c.width, out: c.width });
  }

  /** text [N, S, Dc] -> keys and values for each block */
  context(text: Tensor): KeyValues[] {
    return this.blocks.map(block => block.crossAttention.keyValues(text));
  }

  /** x [N, C, H, W], queue of text keys and values -> [N, C, H, W] */
  forward(x: Tensor, context: KeyValues[]): Tensor {
    let h = this.projectionIn.forward(this.norm.forward(x).tokens()); // [N, H*W, C]
    for (const block of this.blocks) h = block.forward(h, context);
    return x.add(this.projectionOut.forward(h).image(dim(x.shape, 2), dim(x.shape, 3)));
  }
}

/** Halves a map: 3x3 convolution of stride 2. Padding 0 stands for one row below and one column to the right. */
export class Downsample extends Module {
  readonly conv: Conv2d;

  constructor(w: Weights, channels: number, padding: number) {
    super(w);
    const sides = padding === 0 ? { top: 0, right: 1, bottom: 1, left: 0 } : padding;
    this.conv = new Conv2d(w.at('conv'), { in: channels, out: channels, kernel: 3, stride: 2, padding: sides });
  }

  /** x [N, C, H, W] -> [N, C, ceil(H / 2), ceil(W / 2)] with padding 1, rounded down with padding 0 */
  forward(x: Tensor): Tensor {
    return this.conv.forward(x);
  }
}

/** Enlarges a map to a given size by its nearest pixels, then a 3x3 convolution. */
export class Upsample extends Module {
  readonly conv: Conv2d;

  constructor(w: Weights, channels: number) {
    super(w);
    this.conv = new Conv2d(w.at('conv'), { in: channels, out: channels, kernel: 3, padding: 1 });
  }

  /** x [N, C, h, w] -> [N, C, H, W] */
  forward(x: Tensor, size: readonly [number, number]): Tensor {
    return this.conv.forward(upsampleNearest(x, size));
  }
}

/** One resolution of the UNet in one direction. */
export interface UNetBlockConfig extends Pick<ResnetConfig, 'out' | 'eps' | 'activation'> {
  readonly direction: 'down' | 'up';
  /** Channels that enter each residual block, skip included. */
  readonly in: readonly number[];
  readonly time: number;
  /** Halve (down) or enlarge (up) at the end. */
  readonly resample: boolean;
  readonly downsamplePadding: number;
  readonly transformer: TransformerConfig;
}

/**
 * Residual blocks, each with its transformer where the level has attention, then the change of resolution. On the way
 * down every result is pushed on the stack of skips; on the way up each residual block pops one.
 */
export class UNetBlock extends Module {
  readonly up: boolean;
  readonly resnets: readonly ResnetBlock[];
  readonly attentions: readonly Transformer2D[];
  readonly downsample: Downsample | undefined;
  readonly upsample: Upsample | undefined;

  constructor(w: Weights, c: UNetBlockConfig) {
    super(w);
    const shared = { out: c.out, time: c.time, groups: c.transformer.groups, eps: c.eps, activation: c.activation };
    this.up = c.direction === 'up';
    this.resnets = c.in.map((width, i) => new ResnetBlock(w.at('resnets').at(i), { in: width, ...shared }));
    const attentions = c.transformer.depth > 0 ? c.in.length : 0;
    this.attentions = counted(attentions, i => new Transformer2D(w.at('attentions').at(i), c.transformer));
    if (c.resample && this.up) this.upsample = new Upsample(w.at('upsamplers').at(0), c.out);
    if (c.resample && !this.up)
      this.downsample = new Downsample(w.at('downsamplers').at(0), c.out, c.downsamplePadding);
  }

  /** text [N, S, Dc] -> keys and values for each transformer block */
  context(text: Tensor): KeyValues[] {
    return this.attentions.flatMap(attention => attention.context(text));
  }

  /** x [N, C, H, W], queues of time and text, skips so far -> [N, out, H', W'], which is also the last skip on the way down */
  forward(x: Tensor, times: Tensor[], context: KeyValues[], skips: Tensor[]): Tensor {
    let h = x;
    for (const [i, resnet] of this.resnets.entries()) {
      const skip = this.up ? skips.pop() : undefined;
      h = resnet.forward(skip ? concat([h, skip], 1) : h, times);
      h = this.attentions[i]?.forward(h, context) ?? h;
      if (!this.up) skips.push(h);
    }
    if (this.downsample) {
      h = this.downsample.forward(h);
      skips.push(h);
    }
    // Not simply twice the size: an odd side was rounded on the way down.
    const next = skips.at(-1);
    return this.upsample && next ? this.upsample.forward(h, [dim(next.shape, 2), dim(next.shape, 3)]) : h;
  }
}

/** Residual block, transformer, residual block at the lowest resolution. */
export class UNetMidBlock extends Module {
  readonly first: ResnetBlock;
  readonly attention: Transformer2D;
  readonly second: ResnetBlock;

  constructor(w: Weights, resnet: ResnetConfig, transformer: TransformerConfig) {
    super(w);
    this.first = new ResnetBlock(w.at('resnets').at(0), resnet);
    this.attention = new Transformer2D(w.at('attentions').at(0), transformer);
    this.second = new ResnetBlock(w.at('resnets').at(1), resnet);
  }

  /** x [N, C, H, W], queues of time and text -> [N, C, H, W] */
  forward(x: Tensor, times: Tensor[], context: KeyValues[]): Tensor {
    return this.second.forward(this.attention.forward(this.first.forward(x, times), context), times);
  }
}

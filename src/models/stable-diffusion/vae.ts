/**
 * The autoencoder between pictures and latents. Slicing and tiling are the caller's: one plan for one image or tile.
 *
 * Rombach et al. 2022, High-Resolution Image Synthesis with Latent Diffusion Models, https://arxiv.org/abs/2112.10752,
 * section 3.1; Esser et al. 2021, Taming Transformers, https://arxiv.org/abs/2012.09841, table 7.
 * Reference: diffusers 0.34.0, models/autoencoders/autoencoder_kl.py and vae.py.
 *
 * Shapes through Stable Diffusion's autoencoder (picture 768 x 768):
 *
 *   picture     [N, 3, 768, 768]         latents        [N, 4, 96, 96]
 *   conv_in     [N, 128, 768, 768]       conv_in        [N, 512, 96, 96]
 *   down 0      [N, 128, 384, 384]       mid            [N, 512, 96, 96]
 *   down 1      [N, 256, 192, 192]       up 0           [N, 512, 192, 192]
 *   down 2      [N, 512, 96, 96]         up 1           [N, 512, 384, 384]
 *   down 3      [N, 512, 96, 96]         up 2           [N, 256, 768, 768]
 *   mid         [N, 512, 96, 96]         up 3           [N, 128, 768, 768]
 *   conv_out    [N, 8, 96, 96]           conv_out       [N, 3, 768, 768]
 */
import { dim } from '../../core/shape.ts';
import { Attention } from '../../nn/attention.ts';
import { Conv2d } from '../../nn/conv2d.ts';
import { silu } from '../../nn/functional.ts';
import { Module } from '../../nn/module.ts';
import { GroupNorm } from '../../nn/norm.ts';
import type { Weights } from '../../nn/weights.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import { counted } from '../counted.ts';
import type { VaeConfig } from './config.ts';
import { checkMap } from './input-checks.ts';
import { Downsample, ResnetBlock, type ResnetConfig, Upsample } from './unet-blocks.ts';

const EPS = 1e-6;

/** One resolution: residual blocks, then half (encoder) or twice (decoder) the size, or the same. */
export class VaeBlock extends Module {
  readonly resnets: readonly ResnetBlock[];
  readonly downsample: Downsample | undefined;
  readonly upsample: Upsample | undefined;

  constructor(
    w: Weights,
    c: Pick<ResnetConfig, 'in' | 'out' | 'groups' | 'activation'> & { layers: number; then: 'half' | 'twice' | 'same' },
  ) {
    super(w);
    this.resnets = counted(c.layers, i => {
      return new ResnetBlock(w.at('resnets').at(i), {
        in: i === 0 ? c.in : c.out,
        out: c.out,
        groups: c.groups,
        eps: EPS,
        activation: c.activation,
      });
    });
    if (c.then === 'half') this.downsample = new Downsample(w.at('downsamplers').at(0), c.out, 0);
    if (c.then === 'twice') this.upsample = new Upsample(w.at('upsamplers').at(0), c.out);
  }

  /** x [N, in, H, W] -> [N, out, H', W'] */
  forward(x: Tensor): Tensor {
    let h = x;
    for (const resnet of this.resnets) h = resnet.forward(h);
    if (this.downsample) return this.downsample.forward(h);
    return this.upsample ? this.upsample.forward(h, [2 * dim(h.shape, 2), 2 * dim(h.shape, 3)]) : h;
  }
}

/** Self-attention over all pixels with a single head, added to its input. Keys of older files name it query, key, ... */
export class VaeAttention extends Module {
  readonly norm: GroupNorm;
  readonly attention: Attention;

  constructor(w: Weights, channels: number, groups: number) {
    super(w);
    const old = { q: 'query', k: 'key', v: 'value', out: 'proj_attn' };
    const names = w.has('query.weight') ? { names: old } : {};
    this.norm = new GroupNorm(w.at('group_norm'), { channels, groups, eps: EPS });
    this.attention = new Attention(w, { query: channels, heads: 1, bias: true, outBias: true, ...names });
  }

  /** x [N, C, H, W] -> [N, C, H, W] */
  forward(x: Tensor): Tensor {
    const h = this.attention.forward(this.norm.forward(x).tokens()); // [N, H*W, C]
    return x.add(h.image(dim(x.shape, 2), dim(x.shape, 3)));
  }
}

/** Residual block, attention where the config has it, residual block at the lowest resolution. */
export class VaeMidBlock extends Module {
  readonly first: ResnetBlock;
  readonly attention: VaeAttention | undefined;
  readonly second: ResnetBlock;

  constructor(w: Weights, channels: number, c: VaeConfig) {
    super(w);
    const resnet = { in: channels, out: channels, groups: c.normGroups, eps: EPS, activation: c.activation };
    this.first = new ResnetBlock(w.at('resnets').at(0), resnet);
    if (c.midAttention) this.attention = new VaeAttention(w.at('attentions').at(0), channels, c.normGroups);
    this.second = new ResnetBlock(w.at('resnets').at(1), resnet);
  }

  /** x [N, C, H, W] -> [N, C, H, W] */
  forward(x: Tensor): Tensor {
    const h = this.first.forward(x);
    return this.second.forward(this.attention?.forward(h) ?? h);
  }
}

/** Pictures to the parameters of a normal distribution over latents. */
export class VaeEncoder extends Module {
  readonly convIn: Conv2d;
  readonly blocks: readonly VaeBlock[];
  readonly midBlock: VaeMidBlock;
  readonly normOut: GroupNorm;
  readonly convOut: Conv2d;

  constructor(w: Weights, c: VaeConfig) {
    super(w);
    const { channels, normGroups: groups, activation } = c;
    const [first, last] = ends(channels);
    this.convIn = new Conv2d(w.at('conv_in'), { in: c.inChannels, out: first, kernel: 3, padding: 1 });
    this.blocks = channels.map((out, i) => {
      const then = i < channels.length - 1 ? 'half' : 'same';
      const block = { in: channels[i - 1] ?? out, out, layers: c.layers, groups, activation, then } as const;
      return new VaeBlock(w.at('down_blocks').at(i), block);
    });
    this.midBlock = new VaeMidBlock(w.at('mid_block'), last, c);
    this.normOut = new GroupNorm(w.at('conv_norm_out'), { channels: last, groups, eps: EPS });
    this.convOut = new Conv2d(w.at('conv_out'), { in: last, out: 2 * c.latentChannels, kernel: 3, padding: 1 });
  }

  /** x [N, 3, H, W] -> [N, 2 * latent channels, H / f, W / f] */
  forward(x: Tensor): Tensor {
    let h = this.convIn.forward(x);
    for (const block of this.blocks) h = block.forward(h);
    h = this.midBlock.forward(h);
    return this.convOut.forward(silu(this.normOut.forward(h)));
  }
}

/** Latents to pictures. */
export class VaeDecoder extends Module {
  readonly convIn: Conv2d;
  readonly midBlock: VaeMidBlock;
  readonly blocks: readonly VaeBlock[];
  readonly normOut: GroupNorm;
  readonly convOut: Conv2d;

  constructor(w: Weights, c: VaeConfig) {
    super(w);
    const { normGroups: groups, activation } = c;
    const channels = [...c.channels].reverse();
    const [first, last] = ends(channels);
    this.convIn = new Conv2d(w.at('conv_in'), { in: c.latentChannels, out: first, kernel: 3, padding: 1 });
    this.midBlock = new VaeMidBlock(w.at('mid_block'), first, c);
    this.blocks = channels.map((out, i) => {
      const then = i < channels.length - 1 ? 'twice' : 'same';
      const block = { in: channels[i - 1] ?? out, out, layers: c.layers + 1, groups, activation, then } as const;
      return new VaeBlock(w.at('up_blocks').at(i), block);
    });
    this.normOut = new GroupNorm(w.at('conv_norm_out'), { channels: last, groups, eps: EPS });
    this.convOut = new Conv2d(w.at('conv_out'), { in: last, out: c.outChannels, kernel: 3, padding: 1 });
  }

  /** z [N, latent channels, h, w] -> [N, 3, f * h, f * w] */
  forward(z: Tensor): Tensor {
    let h = this.midBlock.forward(this.convIn.forward(z));
    for (const block of this.blocks) h = block.forward(h);
    return this.convOut.forward(silu(this.normOut.forward(h)));
  }
}

/** Encoder, decoder, and the 1x1 convolutions around the latents. */
export class AutoencoderKL extends Module {
  /** Sizes of the networks, and the scaling of latents. */
  readonly config: VaeConfig;
  /** @internal */ readonly encoder: VaeEncoder;
  /** @internal */ readonly quantConv: Conv2d | undefined;
  /** @internal */ readonly postQuantConv: Conv2d | undefined;
  /** @internal */ readonly decoder: VaeDecoder;

  constructor(w: Weights, config: VaeConfig) {
    super(w);
    const [moments, latents] = [2 * config.latentChannels, config.latentChannels];
    this.config = config;
    this.encoder = new VaeEncoder(w.at('encoder'), config);
    if (config.quantConv) this.quantConv = new Conv2d(w.at('quant_conv'), { in: moments, out: moments, kernel: 1 });
    if (config.postQuantConv) {
      this.postQuantConv = new Conv2d(w.at('post_quant_conv'), { in: latents, out: latents, kernel: 1 });
    }
    this.decoder = new VaeDecoder(w.at('decoder'), config);
  }

  /**
   * Distribution of the latents of a picture.
   * @param x pictures [N, 3, H, W] in [-1, 1]
   * @returns moments [N, 2 * latent channels, H / f, W / f]: the mean in the first half of the channels, the logarithm
   * of the variance in the second; neither clamped nor multiplied by the scaling factor
   * @throws ShapeError where the pictures have other channels
   */
  encode(x: Tensor): Tensor {
    checkMap('vae.encode', x, this.config.inChannels);
    const moments = this.encoder.forward(x);
    return this.quantConv?.forward(moments) ?? moments;
  }

  /**
   * Picture of latents.
   * @param z latents [N, latent channels, h, w], already divided by the scaling factor
   * @returns pictures [N, 3, f * h, f * w], about in [-1, 1], not clamped
   * @throws ShapeError where the latents have other channels
   */
  decode(z: Tensor): Tensor {
    checkMap('vae.decode', z, this.config.latentChannels);
    return this.decoder.forward(this.postQuantConv?.forward(z) ?? z);
  }
}

function ends(channels: readonly number[]): readonly [number, number] {
  return [dim(channels, 0), dim(channels, -1)];
}

/**
 * The denoiser of Stable Diffusion 1.x and 2.x.
 *
 * Rombach et al. 2022, High-Resolution Image Synthesis with Latent Diffusion Models, https://arxiv.org/abs/2112.10752.
 * Reference: diffusers 0.34.0, models/unets/unet_2d_condition.py.
 *
 * Shapes through Stable Diffusion 2.1 (latents 96 x 96, text [N, 77, 1024]):
 *
 *   sample                 [N, 4, 96, 96]
 *   conv_in                [N, 320, 96, 96]     skip
 *   down 0, 2 + 1 skips    [N, 320, 96, 96]  -> [N, 320, 48, 48]
 *   down 1, 2 + 1 skips    [N, 640, 48, 48]  -> [N, 640, 24, 24]
 *   down 2, 2 + 1 skips    [N, 1280, 24, 24] -> [N, 1280, 12, 12]
 *   down 3, 2 skips        [N, 1280, 12, 12]
 *   mid                    [N, 1280, 12, 12]
 *   up 0, pops 3           [N, 1280, 12, 12] -> [N, 1280, 24, 24]
 *   up 1, pops 3           [N, 1280, 24, 24] -> [N, 1280, 48, 48]
 *   up 2, pops 3           [N, 640, 48, 48]  -> [N, 640, 96, 96]
 *   up 3, pops 3           [N, 320, 96, 96]
 *   conv_out               [N, 4, 96, 96]
 */
import { InputError } from '../../core/errors.ts';
import { checkMember, checkNumbers } from '../../core/kinds.ts';
import type { KeyValues } from '../../nn/attention.ts';
import { Conv2d } from '../../nn/conv2d.ts';
import { StackedLinear, type StackedPart } from '../../nn/linear.ts';
import { Module } from '../../nn/module.ts';
import { GroupNorm } from '../../nn/norm.ts';
import type { Weights } from '../../nn/weights.ts';
import { unary } from '../../tensor/ops/unary.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import { counted } from '../counted.ts';
import { activation } from './activation.ts';
import type { UNetConfig, UNetLevel } from './config.ts';
import { checkText, checkUNetInputs } from './input-checks.ts';
import { TimeEmbedding } from './time-embedding.ts';
import {
  type ResnetBlock,
  type TransformerConfig,
  UNetBlock,
  type UNetBlockConfig,
  UNetMidBlock,
} from './unet-blocks.ts';

/**
 * Sinusoids of the timesteps: with h = floor(C0 / 2) frequencies f_i = 10000^(-i / (h - freqShift)), a row is
 * [cos(t f_0), ..., cos(t f_h-1), sin(t f_0), ..., sin(t f_h-1)], sines first where the config does not flip them.
 * @param timesteps any real numbers
 * @returns [timesteps, C0], C0 the width of the first level; an odd C0 ends in a zero. Arguments are rounded to f32
 * as the reference rounds them: at t = 999 that moves a sine by up to 6e-5.
 * @see Vaswani et al. 2017, https://arxiv.org/abs/1706.03762, section 3.5; diffusers get_timestep_embedding
 */
export function timestepFeatures(timesteps: readonly number[], config: UNetConfig): Float32Array {
  checkNumbers('timestepFeatures', timesteps);
  checkMember('timestepFeatures', config, 'levels', 'list', 'what parseUNetConfig returns, or SD21_UNET');
  const width = level(config, 0).channels;
  const [half, { fround }] = [Math.floor(width / 2), Math];
  const features = new Float32Array(timesteps.length * width);
  for (const [n, t] of timesteps.entries()) {
    for (let i = 0; i < half; i++) {
      const exponent = fround(fround(fround(-Math.log(10000)) * i) / fround(half - config.freqShift));
      const angle = fround(fround(t) * fround(Math.exp(exponent)));
      features[n * width + i + (config.flipSinToCos ? half : 0)] = Math.sin(angle);
      features[n * width + i + (config.flipSinToCos ? 0 : half)] = Math.cos(angle);
    }
  }
  return features;
}

/** Predicts the noise (or velocity, or clean latents) in a batch of latents, guided by text. */
export class UNet2DConditionModel extends Module {
  /** Sizes of the network. */
  readonly config: UNetConfig;
  /** @internal */ readonly timeEmbedding: TimeEmbedding;
  /** @internal */ readonly timeProjections: StackedLinear;
  /** @internal */ readonly convIn: Conv2d;
  /** @internal */ readonly downBlocks: readonly UNetBlock[];
  /** @internal */ readonly midBlock: UNetMidBlock;
  /** @internal */ readonly upBlocks: readonly UNetBlock[];
  /** @internal */ readonly normOut: GroupNorm;
  /** @internal */ readonly convOut: Conv2d;
  /** @internal */ readonly activation: (x: Tensor) => Tensor;

  constructor(w: Weights, config: UNetConfig) {
    super(w);
    const { levels, timeWidth: time, normGroups: groups, normEps: eps } = config;
    const last = level(config, levels.length - 1);
    const width = level(config, 0).channels;
    this.config = config;
    this.convIn = convolution(w.at('conv_in'), config.inChannels, width, config.convInKernel);
    this.timeEmbedding = new TimeEmbedding(w.at('time_embedding'), width, time);
    this.downBlocks = levels.map((_, i) => downBlock(w.at('down_blocks').at(i), config, i));
    const resnet = { in: last.channels, out: last.channels, time, groups, eps, activation: config.activation };
    this.midBlock = new UNetMidBlock(w.at('mid_block'), resnet, transformer(last, config.midDepth, groups));
    this.upBlocks = levels.map((_, i) => upBlock(w.at('up_blocks').at(i), config, i));
    this.timeProjections = new StackedLinear(w, { in: time, parts: this.#timeParts() });
    this.normOut = new GroupNorm(w.at('conv_norm_out'), { channels: width, groups, eps });
    this.convOut = convolution(w.at('conv_out'), width, config.outChannels, config.convOutKernel);
    this.activation = activation(config.activation);
  }

  /**
   * Keys and values of all cross-attentions, the same at every step of a prompt.
   * @param text embeddings [N, S, Dc]
   * @returns one entry for each transformer block, in the order of `forward`
   * @throws ShapeError where the embeddings have another width
   */
  context(text: Tensor): KeyValues[] {
    checkText(this.config, text);
    const blocks = [...this.downBlocks, this.midBlock.attention, ...this.upBlocks];
    return blocks.flatMap(block => block.context(text));
  }

  /**
   * Predicts the noise (or v, or the sample, as the scheduler reads it) in latents of one timestep.
   * @param sample latents [N, Cin, H, W] of any size
   * @param timeFeatures `timestepFeatures` of one timestep for all [1, C0] or of one for each [N, C0]
   * @param context of a batch of N, from `context`
   * @returns [N, Cout, H, W]
   * @throws ShapeError where shapes do not belong together, InputError where the context is another model's
   */
  forward(sample: Tensor, timeFeatures: Tensor, context: readonly KeyValues[]): Tensor {
    checkUNetInputs(this.config, sample, timeFeatures, context);
    const text = [...context]; // each cross-attention takes the first
    const time = this.activation(this.timeEmbedding.forward(timeFeatures, this.activation)); // [1 or N, T]
    const times = this.timeProjections.forward(time); // each residual block takes the first
    let h = this.convIn.forward(this.config.centerInputSample ? unary(sample, { alpha: 2, beta: -1 }) : sample);
    const skips = [h];
    for (const block of this.downBlocks) h = block.forward(h, times, text, skips);
    h = this.midBlock.forward(h, times, text);
    for (const block of this.upBlocks) h = block.forward(h, times, text, skips);
    return this.convOut.forward(this.activation(this.normOut.forward(h)));
  }

  /** Of all residual blocks, in the order of `forward`. */
  #timeParts(): StackedPart[] {
    const resnets = (blocks: readonly UNetBlock[]): ResnetBlock[] => blocks.flatMap(block => block.resnets);
    const { first, second } = this.midBlock;
    const all = [...resnets(this.downBlocks), first, second, ...resnets(this.upBlocks)];
    return all.flatMap(({ timeProjection }) => timeProjection?.part ?? []);
  }
}

/** Way down at level i: the first residual block changes the width. */
function downBlock(w: Weights, config: UNetConfig, i: number): UNetBlock {
  const here = level(config, i);
  const inputs = counted(here.layers, j => (j === 0 ? level(config, i - 1) : here).channels);
  return new UNetBlock(w, blockConfig(config, 'down', i, inputs));
}

/** Way up, i-th from the bottom: one layer more than the way down, the last of whose skips is the level above's. */
function upBlock(w: Weights, config: UNetConfig, i: number): UNetBlock {
  const at = config.levels.length - 1 - i;
  const here = level(config, at);
  const inputs = counted(here.layers + 1, j => {
    const skip = level(config, j === here.layers ? at - 1 : at);
    return level(config, j === 0 ? at + 1 : at).channels + skip.channels;
  });
  return new UNetBlock(w, blockConfig(config, 'up', at, inputs));
}

/** `from`: channels that enter each residual block. The lowest level is not halved, the highest not enlarged. */
function blockConfig(c: UNetConfig, direction: 'down' | 'up', i: number, from: readonly number[]): UNetBlockConfig {
  const here = level(c, i);
  const down = direction === 'down';
  return {
    direction,
    in: from,
    out: here.channels,
    time: c.timeWidth,
    eps: c.normEps,
    resample: down ? i < c.levels.length - 1 : i > 0,
    downsamplePadding: c.downsamplePadding,
    activation: c.activation,
    transformer: transformer(here, down ? here.downDepth : here.upDepth, c.normGroups),
  };
}

function transformer(of: UNetLevel, depth: number, groups: number): TransformerConfig {
  return { width: of.channels, heads: of.heads, contextWidth: of.contextWidth, depth, groups };
}

/** Convolution that keeps the size. */
function convolution(w: Weights, from: number, to: number, kernel: number): Conv2d {
  return new Conv2d(w, { in: from, out: to, kernel, padding: (kernel - 1) / 2 });
}

/** The level at i; beyond either end its neighbour inside. */
function level(config: UNetConfig, i: number): UNetLevel {
  const { levels } = config;
  const found = levels[Math.min(Math.max(i, 0), levels.length - 1)];
  if (!found)
    throw new InputError({ op: 'UNetConfig', problem: 'no levels', expected: 'at least one', received: levels });
  return found;
}

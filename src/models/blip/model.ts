import { Module } from '../../nn/module.ts';
import type { Weights } from '../../nn/weights.ts';
import type { BlipConfig } from './config.ts';
import { BlipTextDecoder } from './text.ts';
import { BlipVisionModel } from './vision.ts';

/**
 * BLIP's captioner: a picture's encoder, and a text decoder that looks at what it returns.
 * @see Li et al. 2022, https://arxiv.org/abs/2201.12086; transformers BlipForConditionalGeneration
 */
export class BlipModel extends Module {
  /** Sizes of both networks. */
  readonly config: BlipConfig;
  /** The picture's encoder: pixels to [N, S, D]. */
  readonly vision: BlipVisionModel;
  /** The text decoder: ids and what it sees of the picture to scores. */
  readonly text: BlipTextDecoder;

  constructor(w: Weights, config: BlipConfig) {
    super(w);
    this.config = config;
    this.vision = new BlipVisionModel(w.at('vision_model'), config.vision);
    this.text = new BlipTextDecoder(w.at('text_decoder').forRows(1, 64), config.text, config.vision.width);
  }
}

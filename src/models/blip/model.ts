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
  readonly config: BlipConfig;
  readonly vision: BlipVisionModel;
  readonly text: BlipTextDecoder;

  constructor(w: Weights, config: BlipConfig) {
    super(w);
    this.config = config;
    this.vision = new BlipVisionModel(w.at('vision_model'), config.vision);
    this.text = new BlipTextDecoder(w.at('text_decoder').forRows(1, 64), config.text, config.vision.width);
  }
}

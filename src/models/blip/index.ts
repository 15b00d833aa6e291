/** The two networks of BLIP's captioner, and the arithmetic of its position embeddings. */
export {
  BLIP_BASE,
  type BlipActivation,
  type BlipConfig,
  type BlipTextConfig,
  type BlipVisionConfig,
  parseBlipConfig,
} from './config.ts';
export { BlipModel } from './model.ts';
export { type Grid, interpolatePositions } from './positions.ts';
export { BlipTextDecoder, type BlipTextMask, type BlipTextStep } from './text.ts';
export { BlipVisionModel, patchGrid } from './vision.ts';

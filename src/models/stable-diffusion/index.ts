/** The three networks of Stable Diffusion 1.x and 2.x, their configs, and the arithmetic of tiled autoencoder runs. */
export type { StableDiffusionActivation } from './activation.ts';
export { ClipTextModel } from './clip-text.ts';
export {
  type ClipTextConfig,
  parseClipTextConfig,
  parseUNetConfig,
  parseVaeConfig,
  SD21_CLIP_TEXT,
  SD21_UNET,
  SD21_VAE,
  type UNetConfig,
  type UNetLevel,
  type VaeConfig,
  vaeScaleFactor,
} from './config.ts';
export { type LoraModules, textEncoderLoraModules, unetLoraModules } from './lora-modules.ts';
export { timestepFeatures, UNet2DConditionModel } from './unet.ts';
export { AutoencoderKL } from './vae.ts';
export {
  cutTile,
  decoderTiling,
  encoderTiling,
  pasteTile,
  type Tile,
  type TileSizes,
  type Tiling,
  tileSizes,
} from './vae-tiling.ts';

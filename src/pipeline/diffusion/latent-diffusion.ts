/** A latent diffusion model: prompts to embeddings, pictures to latents and back, noise predictions, and its samplers. */
import type { DDIMInverseScheduler, DDIMScheduler } from '../../schedulers/index.ts';
import type { ClipTokenizer } from '../../tokenizers/index.ts';
import type { Networks } from '../runtime/device-model.ts';
import { Autoencoder } from './autoencoder.ts';
import { Denoiser } from './denoiser.ts';
import { ClipPromptEncoder } from './prompt-encoder.ts';
import type { StableDiffusionNetworks } from './stable-diffusion-folder.ts';

/** What the phases of a pipeline work with; made once. */
export class LatentDiffusion {
  readonly prompts: ClipPromptEncoder;
  readonly autoencoder: Autoencoder;
  readonly denoiser: Denoiser;
  readonly scheduler: DDIMScheduler;
  readonly inverseScheduler: DDIMInverseScheduler;
  /** Where warnings go. */
  readonly warn: (message: string) => void;

  constructor(
    networks: Networks<StableDiffusionNetworks>,
    tokenizer: ClipTokenizer,
    schedulers: { readonly scheduler: DDIMScheduler; readonly inverseScheduler: DDIMInverseScheduler },
    warn: (message: string) => void,
  ) {
    this.prompts = new ClipPromptEncoder(networks.textEncoder, tokenizer, warn);
    this.autoencoder = new Autoencoder(networks.vae);
    this.denoiser = new Denoiser(networks.unet);
    this.scheduler = schedulers.scheduler;
    this.inverseScheduler = schedulers.inverseScheduler;
    this.warn = warn;
  }

  /** Pixels behind one latent side. */
  get vaeScaleFactor(): number {
    return this.autoencoder.factor;
  }

  /** The size in pixels that the denoiser was trained on. */
  get defaultSize(): { readonly width: number; readonly height: number } {
    const [height, width] = this.denoiser.network.model.config.sampleSize;
    return { width: width * this.vaeScaleFactor, height: height * this.vaeScaleFactor };
  }
}

/** The networks of a latent diffusion model at work: prompts to embeddings, pictures to latents and back, noise predictions. */
import type { ClipTokenizer } from '../../tokenizers/index.ts';
import type { DeviceCall } from '../runtime/device-call.ts';
import type { Networks } from '../runtime/network.ts';
import { Autoencoder } from './autoencoder.ts';
import { Denoiser } from './denoiser.ts';
import { ClipPromptEncoder } from './prompt-encoder.ts';
import type { StableDiffusionNetworks } from './stable-diffusion-folder.ts';

/** What pipelines of one model share; made once. */
export class LatentModel {
  /** Prompts to embeddings. */
  readonly prompts: ClipPromptEncoder;
  /** Pictures to latents and back. */
  readonly autoencoder: Autoencoder;
  /** Latents and embeddings to noise. */
  readonly denoiser: Denoiser;
  /** Where warnings go. */
  readonly warn: (message: string) => void;

  constructor(networks: Networks<StableDiffusionNetworks>, tokenizer: ClipTokenizer, warn: (message: string) => void) {
    this.prompts = new ClipPromptEncoder(networks.textEncoder, tokenizer, warn);
    this.autoencoder = new Autoencoder(networks.vae, warn);
    this.denoiser = new Denoiser(networks.unet);
    this.warn = warn;
  }

  /**
   * The same model on the networks of a plan: it begins with the prompts that are remembered here, and tells nobody anything.
   * @param call of the plan, with the UNet on its device where it is on the real one
   */
  twin(call: DeviceCall, networks: Networks<StableDiffusionNetworks>): LatentModel {
    const { prompts, autoencoder, denoiser } = this;
    const twin = new LatentModel(networks, prompts.tokenizer, () => {});
    twin.autoencoder.slicing = autoencoder.slicing;
    twin.autoencoder.tiling = autoencoder.tiling;
    twin.prompts.remember(prompts);
    if (networks.unet.loaded) twin.denoiser.remember(call.memory, denoiser);
    return twin;
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

/** A latent diffusion model and its samplers. */
import type { DeviceCall } from '../runtime/device-call.ts';
import type { Networks } from '../runtime/network.ts';
import type { Autoencoder } from './autoencoder.ts';
import type { Denoiser } from './denoiser.ts';
import { LatentModel } from './latent-model.ts';
import type { ClipPromptEncoder } from './prompt-encoder.ts';
import type { Sampler } from './sampler.ts';
import type { StableDiffusionNetworks } from './stable-diffusion-folder.ts';

/** What the phases of a pipeline work with; made once. */
export class LatentDiffusion {
  /** Prompts to embeddings. */
  readonly prompts: ClipPromptEncoder;
  /** Pictures to latents and back. */
  readonly autoencoder: Autoencoder;
  /** Latents and embeddings to noise. */
  readonly denoiser: Denoiser;
  /** From noise to pictures. */
  readonly sampler: Sampler;
  /** From pictures to noise. */
  readonly inverseSampler: Sampler;
  /** Where warnings go. */
  readonly warn: (message: string) => void;

  constructor(
    { prompts, autoencoder, denoiser, warn }: LatentModel,
    samplers: { readonly sampler: Sampler; readonly inverseSampler: Sampler },
  ) {
    this.prompts = prompts;
    this.autoencoder = autoencoder;
    this.denoiser = denoiser;
    this.sampler = samplers.sampler;
    this.inverseSampler = samplers.inverseSampler;
    this.warn = warn;
  }

  /**
   * The same model on the networks of a plan: it begins with the prompts that are remembered here, and tells nobody anything.
   * @param call of the plan, with the UNet on its device where it is on the real one
   */
  twin(call: DeviceCall, networks: Networks<StableDiffusionNetworks>): LatentDiffusion {
    const { prompts, autoencoder, denoiser, sampler, inverseSampler } = this;
    const parts = new LatentModel(networks, prompts.tokenizer, () => {});
    const twin = new LatentDiffusion(parts, { sampler, inverseSampler });
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
}

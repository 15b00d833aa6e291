/** A latent diffusion model and its samplers. */
import type { Autoencoder } from './autoencoder.ts';
import type { Denoiser } from './denoiser.ts';
import type { LatentModel } from './latent-model.ts';
import type { ClipPromptEncoder } from './prompt-encoder.ts';
import type { Sampler } from './sampler.ts';

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

  /** Pixels behind one latent side. */
  get vaeScaleFactor(): number {
    return this.autoencoder.factor;
  }
}

import type { DDIMInverseScheduler, DDIMScheduler } from '../../schedulers/index.ts';
import type { Autoencoder } from '../diffusion/autoencoder.ts';
import type { Denoiser } from '../diffusion/denoiser.ts';
import type { PromptEncoder } from '../diffusion/prompt-encoder.ts';

/** What the phases work with. */
export interface Parts {
  readonly text: PromptEncoder;
  readonly vae: Autoencoder;
  readonly denoiser: Denoiser;
  readonly scheduler: DDIMScheduler;
  readonly inverseScheduler: DDIMInverseScheduler;
  /** Mends Q1, Q3, Q4 and Q12 of docs/parity.md. */
  readonly mendQuirks: boolean;
  readonly warn: (message: string) => void;
}

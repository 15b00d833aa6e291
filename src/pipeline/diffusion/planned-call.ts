/** What a planner is asked of, and what it answers for each way to save device memory. */
import type { DeviceError } from '../../core/errors.ts';
import type { DeviceCall } from '../runtime/device-call.ts';
import type { CallPlan } from '../runtime/memory-plan.ts';
import type { LatentModel } from './latent-model.ts';
import type { PromptRequest } from './prompt-request.ts';
import type { StableDiffusionNetworks } from './stable-diffusion-folder.ts';

/** A call as its planner sees it: what it depends on, and the call itself as nobody sees or hears it. */
export interface PlannedCall {
  /** Everything of it that decides what it takes, and nothing else: calls of the same JSON take the same. */
  readonly key: unknown;
  /** Networks that work; default all. */
  readonly networks?: readonly (keyof StableDiffusionNetworks)[];
  /** Rows of the UNet's largest batch; default 1. */
  readonly rows?: number;
  /** Pictures that are decoded; default 1. */
  readonly pictures?: number;
  /** [h, w] of the latents; absent where there are none. */
  readonly sides?: readonly number[];
  /**
   * Makes the call: the same sizes and steps, none of the caller's callbacks, nothing drawn from the caller's generators.
   * @param model on the networks of the plan
   */
  work(call: DeviceCall, model: LatentModel): AsyncGenerator<unknown, unknown>;
}

/** Prompts as a call's key has them. */
export function promptsKey({ positive, negative }: PromptRequest): unknown {
  return [positive, negative].map(prompts => (prompts && 'shape' in prompts ? prompts.shape : prompts?.length));
}

/** What a call takes with some savings. */
export interface SavingsPlan {
  /** In words; '' for none. */
  readonly savings: string;
  /** undefined where the device would refuse it. */
  readonly plan: CallPlan | undefined;
  /** Why. */
  readonly refused: DeviceError | undefined;
}

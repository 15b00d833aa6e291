/** What a call of any model tells its caller while it works, and what it is told. */

import { namesOf } from '../../core/known-names.ts';
import type { AbortSignalLike } from '../../core/platform.ts';

/**
 * What a model is doing. 'load' moves weights to the device, 'compile' has the device build kernels that it has not met; both come in the
 * middle of others, which go on then. 'text', 'encode' and 'decode' are the small networks.
 */
export type Phase = 'load' | 'compile' | 'text' | 'encode' | 'mask' | 'invert' | 'edit' | 'generate' | 'decode';

/** A phase that has begun, or a finished piece of it. */
export interface ProgressEvent {
  /** Which piece of work. */
  readonly phase: Phase;
  /** Pieces done, 0 as the phase begins, to `of`. */
  readonly step: number;
  /**
   * Pieces in all: bytes of weights for 'load', pipelines for 'compile', prompts or written tokens for 'text' (most of them until the text
   * ends), maps for 'mask', steps for 'invert', 'edit' and 'generate', pictures or their tiles for 'encode' and 'decode'.
   */
  readonly of: number;
  /** Milliseconds that the phase has taken so far; loading weights counts to no other, compiling to the one that it is for. */
  readonly ms: number;
  /** Device bytes that the model holds: weights, plans, tensors. */
  readonly bytes: number;
  /** Of the step that is done, for the phases that have steps: 0 to 999 for Stable Diffusion. */
  readonly timestep?: number | undefined;
  /** Pieces a second of late, such as bytes of weights; undefined until some are measured. */
  readonly rate?: number | undefined;
  /** What the phase still takes at this rate, in seconds; 0 at its end. */
  readonly secondsLeft?: number | undefined;
}

/** What every call of every model takes. */
export interface CallOptions {
  /** Ends the call: it rejects with the signal's reason, and the model stays usable. Extra. */
  readonly signal?: AbortSignalLike | undefined;
  /** Told of every finished piece; by default the listener that `fromPretrained` was given. Extra. */
  readonly onProgress?: ((event: ProgressEvent) => void) | undefined;
}

/** Every name of CallOptions. */
export const CALL_OPTIONS: readonly string[] = namesOf<CallOptions>({ signal: 1, onProgress: 1 });

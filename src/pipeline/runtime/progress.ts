/** What a call of any model tells its caller while it works, and what it is told. */

import { namesOf } from '../../core/known-names.ts';
import type { AbortSignalLike } from '../../core/platform.ts';

/** What a model is doing. 'load' moves weights to the device, 'text', 'encode' and 'decode' are the small networks. */
export type Phase = 'load' | 'text' | 'encode' | 'mask' | 'invert' | 'edit' | 'decode';

/** A finished piece of work. */
export interface ProgressEvent {
  /** Which piece of work. */
  readonly phase: Phase;
  /** Pieces done, 1 to `of`. For 'load': bytes. */
  readonly step: number;
  /** Pieces in all. For 'load': bytes. */
  readonly of: number;
  /** Milliseconds that the phase has taken so far; loading weights is a phase of its own. */
  readonly ms: number;
  /** Device bytes that the model holds: weights, plans, tensors. */
  readonly bytes: number;
  /** Of the step that is done, for the phases that have steps: 0 to 999 for Stable Diffusion. */
  readonly timestep?: number | undefined;
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

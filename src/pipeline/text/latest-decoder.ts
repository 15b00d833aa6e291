/** The decoder that wrote last: kept from call to call while the next ones ask for as many rows and about the same length. */
import { alignUp } from '../../core/shape.ts';
import type { CachedDecoder, DecoderSizes } from './cached-decoder.ts';

/** Caches of calls that ask for about the same length are the same. */
const CAPACITY_STEP = 32;

/** A decoder, and what its owner keeps with it. */
export interface HeldDecoder {
  readonly cached: CachedDecoder;
  /** Frees the decoder and what is kept with it. */
  dispose(): void;
}

/** Holds one decoder at a time. */
export class LatestDecoder<D extends HeldDecoder> {
  #held: D | undefined;

  /**
   * The decoder of these sizes; one of others is freed before another is made.
   * @param maxLength longest text in ids
   * @param most ids that the model can read
   */
  take(rows: number, maxLength: number, make: (sizes: DecoderSizes) => D, most: number = Number.POSITIVE_INFINITY): D {
    const capacity = Math.min(most, alignUp(maxLength, CAPACITY_STEP));
    const sizes = this.#held?.cached.sizes;
    if (this.#held && sizes?.rows === rows && sizes.capacity === capacity) return this.#held;
    this.dispose();
    this.#held = make({ rows, capacity });
    return this.#held;
  }

  /** Frees it. */
  dispose(): void {
    this.#held?.dispose();
    this.#held = undefined;
  }
}

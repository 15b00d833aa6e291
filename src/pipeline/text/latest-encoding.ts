/** The inputs that a language model encoded last: kept from call to call while the next ones have the same shape. */
import type { Attachment, Network } from '../runtime/network.ts';

/** Encoded inputs on the device. */
export interface Encoding extends Attachment {
  /** Tells shapes apart. */
  readonly key: string;
}

/** Holds one encoding at a time, and none once its network leaves the device. */
export class LatestEncoding<E extends Encoding> {
  readonly #network: Network<unknown>;
  #held: { readonly encoding: E; dispose(): void } | undefined;

  constructor(network: Network<unknown>) {
    this.#network = network;
  }

  /** The encoding under `key`; one of another key is freed before another is made. */
  async take(key: string, make: () => Promise<E>): Promise<E> {
    if (this.#held?.encoding.key === key) return this.#held.encoding;
    if (this.#held) this.#network.detach(this.#held);
    const encoding = await make();
    const held = {
      encoding,
      dispose: (): void => {
        if (this.#held === held) this.#held = undefined;
        encoding.dispose();
      },
    };
    this.#held = held;
    this.#network.attach(held);
    return encoding;
  }
}

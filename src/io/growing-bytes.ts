/** Bytes that grow as they come, so that memory follows what is there and not what a header claims. */
export class GrowingBytes {
  /** Bytes so far. */
  length = 0;
  readonly #most: number;
  #data: Uint8Array;

  /**
   * @param most bytes that are kept; the rest is dropped
   * @param first bytes to begin with
   */
  constructor(most: number, first: number) {
    this.#most = most;
    this.#data = new Uint8Array(Math.min(most, first));
  }

  /** Whether nothing more is kept. */
  get full(): boolean {
    return this.length >= this.#most;
  }

  push(byte: number): void {
    if (this.full) return;
    if (this.length === this.#data.length) this.#grow();
    this.#data[this.length++] = byte;
  }

  /** Repeats what stands `distance` bytes back; false where nothing stands there. */
  repeat(distance: number, length: number): boolean {
    if (distance > this.length) return false;
    for (let i = 0; i < length && !this.full; i++) this.push(this.#data[this.length - distance] ?? 0);
    return true;
  }

  /** All bytes so far, not a copy. */
  bytes(): Uint8Array {
    return this.#data.subarray(0, this.length);
  }

  #grow(): void {
    const larger = new Uint8Array(Math.min(this.#most, Math.max(1024, 2 * this.#data.length)));
    larger.set(this.#data);
    this.#data = larger;
  }
}

/** Models that share a device: which are held now, and the most bytes that they ever held together. */

/** A model with weights and plans on the device. */
export interface HeldModel {
  /** Device bytes held now. */
  readonly bytes: number;
  /** The most device bytes that it ever held. */
  readonly peakBytes: number;
  /** Frees all of it. */
  dispose(): void;
}

/** Keeps account while one model at a time works; the others hold still. */
export class HeldModels {
  readonly #held = new Set<HeldModel>();
  #peak = 0;

  /** Bytes of all of them now. */
  get bytes(): number {
    return [...this.#held].reduce((sum, model) => sum + model.bytes, 0);
  }

  /** The most that all of them held at once. */
  get peakBytes(): number {
    return this.#peak;
  }

  /** Takes a model in. */
  add<T extends HeldModel>(model: T): T {
    this.#held.add(model);
    this.worked(model);
    return model;
  }

  /** Notes what the devices held while `model` worked. */
  worked(model: HeldModel): void {
    this.#peak = Math.max(this.#peak, this.bytes - model.bytes + model.peakBytes);
  }

  /** Disposes a model and takes it out. */
  release(model: HeldModel): void {
    if (!this.#held.delete(model)) return;
    this.#peak = Math.max(this.#peak, this.bytes + model.peakBytes);
    model.dispose();
  }

  /** Disposes all. */
  releaseAll(): void {
    for (const model of this.#held) this.release(model);
  }
}

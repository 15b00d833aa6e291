import type { Weights } from './weights.ts';

/** A layer or block that owns a place in the checkpoint. `forward` records; nothing runs. */
export class Module {
  /** The checkpoint prefix of its tensors, for messages and tests. */
  readonly path: string;

  constructor(w: Weights) {
    this.path = w.path;
  }
}

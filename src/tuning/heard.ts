/** The problems of a network: what a device that runs nothing is asked to choose variants for. */
import { CheckedTuning, type Op, type Tuning } from '../kernels/op.ts';

/** A problem that some plan needs a variant for. */
export interface Heard {
  /** Name of its op, as `OPS` lists them. */
  readonly op: string;
  /** Plain data. */
  readonly problem: unknown;
  /** How often it was heard; default 1. */
  readonly times?: number | undefined;
}

/** Listens while plans are made, and keeps every problem once. */
export class HeardProblems {
  readonly #heard = new Map<string, { readonly op: string; readonly problem: unknown; times: number }>();

  /** The same tuning, which also tells of every problem: for `compile`, and for weights that are loaded. */
  listen(tuning: Tuning = {}): Tuning {
    return new CheckedTuning(tuning, (op, problem) => this.#hear(op, problem));
  }

  /** All so far, in the order in which they came. */
  get all(): readonly Heard[] {
    return [...this.#heard.values()].map(heard => ({ ...heard }));
  }

  #hear<P>({ name }: Op<P>, problem: P): void {
    const key = `${name} ${JSON.stringify(problem)}`;
    const known = this.#heard.get(key);
    if (known) known.times++;
    else this.#heard.set(key, { op: name, problem, times: 1 });
  }
}

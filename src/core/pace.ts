/** How fast pieces of work get done of late, and what the rest of them takes. */

/** A speed, and what follows from it; nothing until pieces are measured. */
export interface Pace {
  /** Pieces a second. */
  readonly rate?: number;
  /** Seconds until all are done. */
  readonly secondsLeft?: number;
}

/** What is older says little of now: a network that slows down, weights that come from the cache at first. */
const LATELY_MS = 10_000;
/** So many pieces count however old they are: a step of a slow device takes minutes. */
const LATEST = 4;

/** Measures one row of pieces. */
export class PaceMeter {
  readonly #marks: { readonly ms: number; readonly step: number }[] = [];

  /**
   * Takes a mark.
   * @param ms of the work so far, without pauses
   * @param step pieces done
   * @param of pieces in all
   */
  at(ms: number, step: number, of: number): Pace {
    const marks = this.#marks;
    if (step < (marks.at(-1)?.step ?? 0)) marks.length = 0; // it began again
    marks.push({ ms, step });
    while (marks.length > LATEST && ms - (marks[1]?.ms ?? ms) > LATELY_MS) marks.shift();
    const first = marks.find(mark => mark.step < step);
    if (step >= of) return { ...speed(first, ms, step), secondsLeft: 0 };
    const pace = speed(first, ms, step);
    return pace.rate === undefined ? {} : { ...pace, secondsLeft: (of - step) / pace.rate };
  }
}

function speed(first: { readonly ms: number; readonly step: number } | undefined, ms: number, step: number): Pace {
  return first === undefined || ms <= first.ms ? {} : { rate: (1000 * (step - first.step)) / (ms - first.ms) };
}

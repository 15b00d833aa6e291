/** Task by task: candidates are tried, the best of each layout is kept, and at the end each weight gets one layout. */
import { OutOfMemoryError } from '../gpu/out-of-memory.ts';
import { storageBytes } from '../kernels/kernel.ts';
import { conditionsOf, nameOf, type Op, type PackedLayout, type Variant } from '../kernels/op.ts';
import { costOfProblem } from './contender.ts';
import { inLayout, isLayoutFixed, otherLayouts, settledLayout, weightOf } from './layouts.ts';
import { caseOf } from './problem-case.ts';
import { gainOf, race, type Timed } from './race.ts';
import { smaller } from './smaller.ts';
import type { ChoiceFigures, MeasuredChoice } from './table.ts';
import { type Candidate, candidatesFor, defaultOf, serves, type Task } from './tasks.ts';
import { type Entrant, LostBy, LostTogether, type Refusals, Trial, type TrialContext } from './trial.ts';

/** What is asked beside the context. */
interface Asked {
  readonly exhaustive: boolean;
  readonly variants: Readonly<Record<string, readonly Variant<never>[]>>;
}

/** A task measured in a layout. */
interface Measured<P> {
  readonly task: Task<P>;
  readonly chosen: Candidate<P>;
  readonly figures: ChoiceFigures;
  /** Milliseconds of the whole problem, as often as it was heard. */
  readonly total: number;
}

/** A task and what came of it, in each layout that was tried; that of the device without a table first. */
interface Result<P> {
  readonly task: Task<P>;
  readonly weight: string | undefined;
  readonly isFixed: boolean;
  readonly layouts: Map<PackedLayout | undefined, Measured<P>>;
}

/** Floating-point operations of a measured run: more would only take longer. */
const MOST_FLOPS = { software: 1.5e8, gpu: 1e11 };
/** Bytes of the activations of a measured run. */
const MOST_BYTES = { software: 2 ** 26, gpu: 2 ** 29 };
/** Milliseconds of a sample: on software the clock is exact, timestamps of browsers are not. */
const SAMPLE_MS = { software: 4, gpu: 20 };
/** Samples of the last round, and how many more decide. */
const SAMPLES = 9;
const MORE_SAMPLES = 12;
/** Share of the default's time that another must save, beyond the error of what was measured, to take its place. */
const LEAST_GAIN = 0.02;
/** What no problem of a task may lose to the choice. */
const MOST_LOSS = 0.03;
/** Devices that the candidates of one task may lose. */
const MOST_LOSSES = 3;

/** Measures tasks and settles their choices. */
export class Settling {
  readonly #context: () => TrialContext;
  readonly #asked: Asked;
  readonly #results: Result<never>[] = [];

  constructor(context: () => TrialContext, asked: Asked) {
    this.#context = context;
    this.#asked = asked;
  }

  /** Measures a task, in each layout that its weights may lie in. */
  async measure<P>(task: Task<P>): Promise<void> {
    const [first] = task.members;
    if (first === undefined) return;
    const { op } = task;
    const own = op.packed?.(first);
    const isFixed = task.members.some(problem => isLayoutFixed(op.name, problem));
    const layouts = new Map<PackedLayout | undefined, Measured<P>>();
    for (const layout of [own, ...(own && !isFixed ? otherLayouts(own) : [])]) {
      const members =
        layout === own || layout === undefined ? task.members : task.members.map(p => inLayout(op.name, p, layout));
      const measured = await this.#inLayout({ ...task, members });
      if (measured) layouts.set(layout, measured);
    }
    this.#results.push({ task, weight: weightOf(op.name, first), isFixed, layouts } as unknown as Result<never>);
  }

  /** The choices: each weight in one layout. */
  choices(): MeasuredChoice[] {
    const settled = this.#settledLayouts();
    return this.#results.flatMap(({ weight, layouts }) => {
      const [own] = layouts.keys();
      const measured = layouts.get(weight === undefined ? own : (settled.get(weight) ?? own));
      return measured ? [choiceOf(measured)] : [];
    });
  }

  #settledLayouts(): ReadonlyMap<string, PackedLayout> {
    const readers = new Map<string, Result<never>[]>();
    for (const result of this.#results) {
      if (result.weight) readers.set(result.weight, [...(readers.get(result.weight) ?? []), result]);
    }
    const settled = new Map<string, PackedLayout>();
    for (const [weight, results] of readers) {
      const [first] = results[0]?.layouts.keys() ?? [];
      if (!first || results.some(({ isFixed }) => isFixed)) continue;
      const tried = [first, ...otherLayouts(first)];
      const times = new Map(tried.map(layout => [layout, results.map(({ layouts }) => layouts.get(layout)?.total)]));
      settled.set(weight, settledLayout(first, times));
    }
    return settled;
  }

  /** The best of a layout; undefined where nothing serves all problems in it. Who loses the device is thrown out, and all begins anew. */
  async #inLayout<P>(task: Task<P>): Promise<Measured<P> | undefined> {
    const refusals: Refusals = new Map();
    let oneByOne = false;
    for (let losses = 0; ; losses++) {
      try {
        return await this.#once(task, refusals, { ...this.#context(), oneByOne });
      } catch (error) {
        const isTheirs = error instanceof LostBy || error instanceof LostTogether;
        if (!isTheirs || losses >= MOST_LOSSES) throw error;
        if (error instanceof LostBy) refusals.set(error.by, error.message);
        else oneByOne = true;
        await this.#context().gpu.renew();
      }
    }
  }

  async #once<P>(task: Task<P>, refusals: Refusals, context: TrialContext): Promise<Measured<P> | undefined> {
    const { op, members } = task;
    const [first] = members;
    const { caps } = context.gpu;
    const planted = (this.#asked.variants[op.name] ?? []) as unknown as readonly Variant<P>[];
    const candidates = candidatesFor(task, caps, planted);
    if (first === undefined || candidates.length === 0) return undefined;
    const standard = nameOf(defaultOf(op, caps, first).variant);
    const measured = this.#sized(op, first);
    const trial = await this.#open(context, op, measured, first);
    try {
      const entrants = await trial.enter(defaultFirst(candidates, standard), refusals);
      const [stays] = entrants;
      if (!stays) return undefined;
      const decided = await this.#race(entrants, stays);
      const scale = costOfProblem(op, caps, first) / Math.max(1, costOfProblem(op, caps, measured));
      const made = (timed: Timed<Entrant<P>>, standing: Timed<Entrant<P>>): Measured<P> => ({
        task,
        chosen: timed.runner.candidate,
        figures: figuresOf(timed, standing, entrants.length, refusals),
        total: timed.ms * scale * task.times,
      });
      const { winner, standing } = decided;
      if (winner === standing) return made(standing, standing);
      trial.dispose();
      const others = members.slice(1).map(problem => ({ problem, own: this.#sized(op, problem) }));
      for (const { problem, own } of others) {
        if (!(await this.#holds(op, own, problem, winner.runner.candidate, stays.candidate)))
          return made(standing, standing);
      }
      return made(winner, standing);
    } finally {
      trial.dispose();
    }
  }

  /** The fastest, where it gains for sure; else the one that stays. */
  async #race<P>(
    entrants: readonly Entrant<P>[],
    stays: Entrant<P>,
  ): Promise<{ readonly winner: Timed<Entrant<P>>; readonly standing: Timed<Entrant<P>> }> {
    const { exhaustive } = this.#asked;
    const all = await race(entrants, stays, { ...this.#sampling, samples: SAMPLES, exhaustive });
    const last = await this.#surer(all, stays);
    const of = (all: readonly Timed<Entrant<P>>[], runner: Entrant<P> | undefined): Timed<Entrant<P>> =>
      all.find(timed => timed.runner === runner) ?? { runner: stays, ms: Number.NaN, samples: [] };
    const [fastest] = last;
    const standing = of(last, stays);
    if (!fastest || fastest.runner === stays) return { winner: standing, standing };
    const gain = gainOf(fastest.samples, standing.samples);
    if (gain.share - gain.error >= LEAST_GAIN) return { winner: fastest, standing };
    if (gain.share + 2 * gain.error < LEAST_GAIN) return { winner: standing, standing };
    const more = await race([stays, fastest.runner], stays, { ...this.#sampling, samples: MORE_SAMPLES });
    const [again, beside] = [of(more, fastest.runner), of(more, stays)];
    const [fast, slow] = [
      [...fastest.samples, ...again.samples],
      [...standing.samples, ...beside.samples],
    ];
    const sure = gainOf(fast, slow);
    const isFaster = sure.share - sure.error >= LEAST_GAIN && again.ms <= beside.ms;
    return { winner: isFaster ? again : beside, standing: beside };
  }

  /** The same, where the second may well be the first: both and the one that stays run on. */
  async #surer<P>(last: readonly Timed<Entrant<P>>[], stays: Entrant<P>): Promise<readonly Timed<Entrant<P>>[]> {
    const [first, second] = last;
    if (!first || !second) return last;
    const gain = gainOf(second.samples, first.samples);
    if (gain.share + 2 * gain.error < MOST_LOSS) return last;
    const front = last.filter(timed => timed === first || timed === second || timed.runner === stays);
    const runners = front.map(({ runner }) => runner);
    return race(runners, stays, { ...this.#sampling, samples: MORE_SAMPLES, exhaustive: true });
  }

  /** Whether a choice is right for another problem of its task, and loses nothing there. */
  async #holds<P>(op: Op<P>, problem: P, own: P, chosen: Candidate<P>, standing: Candidate<P>): Promise<boolean> {
    const context = this.#context();
    const { caps } = context.gpu;
    const standard = defaultOf(op, caps, own);
    const usual = nameOf(standard.variant) === nameOf(standing.variant) ? standing : standard;
    if (!serves(caps, chosen, own)) return false;
    const refusals: Refusals = new Map();
    const trial = await this.#open(context, op, problem, own);
    try {
      const entrants = await trial.enter([usual, chosen], refusals);
      const [stays, other] = entrants;
      if (!stays || !other) return stays?.candidate === chosen;
      const timed = await race(entrants, stays, { ...this.#sampling, samples: 7, exhaustive: true });
      const of = (entrant: Entrant<P>): readonly number[] =>
        timed.find(({ runner }) => runner === entrant)?.samples ?? [];
      const gain = gainOf(of(other), of(stays));
      return gain.share + gain.error >= -MOST_LOSS;
    } finally {
      trial.dispose();
    }
  }

  get #sampling(): { readonly sampleMs: number } {
    return { sampleMs: this.#context().gpu.caps.software ? SAMPLE_MS.software : SAMPLE_MS.gpu };
  }

  /** The problem with so little to do that a run takes a moment, and no buffer exceeds the device. */
  #sized<P>(op: Op<P>, problem: P): P {
    const { caps } = this.#context().gpu;
    const kind = caps.software ? 'software' : 'gpu';
    let share = Math.min(1, MOST_FLOPS[kind] / Math.max(1, costOfProblem(op, caps, problem)));
    const most = Math.min(MOST_BYTES[kind], caps.maxBufferBytes);
    for (let sized = smaller(op.name, problem, share); ; share /= 2) {
      sized = smaller(op.name, problem, share);
      if (share < 1e-4 || activationBytes(op, sized, caps) <= most) return sized;
    }
  }

  /** A smaller one, where memory is short. */
  async #open<P>(context: TrialContext, op: Op<P>, problem: P, own: P): Promise<Trial<P>> {
    try {
      return await Trial.open(context, op, problem, own);
    } catch (error) {
      if (!(error instanceof OutOfMemoryError)) throw error;
      return Trial.open(context, op, smaller(op.name, problem, 1 / 4), own);
    }
  }
}

/** Bytes of the largest buffer but weights. */
function activationBytes<P>(op: Op<P>, problem: P, caps: TrialContext['gpu']['caps']): number {
  const { buffers } = caseOf(op, problem, caps);
  const all = Object.entries(buffers).filter(([name]) => name !== 'b');
  return Math.max(...all.map(([, [elements, storage]]) => elements * storageBytes(storage)));
}

/** The variant that is taken without a table, in its own cut, before all others: it is what others are compared with. */
function defaultFirst<P>(candidates: readonly Candidate<P>[], standard: string): Candidate<P>[] {
  const isDefault = ({ variant, tiles }: Candidate<P>): boolean => !tiles && nameOf(variant) === standard;
  return [...candidates.filter(isDefault), ...candidates.filter(candidate => !isDefault(candidate))];
}

function figuresOf<P>(
  timed: Timed<Entrant<P>>,
  standing: Timed<Entrant<P>>,
  candidates: number,
  refusals: Refusals,
): ChoiceFigures {
  const figures = { ms: timed.ms, defaultMs: standing.ms, candidates };
  return refusals.size > 0 ? { ...figures, refused: Object.fromEntries(refusals) } : figures;
}

function choiceOf<P>({ task: { op, members }, chosen, figures }: Measured<P>): MeasuredChoice {
  const [first] = members as readonly [P];
  const { variant, tiles } = chosen;
  const where = conditionsOf(op, first);
  return { op: op.name, where, variant: nameOf(variant), ...(tiles && { tiles }), figures };
}

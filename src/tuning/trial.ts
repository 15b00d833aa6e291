/** A problem of a task on its buffers: candidates are compiled, checked and thrown out or kept. */

import type { AbortSignalLike } from '../core/platform.ts';
import { unlessAborted } from '../core/unless-aborted.ts';
import type { Gpu } from '../gpu/device.ts';
import { DeviceLostError } from '../gpu/device-lost.ts';
import type { Op } from '../kernels/op.ts';
import { disagreement, exactSize, type Sample, samplesOf, toleranceOf, wrongMoments, wrongSample } from './compare.ts';
import { Contender, callsBy } from './contender.ts';
import type { Meter } from './meter.ts';
import { OpenCase } from './open-case.ts';
import { caseOf } from './problem-case.ts';
import type { Runner } from './race.ts';
import type { Candidate } from './tasks.ts';

/** A candidate took the device with it. */
export class LostBy extends DeviceLostError {
  /** The candidate's name. */
  readonly by: string;

  /** @param cause the device's own error */
  constructor(by: string, cause: DeviceLostError) {
    super('tune', cause.loss, { cause });
    this.by = by;
  }
}

/** The device was lost while several candidates were compiled: one after another, it shows by whom. */
export class LostTogether extends DeviceLostError {}

/** Where and how trials are made. */
export interface TrialContext {
  readonly gpu: Gpu;
  readonly meter: Meter;
  readonly signal?: AbortSignalLike | undefined;
  /** Milliseconds that one candidate may take to compile. */
  readonly longestCompile: number;
  /** Compiles one after another, to see who loses the device; default beside each other. */
  readonly oneByOne?: boolean | undefined;
}

/** A candidate that was right. */
export interface Entrant<P> extends Runner {
  readonly candidate: Candidate<P>;
}

/** Candidates that are thrown out, by name, and why. */
export type Refusals = Map<string, string>;

/** A problem on the device. */
export class Trial<P> {
  readonly #context: TrialContext;
  readonly #problem: P;
  readonly #own: P;
  readonly #case: OpenCase;
  readonly #samples: readonly Sample[];
  readonly #contenders: Contender[] = [];
  /** Results of candidates that agree so far, of which the first is compared with. */
  #reference: { readonly entrant: Entrant<P>; readonly result: Float32Array } | undefined;

  private constructor(context: TrialContext, problem: P, own: P, open: OpenCase) {
    this.#context = context;
    this.#problem = problem;
    this.#own = own;
    this.#case = open;
    this.#samples = samplesOf(open.problemCase, open.values);
  }

  /**
   * Fills buffers for a problem.
   * @param problem what is run
   * @param own the problem whose own tiles candidates without tiles get, where `problem` is a smaller one
   */
  static async open<P>(context: TrialContext, op: Op<P>, problem: P, own: P = problem): Promise<Trial<P>> {
    const { gpu } = context;
    const open = await OpenCase.open(gpu, caseOf(op, problem, gpu.caps));
    return new Trial(context, problem, own, open);
  }

  /**
   * Compiles all candidates beside each other and checks one after another; those that fail are refused by name.
   * @returns those that are right, in their order
   * @throws LostBy where one loses the device, LostTogether where several were compiled then, and the signal's reason
   */
  async enter(candidates: readonly Candidate<P>[], refusals: Refusals): Promise<Entrant<P>[]> {
    const { signal } = this.#context;
    const some = candidates.filter(({ name }) => !refusals.has(name));
    const built = await this.#buildAll(some);
    const queue: { readonly entrant: Entrant<P>; readonly made: Contender }[] = [];
    for (const [i, candidate] of some.entries()) {
      const made = built[i];
      if (made instanceof Contender) queue.push({ entrant: this.#entrant(candidate, made), made });
      else refusals.set(candidate.name, made ?? 'it was not built');
    }
    let right: typeof queue = [];
    for (let next = queue.shift(); next; next = queue.shift()) {
      signal?.throwIfAborted();
      const { wrong, reference } = await this.#check(next.entrant, next.made);
      if (wrong !== undefined) refusals.set(reference ?? next.entrant.name, wrong);
      if (reference !== undefined) {
        // Who agreed with it is asked anew.
        queue.push(...right.filter(({ entrant }) => entrant.name !== reference));
        right = [];
      }
      if (wrong === undefined || reference !== undefined) right.push(next);
    }
    const kept = new Set(right.map(({ entrant }) => entrant));
    return some.flatMap(({ name }) => [...kept].filter(entrant => entrant.name === name));
  }

  async #buildAll(some: readonly Candidate<P>[]): Promise<(Contender | string)[]> {
    const { gpu, signal, oneByOne } = this.#context;
    const built: (Contender | string)[] = [];
    if (oneByOne) {
      for (const candidate of some) {
        signal?.throwIfAborted();
        built.push(await this.#watched(candidate.name, this.#build(candidate)));
        const failed = typeof built.at(-1) === 'string';
        if (failed && (await gpu.isLost())) throw new LostBy(candidate.name, this.#loss());
      }
      return built;
    }
    built.push(...(await unlessAborted(signal, Promise.all(some.map(candidate => this.#build(candidate))))));
    const failed = built.some(one => typeof one === 'string');
    if (failed && (await gpu.isLost())) throw new LostTogether('tune', gpu.loss ?? UNKNOWN_LOSS);
    return built;
  }

  #loss(): DeviceLostError {
    return new DeviceLostError('tune', this.#context.gpu.loss ?? UNKNOWN_LOSS);
  }

  /** A contender, or what is wrong with it. What takes too long, or is no longer waited for, frees itself when it is there. */
  async #build({ variant, tiles }: Candidate<P>): Promise<Contender | string> {
    const { gpu, longestCompile, signal } = this.#context;
    let late = false;
    const build = async (): Promise<Contender | string> => {
      try {
        const cut = tiles ?? variant.tiles(gpu.caps, this.#own);
        const contender = await Contender.build(gpu, callsBy(variant, gpu.caps, this.#problem, cut), this.#case);
        if (late || signal?.aborted) contender.dispose();
        else this.#contenders.push(contender);
        return contender;
      } catch (error) {
        return reasonOf(error);
      }
    };
    let timer: ReturnType<typeof setTimeout> | undefined;
    const limit = new Promise<string>(resolve => {
      timer = setTimeout(() => {
        late = true;
        resolve(`it was not compiled within ${longestCompile} ms`);
      }, longestCompile);
    });
    return Promise.race([build(), limit]).finally(() => clearTimeout(timer));
  }

  #entrant(candidate: Candidate<P>, { list }: Contender): Entrant<P> {
    const { meter, signal } = this.#context;
    const { name } = candidate;
    const sample = async (times: number): Promise<number> => {
      signal?.throwIfAborted();
      const reading = await this.#watched(name, meter.measure(list, times));
      return meter.costOf(reading);
    };
    return { name, candidate, sample };
  }

  /** Work of a candidate on the device, which it may lose. */
  async #watched<T>(name: string, work: Promise<T>): Promise<T> {
    const { gpu, signal } = this.#context;
    try {
      return await unlessAborted(signal, work);
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof DeviceLostError) throw new LostBy(name, error);
      if (await gpu.isLost()) throw new LostBy(name, this.#loss());
      throw error;
    }
  }

  /** What is wrong; with the reference, where two disagree and f64 says so. */
  async #check(
    entrant: Entrant<P>,
    { list }: Contender,
  ): Promise<{ readonly wrong?: string | undefined; readonly reference?: string }> {
    const { gpu } = this.#context;
    const { problemCase, values } = this.#case;
    const run = async (): Promise<Float32Array> => {
      this.#case.spoil();
      await gpu.guarded(entrant.name, () => list.submit());
      await gpu.idle();
      return this.#case.read();
    };
    let result: Float32Array;
    try {
      result = await this.#watched(entrant.name, run());
    } catch (error) {
      if (error instanceof LostBy || this.#context.signal?.aborted) throw error;
      return { wrong: reasonOf(error) };
    }
    const tolerance = toleranceOf(problemCase);
    const size = exactSize(this.#samples);
    const wrong = wrongSample(result, this.#samples, tolerance, size) ?? (await this.#wrongMoments(result));
    if (wrong !== undefined) return { wrong };
    const reference = this.#reference;
    if (!reference) {
      this.#reference = { entrant, result };
      return {};
    }
    const at = disagreement(result, reference.result, tolerance, size);
    if (at === undefined) return {};
    const sample = { at, expected: problemCase.expected(values, at) };
    const own = wrongSample(result, [sample], tolerance, size);
    if (own !== undefined) return { wrong: own };
    const others =
      wrongSample(reference.result, [sample], tolerance, size) ?? `element ${at} differs from that of ${entrant.name}`;
    this.#reference = { entrant, result };
    return { wrong: others, reference: reference.entrant.name };
  }

  async #wrongMoments(result: Float32Array): Promise<string | undefined> {
    const { moments } = this.#case.problemCase;
    return moments && wrongMoments(moments, result, await this.#case.read('moments'));
  }

  /** Frees all. */
  dispose(): void {
    for (const contender of this.#contenders) contender.dispose();
    this.#case.dispose();
  }
}

const UNKNOWN_LOSS = { reason: 'unknown', message: 'the device was lost', losses: 0 } as const;
const LONGEST_REASON = 300;

function reasonOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.length > LONGEST_REASON ? `${text.slice(0, LONGEST_REASON)} …` : text;
}

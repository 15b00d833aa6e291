/**
 * Measures which variant, in which cut, a device runs each problem of a network best by. Each candidate is checked before it is timed, and
 * what the device takes without a table stays unless another one gains for sure: tuning makes nothing wrong, and nothing slower.
 */
import { InputError, PentimentoError } from '../core/errors.ts';
import { checkMember } from '../core/kinds.ts';
import { checkNames, namesOf } from '../core/known-names.ts';
import type { AbortSignalLike } from '../core/platform.ts';
import type { Gpu } from '../gpu/device.ts';
import { loadTexts } from '../kernels/load-texts.ts';
import type { Op, Variant } from '../kernels/op.ts';
import { OPS } from '../kernels/registry.ts';
import { KERNELS_HASH, LIBRARY_VERSION } from './built-from.ts';
import type { Heard } from './heard.ts';
import { type Clock, Meter } from './meter.ts';
import { Settling } from './settling.ts';
import { adapterOf, factsOf, type TuningTable } from './table.ts';
import { type Counted, type Task, tasksOf } from './tasks.ts';
import type { TrialContext } from './trial.ts';

/** Where tuning is. */
export interface TuneProgress {
  /** Choices that are made. */
  readonly done: number;
  /** Choices in all. */
  readonly of: number;
  /** Name of the op that is measured next; of the last one at the end. */
  readonly op: string;
  /** What tells its problem from the op's others, in words: `k 320, y.pitch 320`. */
  readonly about: string;
}

/** How a network is tuned. */
export interface TuneOptions {
  /** Ends tuning at once with its reason; nothing stays on the device. */
  readonly signal?: AbortSignalLike | undefined;
  /** Told before each choice, and at the end. */
  readonly onProgress?: ((progress: TuneProgress) => void) | undefined;
  /** By which clock; default as `Meter.create`. */
  readonly clock?: Clock | undefined;
  /** Times all candidates to the end, which takes several times as long: to see what halving misses. Default false. */
  readonly exhaustive?: boolean | undefined;
  /** Milliseconds that one candidate may take to compile; default 60000. */
  readonly longestCompileMs?: number | undefined;
  /** @internal More variants, by op: tests plant wrong ones. */
  readonly variants?: Readonly<Record<string, readonly Variant<never>[]>> | undefined;
}

const OPTIONS = namesOf<TuneOptions>({
  ...{ signal: 1, onProgress: 1, clock: 1, exhaustive: 1 },
  ...{ longestCompileMs: 1, variants: 1 },
});
const LONGEST_COMPILE_MS = 60_000;

/**
 * Tunes the problems of a network on a device. Where a candidate loses the device, it is thrown out and the device renewed.
 *
 * @param problems as `HeardProblems` heard them while plans were made on a device that runs nothing
 * @returns a choice for each group of problems that choices may go by; a table to be stored as JSON
 * @throws InputError for options or ops that there are not, DeviceError and DeviceLostError for a device that can do no more, the signal's
 * reason
 */
export async function tune(gpu: Gpu, problems: readonly Heard[], options: TuneOptions = {}): Promise<TuningTable> {
  checkNames('tune', options, OPTIONS);
  const { signal, onProgress, clock, exhaustive = false, longestCompileMs = LONGEST_COMPILE_MS } = options;
  checkMember('tune', gpu, 'check', 'function', 'a Gpu');
  checkProblems(problems);
  signal?.throwIfAborted();
  gpu.check('tune');
  await loadTexts(gpu.caps);
  const tasks = allTasks(gpu, problems);
  const meters = new Meters(gpu, clock);
  try {
    const context = (): TrialContext => ({ gpu, meter: meters.current, signal, longestCompile: longestCompileMs });
    const settling = new Settling(context, { exhaustive, variants: options.variants ?? {} });
    for (const [done, task] of tasks.entries()) {
      signal?.throwIfAborted();
      onProgress?.({ done, of: tasks.length, op: task.op.name, about: aboutOf(task) });
      await settling.measure(task);
    }
    const last = tasks.at(-1);
    if (last) onProgress?.({ done: tasks.length, of: tasks.length, op: last.op.name, about: aboutOf(last) });
    return {
      version: 1,
      library: LIBRARY_VERSION,
      adapter: adapterOf(gpu.caps),
      device: factsOf(gpu.caps),
      kernels: KERNELS_HASH,
      made: new Date().toISOString(),
      clock: meters.current.clock,
      choices: settling.choices(),
    };
  } finally {
    meters.dispose();
  }
}

function checkProblem<P>(op: Op<P>, problem: P): void {
  try {
    op.check(problem);
  } catch (cause) {
    if (cause instanceof PentimentoError) throw cause;
    throw new InputError({ op: 'tune', problem: `this is no problem of '${op.name}'`, value: problem, cause }); // fields are missing
  }
}

/** A meter of the device that is there: a lost one takes its meter along. */
class Meters {
  readonly #gpu: Gpu;
  readonly #clock: Clock | undefined;
  #meter: Meter;
  #device: Gpu['device'];

  constructor(gpu: Gpu, clock: Clock | undefined) {
    this.#gpu = gpu;
    this.#clock = clock;
    this.#device = gpu.device;
    this.#meter = Meter.create(gpu, { clock });
  }

  get current(): Meter {
    if (this.#device !== this.#gpu.device) {
      this.#device = this.#gpu.device;
      this.#meter = Meter.create(this.#gpu, { clock: this.#clock });
    }
    return this.#meter;
  }

  dispose(): void {
    this.#meter.dispose();
  }
}

function checkProblems(problems: unknown): void {
  const fix = 'Hear them with problemsOf() or HeardProblems.';
  const fail = (problem: string, expected: string, value: unknown, path: string): never => {
    throw new InputError({ op: 'tune', problem, expected, value, path, fix });
  };
  if (!Array.isArray(problems)) fail('no problems', 'a list', problems, 'problems');
  for (const [i, heard] of (problems as readonly unknown[]).entries()) {
    const { op, problem, times = 1 } = Object(heard) as Readonly<Record<string, unknown>>;
    const path = `problems[${i}]`;
    if (typeof op !== 'string') fail('no problem of an op', 'the name of an op', op, `${path}.op`);
    if (typeof problem !== 'object' || problem === null) fail('no problem', 'an object', problem, `${path}.problem`);
    if (!(typeof times === 'number' && times > 0)) fail('heard no times', 'a number above 0', times, `${path}.times`);
  }
}

/** The tasks of all ops, in the order of `OPS`. @throws InputError for an op that is none of them, and a problem that is none of its */
function allTasks({ caps }: Gpu, problems: readonly Heard[]): Task<never>[] {
  const known = OPS.map(op => op.name);
  for (const [i, { op }] of problems.entries()) {
    if (known.includes(op)) continue;
    const problem = 'there is no such op with variants';
    throw new InputError({ op: 'tune', problem, expected: known, value: op, path: `problems[${i}].op` });
  }
  return OPS.flatMap(op => {
    const own = problems.filter(heard => heard.op === op.name);
    // Whoever heard them heard them of this op.
    const counted = own.map(({ problem, times = 1 }) => ({ problem, times })) as Counted<never>[];
    for (const { problem } of counted) checkProblem(op as Op<never>, problem);
    return tasksOf(op as Op<never>, caps, counted);
  });
}

/** What tells a task from others of its op: the numbers that its problems share. */
function aboutOf({ key, op }: Task<never>): string {
  const conditions = JSON.parse(key.slice(op.name.length + 1)) as Readonly<Record<string, unknown>>;
  const said = Object.entries(conditions).flatMap(([field, condition]) => {
    if (condition === false) return [];
    return [`${field} ${Array.isArray(condition) ? condition[0] : condition}`];
  });
  return said.join(', ');
}

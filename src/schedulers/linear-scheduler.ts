/**
 * What the samplers of text-to-image models share beside DDIM: a run as pure values (linearSteps), and diffusers' way of
 * stepping on the host (setTimesteps, scaleModelInput, step), which works through the same values. Which timesteps and weights
 * a sampler has is in its own file, the form of the weights in linear-step.ts.
 */
import { InputError } from '../core/errors.ts';
import { checkNames, namesOf } from '../core/known-names.ts';
import { type NdArray, ndarray } from '../core/ndarray.ts';
import type { ScheduleFields, SchedulerConfig } from './config.ts';
import { applyLinearStep, type LinearStep } from './linear-step.ts';
import { NoiseTable } from './noise-table.ts';
import { freshNoise, mixWithNoise, type NoiseMix, type NoiseSource } from './noising.ts';
import type { Course, Run } from './run.ts';
import { type StepResult, sqrt32 } from './update.ts';

/** Which steps of a run are wanted. */
export interface RunPart {
  /** Number of the first step, 0 to the number of timesteps; default 0. What a sampler remembers begins there too. */
  readonly from?: number;
  /** Number behind the last step; default all. */
  readonly to?: number;
}

/** What a sampling loop asks of any sampler: pure values for a run. Nothing of it changes the sampler. */
export interface LinearSampler {
  /** T: training timesteps. */
  readonly length: number;
  /** Values of the sample's shape that a step keeps for the next one. */
  readonly keptSlots: number;
  /** Deviation of the noise that a whole run starts from. */
  initNoiseSigmaFor(run: Run): number;
  /** Timesteps of a run, in the order of use: one for each evaluation of the model. */
  timestepsFor(run: Run): readonly number[];
  /** The steps of a run from `from` to before `to`. */
  linearSteps(run: Run, part?: RunPart): readonly LinearStep[];
}

const PART = namesOf<RunPart>({ from: 1, to: 1 });
const SOURCE = namesOf<NoiseSource>({ generator: 1, varianceNoise: 1 });

/** A run that step() is in. */
interface Progress {
  readonly first: number;
  readonly steps: readonly LinearStep[];
  readonly kept: readonly Float32Array[];
  /** Number of the next step in the whole run. */
  readonly next: number;
}

/** Tables, runs and stepping of a sampler whose steps are weighted sums. */
export abstract class LinearScheduler<F extends ScheduleFields> extends NoiseTable<F> implements LinearSampler {
  /** Model evaluations per timestep of `timesteps`. */
  readonly order = 1;
  /** Values of the sample's shape that a step keeps for the next one. */
  abstract readonly keptSlots: number;
  /** Timesteps in the order of use; all T before setTimesteps(). */
  timesteps: readonly number[];
  /** Noise levels before each step and behind the last; empty where the sampler goes by timesteps alone. */
  sigmas: readonly number[] = [];
  /** N, or null before setTimesteps(). */
  numInferenceSteps: number | null = null;
  private course: Course | undefined;
  private beginIndex: number | undefined;
  private progress: Progress | undefined;

  constructor(config: SchedulerConfig<F>, trained?: readonly number[] | null) {
    super(config, trained);
    this.timesteps = Array.from({ length: this.length }, (_, i) => this.length - 1 - i);
  }

  /** Where a run leads. */
  protected abstract courseOf(run: Run): Course;

  /** The steps of a run from number `from` to the end; what they keep of values that nobody kept is of no account. */
  protected abstract stepsOf(course: Course, from: number): LinearStep[];

  /** Those steps, of which the first keeps nothing of what was kept before. */
  private stepsFrom(course: Course, from: number): LinearStep[] {
    const [first, ...rest] = this.stepsOf(course, from);
    if (!first) return [];
    return [{ ...first, keep: first.keep.map(sum => ({ ...sum, kept: sum.kept.map(() => 0) })) }, ...rest];
  }

  /** The first of the levels of training where no run is set, of a run where there is one. */
  protected initSigmaOf(_course: Course | undefined): number {
    return 1;
  }

  /** Deviation of the noise that sampling starts from: of the run of setTimesteps(), or of the whole schedule. */
  get initNoiseSigma(): number {
    return this.initSigmaOf(this.course);
  }

  /** The same of any run. @throws InputError as timestepsFor() */
  initNoiseSigmaFor(run: Run): number {
    return this.initSigmaOf(this.courseOf(run));
  }

  /**
   * Timesteps of a run, in the order of use. Changes nothing.
   * @param run its number of steps N, 1 to T, or more
   * @returns one for each evaluation of the model
   * @throws InputError when N is outside that range, for options that the sampler does not take, or for a setting that it has not
   */
  timestepsFor(run: Run): readonly number[] {
    return this.courseOf(run).timesteps;
  }

  /**
   * The steps of a run, or those from `from` to before `to`, worked out at once. Unlike setTimesteps() it changes nothing.
   * @param run its number of steps N, 1 to T, or more
   * @param part which are wanted; what a sampler remembers begins with the first of them
   * @returns the steps in the order of use
   * @throws InputError as timestepsFor(), and for a first or last step outside the run
   */
  linearSteps(run: Run, part: RunPart = {}): readonly LinearStep[] {
    checkNames('linearSteps', part, PART);
    const course = this.courseOf(run);
    const { from = 0, to = course.timesteps.length } = part;
    for (const [path, value] of Object.entries({ from, to })) this.checkNumber('linearSteps', path, value, course);
    return this.stepsFrom(course, from).slice(0, Math.max(to - from, 0));
  }

  /**
   * Chooses the timesteps of a run, for step().
   * @param run its number of steps N, 1 to T, or more
   * @throws InputError as timestepsFor()
   */
  setTimesteps(run: Run): void {
    this.course = this.courseOf(run);
    this.timesteps = this.course.timesteps;
    this.sigmas = this.course.sigmas;
    this.numInferenceSteps = this.course.count;
    this.beginIndex = undefined;
    this.progress = undefined;
  }

  /**
   * Says with which of `timesteps` the next run begins; by default with that of the first step().
   * @param index 0 to the number of timesteps - 1
   * @throws InputError before setTimesteps(), or outside that range
   */
  setBeginIndex(index: number): void {
    this.checkNumber('setBeginIndex', 'index', index, this.runSet());
    this.beginIndex = index;
    this.progress = undefined;
  }

  /**
   * The sample as the model wants it at the next step.
   * @param sample any shape
   * @param timestep one of `timesteps`
   * @returns inputScale * sample; the sample itself where that is 1
   * @throws InputError before setTimesteps(), or for a timestep that the run has not
   */
  scaleModelInput(sample: NdArray, timestep: number): NdArray {
    const { inputScale } = this.stepAt(timestep);
    if (inputScale === 1) return sample;
    return ndarray(
      sample.data.map(value => value * inputScale),
      sample.shape,
    );
  }

  /**
   * One step of the run of setTimesteps(), the one behind the last.
   * @param modelOutput what the model made of scaleModelInput(sample, timestep), batch first
   * @param timestep one of `timesteps`
   * @param sample x, the same shape
   * @param options where fresh noise comes from, for samplers that add some
   * @returns x' and x0, float32
   * @throws ShapeError when shapes differ; InputError before setTimesteps(), or for a timestep out of turn
   */
  step(modelOutput: NdArray, timestep: number, sample: NdArray, options: NoiseSource = {}): StepResult {
    checkNames('step', options, SOURCE);
    const step = this.stepAt(timestep);
    const progress = this.progress as Progress;
    const noise = step.drawsNoise ? freshNoise(sample, options) : undefined;
    const outcome = applyLinearStep(step, { sample, modelOutput, noise, kept: progress.kept });
    this.progress = { ...progress, kept: outcome.kept, next: progress.next + 1 };
    return { prevSample: outcome.prevSample, predOriginalSample: outcome.predOriginalSample };
  }

  /**
   * Weights that bring a clean sample to the level of a timestep of the run; within a run to that of its next step.
   * @param timestep one of `timesteps`
   * @returns both weights
   * @throws InputError before setTimesteps(), or for a timestep that the run has not
   */
  addNoiseCoefficients(timestep: number): NoiseMix {
    const course = this.runSet();
    const index = this.progress?.next ?? this.beginIndex ?? this.indexOf(timestep);
    return (this.stepsOf(course, Math.min(index, course.timesteps.length - 1))[0] as LinearStep).level;
  }

  /**
   * Clean samples brought to a noise level.
   * @param sample x0, batch first
   * @param noise n, the same shape
   * @param timesteps one timestep for all, or one for each item of the batch
   * @returns the noisy samples, float32
   * @throws ShapeError when shapes or counts differ; InputError as addNoiseCoefficients()
   * @see diffusers add_noise
   */
  addNoise(sample: NdArray, noise: NdArray, timesteps: number | readonly number[]): NdArray {
    return mixWithNoise('addNoise', { sample, noise, timesteps }, t => this.addNoiseCoefficients(t));
  }

  /** Weights of a timestep's level in the table of training. */
  protected tableMix(timestep: number): NoiseMix {
    const alpha = this.levelAt(timestep);
    return { sample: sqrt32(alpha), noise: sqrt32(Math.fround(1 - alpha)) };
  }

  /** The step that comes next, which begins a run where none is under way. */
  private stepAt(timestep: number): LinearStep {
    const course = this.runSet();
    const due = this.progress && course.timesteps[this.progress.next];
    // What remembers nothing may go anywhere, as a training loop does.
    if (!this.progress || (due !== timestep && this.keptSlots === 0)) {
      const first = (this.progress ? undefined : this.beginIndex) ?? this.indexOf(timestep);
      this.progress = { first, steps: this.stepsFrom(course, first), kept: [], next: first };
    }
    const { first, steps, next } = this.progress;
    const step = steps[next - first];
    if (step !== undefined && step.timestep === timestep) return step;
    throw new InputError({
      op: 'step',
      problem: 'a timestep out of turn',
      expected: step?.timestep ?? 'no step more',
      value: timestep,
      path: 'timestep',
      fix: 'Take `timesteps` in their order; setTimesteps() begins a new run.',
    });
  }

  /** The number of a timestep in the run; of a timestep that comes twice the second, as diffusers has it. */
  private indexOf(timestep: number): number {
    const { timesteps } = this.runSet();
    const first = timesteps.indexOf(timestep);
    if (first < 0) {
      throw new InputError({
        op: 'step',
        problem: 'the run has no such timestep',
        value: timestep,
        path: 'timestep',
        fix: 'Take one of `timesteps`.',
      });
    }
    const second = timesteps.indexOf(timestep, first + 1);
    return second < 0 ? first : second;
  }

  private runSet(): Course {
    if (this.course) return this.course;
    throw new InputError({
      op: 'step',
      problem: 'the number of inference steps is not set',
      fix: 'Call setTimesteps(numInferenceSteps) first.',
    });
  }

  private checkNumber(op: string, path: string, value: number, { timesteps }: Course): void {
    if (Number.isInteger(value) && value >= 0 && value <= timesteps.length) return;
    const expected = `a whole number from 0 to ${timesteps.length}`;
    throw new InputError({ op, problem: 'no step of the run', expected, value, path });
  }
}

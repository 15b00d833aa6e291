/** Pseudo numerical methods: a linear multistep method over noise predictions, with or without Runge-Kutta steps before it. */
import { InputError } from '../core/errors.ts';
import {
  type ConfigKind,
  configFrom,
  type FromConfigOptions,
  type ScheduleFields,
  type SchedulerConfig,
  type SchedulerJson,
} from './config.ts';
import { INTERCHANGEABLE } from './foreign-fields.ts';
import { LinearScheduler } from './linear-scheduler.ts';
import { type Blend, blend, keptIn, type LinearStep, OUTPUT, padded, SAMPLE, UNBOUNDED } from './linear-step.ts';
import type { NoiseMix } from './noising.ts';
import { type Course, checkSetting, type Run, runOptions } from './run.ts';
import { configOf, SCHEDULE_DEFAULTS } from './schedule-defaults.ts';
import { spreadTimesteps } from './timesteps.ts';
import { predictionMixes, sqrt32 } from './update.ts';

const f32 = Math.fround;

/** Settings of PNDMScheduler, with diffusers' meaning. */
export interface PNDMFields extends ScheduleFields {
  /** Leaves out the Runge-Kutta steps, as Stable Diffusion does. Default false. */
  readonly skipPrkSteps: boolean;
  /** Takes 1 as the signal level beyond timestep 0, else acp[0]. Default false. */
  readonly setAlphaToOne: boolean;
}

const PNDM: ConfigKind<PNDMFields> = {
  className: 'PNDMScheduler',
  defaults: { ...SCHEDULE_DEFAULTS, timestepSpacing: 'leading', skipPrkSteps: false, setAlphaToOne: false },
  compatible: INTERCHANGEABLE,
};

/** Slots 0 to 2 hold the model's last outputs, the latest first; then a sample to start from again, and a sum of outputs. */
const [START, SUM] = [3, 4];
/** Evaluations of the Runge-Kutta part: three steps of four. */
const PRK = 12;
/** Weights of the outputs, the latest first, by how many there are. */
const MULTISTEP = [[1], [3 / 2, -1 / 2], [23 / 12, -16 / 12, 5 / 12], [55 / 24, -59 / 24, 37 / 24, -9 / 24]];

/** Where an update leads, and of what. */
interface Update {
  readonly from: number;
  readonly to: number;
  readonly start: Blend;
  readonly output: Blend;
  readonly keep: readonly Blend[];
}

/**
 * Pseudo linear multistep sampling, Stable Diffusion 1.x's own.
 * @see Liu et al. 2022, equations 9, 12 and 13, https://arxiv.org/abs/2202.09778; diffusers PNDMScheduler
 */
export class PNDMScheduler extends LinearScheduler<PNDMFields> {
  readonly keptSlots: number;

  /**
   * @param fields settings, or another scheduler's config; the rest by default
   * @throws InputError for a name that is no field, a value of the wrong type, or a setting that it has not
   */
  constructor(fields: Partial<PNDMFields> | SchedulerConfig = {}) {
    super(configOf(PNDM, fields));
    checkSetting(PNDM.className, 'prediction_type', this.config.predictionType, ['epsilon', 'v_prediction']);
    this.keptSlots = this.config.skipPrkSteps ? SUM : SUM + 1;
  }

  /**
   * A scheduler with the settings of another scheduler's config, or of a parsed scheduler_config.json.
   * @param source `other.config`, or JSON
   * @param overrides settings that win over the source's
   * @param options where warnings go
   * @returns a new scheduler
   * @throws InputError when the source is no object, or as the constructor
   * @see configFrom for the rules
   */
  static fromConfig(
    source: SchedulerConfig | SchedulerJson,
    overrides: Partial<PNDMFields> = {},
    options: FromConfigOptions = {},
  ): PNDMScheduler {
    return new PNDMScheduler(configFrom(PNDM, source, overrides, options));
  }

  override addNoiseCoefficients(timestep: number): NoiseMix {
    return this.tableMix(timestep);
  }

  /** One timestep for each evaluation: N + 1 without Runge-Kutta steps, N + 9 with them. */
  protected override courseOf(run: Run): Course {
    const { numInferenceSteps } = runOptions(PNDM.className, run, []);
    const count = numInferenceSteps as number;
    const spread = spreadTimesteps(count, this.config, ['leading', 'trailing', 'linspace']).reverse();
    const timesteps = this.config.skipPrkSteps
      ? [...spread.slice(0, 1), ...spread.slice(1, 2), ...spread.slice(1)]
      : [...this.prkTimesteps(spread), ...spread.slice(3)];
    return { timesteps, sigmas: [], count };
  }

  private prkTimesteps(spread: readonly number[]): number[] {
    if (spread.length < 4) {
      throw new InputError({
        op: `${PNDM.className}.setTimesteps`,
        problem: 'too few steps for Runge-Kutta steps',
        expected: 'at least 4',
        received: spread.length,
        path: 'numInferenceSteps',
        fix: 'Take more steps, or set skip_prk_steps to true.',
      });
    }
    const half = Math.floor(this.stride(spread.length) / 2);
    return [0, 1, 2].flatMap(i => {
      const [high = 0, low = 0] = spread.slice(i);
      return [high, low + half, low + half, low];
    });
  }

  private stride(count: number): number {
    return Math.floor(this.length / count);
  }

  protected override stepsOf(course: Course, from: number): LinearStep[] {
    const prk = this.config.skipPrkSteps ? [] : course.timesteps.slice(0, PRK);
    let known = 0;
    return course.timesteps.slice(from).map((timestep, k) => {
      const isPrk = k < prk.length;
      const update = isPrk ? this.rungeKutta(course, timestep, k) : this.multistep(course, timestep, { k, known });
      if (isPrk ? k % 4 === 0 : prk.length > 0 || k !== 1) known = Math.min(known + 1, 3);
      return this.stepOf(timestep, update);
    });
  }

  /** Evaluation k of the classical Runge-Kutta method, whose four begin at the same sample. */
  private rungeKutta({ timesteps, count }: Course, timestep: number, k: number): Update {
    const part = k % 4;
    const half = part % 2 === 1 ? 0 : Math.floor(this.stride(count) / 2);
    const sum = blend([part === 0 ? 0 : 1, keptIn(SUM)], [part === 0 || part === 3 ? 1 / 6 : 1 / 3, OUTPUT]);
    const start = part === 0 ? SAMPLE : keptIn(START);
    const outputs = part === 0 ? [OUTPUT, keptIn(0), keptIn(1)] : [0, 1, 2].map(keptIn);
    return {
      from: timesteps[k - part] as number,
      to: timestep - half,
      start,
      output: part === 3 ? sum : OUTPUT,
      keep: [...outputs, start, sum],
    };
  }

  /** Evaluation k of the multistep method; the second one of a run without Runge-Kutta steps takes the first step again. */
  private multistep({ count }: Course, timestep: number, o: { readonly k: number; readonly known: number }): Update {
    const { k, known } = o;
    const stride = this.stride(count);
    const isSecond = k === 1;
    const outputs = isSecond ? [keptIn(0)] : [OUTPUT, ...[0, 1, 2].slice(0, known).map(keptIn)];
    const weights = MULTISTEP[outputs.length - 1] ?? [];
    return {
      from: isSecond ? timestep + stride : timestep,
      to: isSecond ? timestep : timestep - stride,
      start: isSecond ? keptIn(START) : SAMPLE,
      output: isSecond
        ? blend([1 / 2, OUTPUT], [1 / 2, keptIn(0)])
        : blend(...outputs.map((one, i) => [weights[i] ?? 0, one] as const)),
      keep: [0, 1, 2].map(slot => outputs[slot] ?? blend()).concat(k === 0 ? [SAMPLE] : []),
    };
  }

  private stepOf(timestep: number, update: Update): LinearStep {
    const { keptSlots: slots } = this;
    const { predictionType } = this.config;
    const mixes = predictionMixes(predictionType, this.levelAt(update.from));
    const noise = blend([mixes.noise.sample, update.start], [mixes.noise.output, update.output]);
    const { start, output } = this.weights(update.from, update.to);
    return {
      timestep,
      inputScale: 1,
      level: this.tableMix(timestep),
      cleanSample: predictionMixes(predictionType, this.levelAt(timestep)).cleanSample,
      ...UNBOUNDED,
      next: padded(blend([start, update.start], [output, noise]), slots),
      keep: Array.from({ length: slots }, (_, slot) => padded(update.keep[slot] ?? blend(), slots)),
      drawsNoise: false,
    };
  }

  /** Equation 9: x' = sqrt(a' / a) x - (a' - a) / (a sqrt(1 - a') + sqrt(a (1 - a) a')) eps. */
  private weights(from: number, to: number): { readonly start: number; readonly output: number } {
    const a = this.levelAt(from);
    const b = to >= 0 ? this.levelAt(to) : this.config.setAlphaToOne ? 1 : this.levelAt(0);
    const under = f32(f32(a * sqrt32(f32(1 - b))) + sqrt32(f32(f32(a * f32(1 - a)) * b)));
    return { start: sqrt32(f32(b / a)), output: -f32(b - a) / under };
  }
}

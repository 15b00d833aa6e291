/** Euler's method on the probability flow, as Stable Diffusion Turbo is sampled. What it shares with the ancestral one is in variance-exploding.ts. */
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
import type { LinearStep } from './linear-step.ts';
import { type Course, checkSetting, givenTimesteps, orNull, type Run, type RunOptions, runOptions } from './run.ts';
import { configOf, SCHEDULE_DEFAULTS } from './schedule-defaults.ts';
import { SigmaScheduler } from './sigma-scheduler.ts';
import { logLinearSigmas, sigmaAt, sigmaSpacing, spacedSigmas, timestepOf } from './sigmas.ts';
import { eulerStep, eulerTimesteps, explodingInitSigma } from './variance-exploding.ts';

const f32 = Math.fround;

/** Settings of EulerDiscreteScheduler, with diffusers' meaning. */
export interface EulerFields extends ScheduleFields {
  /** How levels between the table's are found: 'linear' in sigma, or 'log_linear' from the last to the first. Default 'linear'. */
  readonly interpolationType: 'linear' | 'log_linear';
  /** Levels spaced as Karras et al. have them. Default false. */
  readonly useKarrasSigmas: boolean | null;
  /** Levels evenly spaced in their logarithms. Default false. */
  readonly useExponentialSigmas: boolean | null;
  /** Levels at quantiles of a beta distribution. Default false. */
  readonly useBetaSigmas: boolean | null;
  /** Last level of those three spacings; that of the last timestep where null, the default. */
  readonly sigmaMin: number | null;
  /** First level of those three spacings; that of the first timestep where null, the default. */
  readonly sigmaMax: number | null;
  /** 'continuous' tells v-prediction models log(sigma) / 4. Default 'discrete'. */
  readonly timestepType: 'discrete' | 'continuous';
  /** Rescales the betas so that the last level holds next to no signal. Default false. */
  readonly rescaleBetasZeroSnr: boolean;
  /** The level behind the last step: 0, or the lowest of training. Default 'zero'. */
  readonly finalSigmasType: 'zero' | 'sigma_min';
}

const EULER: ConfigKind<EulerFields> = {
  className: 'EulerDiscreteScheduler',
  defaults: {
    ...SCHEDULE_DEFAULTS,
    interpolationType: 'linear',
    useKarrasSigmas: false,
    useExponentialSigmas: false,
    useBetaSigmas: false,
    sigmaMin: null,
    sigmaMax: null,
    timestepType: 'discrete',
    rescaleBetasZeroSnr: false,
    finalSigmasType: 'zero',
  },
  compatible: INTERCHANGEABLE,
  values: {
    use_karras_sigmas: orNull('boolean'),
    use_exponential_sigmas: orNull('boolean'),
    use_beta_sigmas: orNull('boolean'),
    sigma_min: orNull('number'),
    sigma_max: orNull('number'),
  },
};

/**
 * Euler's method: x' = x + (sigma' - sigma) (x - x0) / sigma.
 * @see Karras et al. 2022, algorithm 2 without noise, https://arxiv.org/abs/2206.00364; diffusers EulerDiscreteScheduler
 */
export class EulerDiscreteScheduler extends SigmaScheduler<EulerFields> {
  readonly keptSlots = 0;

  /**
   * @param fields settings, or another scheduler's config; the rest by default
   * @throws InputError for a name that is no field, a value of the wrong type, or a setting that it has not
   */
  constructor(fields: Partial<EulerFields> | SchedulerConfig = {}) {
    super(configOf(EULER, fields));
    const { predictionType, interpolationType, timestepType, finalSigmasType } = this.config;
    const { className } = EULER;
    checkSetting(className, 'prediction_type', predictionType, ['epsilon', 'sample', 'v_prediction']);
    checkSetting(className, 'interpolation_type', interpolationType, ['linear', 'log_linear']);
    checkSetting(className, 'timestep_type', timestepType, ['discrete', 'continuous']);
    checkSetting(className, 'final_sigmas_type', finalSigmasType, ['zero', 'sigma_min']);
    sigmaSpacing(className, this.config);
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
    overrides: Partial<EulerFields> = {},
    options: FromConfigOptions = {},
  ): EulerDiscreteScheduler {
    return new EulerDiscreteScheduler(configFrom(EULER, source, overrides, options));
  }

  protected override initSigmaOf(course: Course | undefined): number {
    return explodingInitSigma(this.config.timestepSpacing, course?.sigmas ?? this.table);
  }

  protected override courseOf(run: Run): Course {
    const options = runOptions(EULER.className, run, ['timesteps', 'sigmas']);
    const { timesteps, sigmas } = this.levelsOf(options);
    const { timestepType, predictionType } = this.config;
    const continuous = timestepType === 'continuous' && predictionType === 'v_prediction';
    if (continuous && options.timesteps) {
      throw new InputError({
        op: `${EULER.className}.setTimesteps`,
        problem: 'a v-prediction with continuous timesteps is told noise levels, not timesteps of the table',
        path: 'timesteps',
        fix: 'Give the number of steps, or sigmas.',
      });
    }
    // Of 'log_linear' levels there is one more than steps were asked for, and only here it is told.
    const told = continuous ? sigmas.slice(0, -1).map(sigma => 0.25 * f32(Math.log(sigma))) : timesteps;
    return { timesteps: told.map(f32), sigmas, count: timesteps.length };
  }

  private levelsOf(options: RunOptions): { timesteps: readonly number[]; sigmas: readonly number[] } {
    const { interpolationType, sigmaMin, sigmaMax, finalSigmasType } = this.config;
    const spacing = sigmaSpacing(EULER.className, this.config);
    if (options.sigmas) return this.givenLevels(options.sigmas);
    if (options.timesteps && spacing) {
      throw new InputError({
        op: `${EULER.className}.setTimesteps`,
        problem: `timesteps do not go with ${spacing} spacing of noise levels`,
        path: 'timesteps',
        fix: 'Give the number of steps.',
      });
    }
    let timesteps: readonly number[] = options.timesteps
      ? givenTimesteps(EULER.className, options.timesteps, this.length, false).map(f32)
      : eulerTimesteps(options.numInferenceSteps as number, this.config);
    const { length } = timesteps;
    let sigmas =
      interpolationType === 'linear' ? timesteps.map(t => sigmaAt(t, this.table)) : logLinearSigmas(length, this.table);
    if (spacing) {
      const range = { most: sigmaMax ?? sigmas[0] ?? 1, least: sigmaMin ?? sigmas.at(-1) ?? 1 };
      sigmas = spacedSigmas(spacing, length, range);
      timesteps = sigmas.map(sigma => timestepOf(sigma, this.table));
    }
    const last = finalSigmasType === 'zero' ? 0 : (this.table[0] ?? 0);
    return { timesteps, sigmas: [...sigmas, last].map(f32) };
  }

  /** The caller's levels, with the timesteps that they belong to. */
  private givenLevels(given: readonly number[]): { timesteps: readonly number[]; sigmas: readonly number[] } {
    if (!given.every((sigma, i) => sigma >= 0 && (i === 0 || sigma < (given[i - 1] as number)))) {
      throw new InputError({
        op: `${EULER.className}.setTimesteps`,
        problem: 'noise levels do not descend',
        expected: 'each less than the one before, and none below 0',
        value: given,
        path: 'sigmas',
      });
    }
    const sigmas = given.map(f32);
    return { sigmas, timesteps: sigmas.slice(0, -1).map(sigma => timestepOf(sigma, this.table)) };
  }

  protected override stepsOf({ timesteps, sigmas }: Course, from: number): LinearStep[] {
    return timesteps.slice(from).map((timestep, i) => {
      const [level = 0, down = 0] = sigmas.slice(from + i);
      return eulerStep(this.config.predictionType, { timestep, from: level, down });
    });
  }
}

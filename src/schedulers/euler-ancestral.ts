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
import { type Course, checkSetting, type Run, runOptions } from './run.ts';
import { configOf, SCHEDULE_DEFAULTS } from './schedule-defaults.ts';
import { SigmaScheduler } from './sigma-scheduler.ts';
import { sigmaAt } from './sigmas.ts';
import { sqrt32 } from './update.ts';
import { eulerStep, eulerTimesteps, explodingInitSigma } from './variance-exploding.ts';

const f32 = Math.fround;

/** Settings of EulerAncestralDiscreteScheduler, with diffusers' meaning. */
export interface EulerAncestralFields extends ScheduleFields {
  /** Rescales the betas so that the last level holds next to no signal. Default false. */
  readonly rescaleBetasZeroSnr: boolean;
}

const EULER_ANCESTRAL: ConfigKind<EulerAncestralFields> = {
  className: 'EulerAncestralDiscreteScheduler',
  defaults: { ...SCHEDULE_DEFAULTS, rescaleBetasZeroSnr: false },
  compatible: INTERCHANGEABLE,
};

/**
 * Euler's method to a level below the next one, and noise up to it: up^2 = sigma'^2 (sigma^2 - sigma'^2) / sigma^2,
 * down^2 = sigma'^2 - up^2, x' = x + (down - sigma) (x - x0) / sigma + up n.
 * @see Karras et al. 2022, https://arxiv.org/abs/2206.00364; Song et al. 2021, https://arxiv.org/abs/2011.13456;
 * diffusers EulerAncestralDiscreteScheduler
 */
export class EulerAncestralDiscreteScheduler extends SigmaScheduler<EulerAncestralFields> {
  readonly keptSlots = 0;

  /**
   * @param fields settings, or another scheduler's config; the rest by default
   * @throws InputError for a name that is no field, a value of the wrong type, or a setting that it has not
   */
  constructor(fields: Partial<EulerAncestralFields> | SchedulerConfig = {}) {
    super(configOf(EULER_ANCESTRAL, fields));
    const { className } = EULER_ANCESTRAL;
    checkSetting(className, 'prediction_type', this.config.predictionType, ['epsilon', 'v_prediction']);
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
    overrides: Partial<EulerAncestralFields> = {},
    options: FromConfigOptions = {},
  ): EulerAncestralDiscreteScheduler {
    return new EulerAncestralDiscreteScheduler(configFrom(EULER_ANCESTRAL, source, overrides, options));
  }

  protected override initSigmaOf(course: Course | undefined): number {
    return explodingInitSigma(this.config.timestepSpacing, course?.sigmas ?? this.table);
  }

  protected override courseOf(run: Run): Course {
    const { numInferenceSteps } = runOptions(EULER_ANCESTRAL.className, run, []);
    const timesteps = eulerTimesteps(numInferenceSteps as number, this.config);
    const sigmas = [...timesteps.map(t => sigmaAt(t, this.table)), 0].map(f32);
    return { timesteps, sigmas, count: timesteps.length };
  }

  protected override stepsOf({ timesteps, sigmas }: Course, from: number): LinearStep[] {
    return timesteps.slice(from).map((timestep, i) => {
      const [level = 0, to = 0] = sigmas.slice(from + i);
      const [above, below] = [f32(level * level), f32(to * to)];
      const up = sqrt32(f32(f32(below * f32(above - below)) / above));
      const down = sqrt32(f32(below - f32(up * up)));
      return eulerStep(this.config.predictionType, { timestep, from: level, down, up });
    });
  }
}

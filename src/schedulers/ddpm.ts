/** Ancestral sampling of denoising diffusion models. */
import { linspace } from './betas.ts';
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
import { type Bounds, blend, boundsOf, cleanBlend, type LinearStep, NOISE, padded, SAMPLE } from './linear-step.ts';
import type { NoiseMix } from './noising.ts';
import { type Course, checkSetting, givenTimesteps, orNull, type Run, runOptions } from './run.ts';
import { configOf, SCHEDULE_DEFAULTS } from './schedule-defaults.ts';
import { spreadTimesteps } from './timesteps.ts';
import { predictionMixes, sqrt32 } from './update.ts';

const f32 = Math.fround;

/** Settings of DDPMScheduler, with diffusers' meaning. */
export interface DDPMFields extends ScheduleFields {
  /** Deviation of a step's noise: of the posterior ('small', or null), or of the forward step ('large'). Default 'fixed_small'. */
  readonly varianceType: 'fixed_small' | 'fixed_small_log' | 'fixed_large' | null;
  /** Clamps the predicted clean sample. Default true; Stable Diffusion false. */
  readonly clipSample: boolean;
  /** Bound of that clamp. Default 1. */
  readonly clipSampleRange: number;
  /** Clamps the predicted clean sample at a quantile of its magnitudes; wins over clipSample. Default false. */
  readonly thresholding: boolean;
  /** That quantile, 0 to 1. Default 0.995. */
  readonly dynamicThresholdingRatio: number;
  /** Upper bound of the threshold, whose lower bound is 1. Default 1. */
  readonly sampleMaxValue: number;
  /** Rescales the betas so that the last level holds no signal. Default false. */
  readonly rescaleBetasZeroSnr: boolean;
}

const DDPM: ConfigKind<DDPMFields> = {
  className: 'DDPMScheduler',
  defaults: {
    ...SCHEDULE_DEFAULTS,
    varianceType: 'fixed_small',
    clipSample: true,
    clipSampleRange: 1,
    thresholding: false,
    dynamicThresholdingRatio: 0.995,
    sampleMaxValue: 1,
    timestepSpacing: 'leading',
    rescaleBetasZeroSnr: false,
  },
  compatible: INTERCHANGEABLE,
  // DPM-Solver's configs hold null, which diffusers takes for the default.
  values: { variance_type: orNull('string') },
};

/** Betas along a sigmoid from -6 to 6, between the first and the last. @see Xu et al. 2022, https://arxiv.org/abs/2203.02923 */
function sigmoidBetas({ betaStart, betaEnd, numTrainTimesteps }: ScheduleFields): number[] {
  const beta = (z: number): number => f32(f32(1 / (1 + Math.exp(-z))) * f32(betaEnd - betaStart)) + f32(betaStart);
  return [...linspace(-6, 6, numTrainTimesteps)].map(beta);
}

/**
 * Denoising diffusion probabilistic models: each step draws from the posterior of the step before, given the predicted x0.
 * @see Ho et al. 2020, equation 7, https://arxiv.org/abs/2006.11239; diffusers DDPMScheduler
 */
export class DDPMScheduler extends LinearScheduler<DDPMFields> {
  readonly keptSlots = 0;
  private readonly bounds: Bounds;

  /**
   * @param fields settings, or another scheduler's config; the rest by default
   * @throws InputError for a name that is no field, a value of the wrong type, or a setting that it has not
   */
  constructor(fields: Partial<DDPMFields> | SchedulerConfig = {}) {
    const config = configOf(DDPM, fields);
    const isSigmoid = config.betaSchedule === 'sigmoid' && !config.trainedBetas;
    super(config, isSigmoid ? sigmoidBetas(config) : config.trainedBetas);
    const { predictionType, varianceType } = config;
    checkSetting(DDPM.className, 'prediction_type', predictionType, ['epsilon', 'sample', 'v_prediction']);
    // Learned variances take models of twice the channels; of 'fixed_large_log' diffusers takes the root of a logarithm below 0.
    checkSetting(DDPM.className, 'variance_type', varianceType, [
      null,
      'fixed_small',
      'fixed_small_log',
      'fixed_large',
    ]);
    this.bounds = boundsOf(config);
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
    overrides: Partial<DDPMFields> = {},
    options: FromConfigOptions = {},
  ): DDPMScheduler {
    return new DDPMScheduler(configFrom(DDPM, source, overrides, options));
  }

  override addNoiseCoefficients(timestep: number): NoiseMix {
    return this.tableMix(timestep);
  }

  protected override courseOf(run: Run): Course {
    const { numInferenceSteps, timesteps: given } = runOptions(DDPM.className, run, ['timesteps']);
    const timesteps = given
      ? givenTimesteps(DDPM.className, given, this.length)
      : spreadTimesteps(numInferenceSteps as number, this.config, ['leading', 'trailing', 'linspace']).reverse();
    return { timesteps, sigmas: [], count: timesteps.length };
  }

  protected override stepsOf({ timesteps }: Course, from: number): LinearStep[] {
    return timesteps.slice(from).map((timestep, k) => this.stepOf(timestep, timesteps[from + k + 1]));
  }

  private stepOf(timestep: number, next: number | undefined): LinearStep {
    const a = this.levelAt(timestep);
    const b = next === undefined ? 1 : this.levelAt(next);
    const [noiseBefore, noiseBehind] = [f32(1 - a), f32(1 - b)];
    const kept = f32(a / b);
    const beta = f32(1 - kept);
    const { cleanSample } = predictionMixes(this.config.predictionType, a);
    const fromClean = (sqrt32(b) * beta) / noiseBefore;
    const fromSample = (sqrt32(kept) * noiseBehind) / noiseBefore;
    const posterior = Math.max(f32((noiseBehind / noiseBefore) * beta), 1e-20);
    const variance = this.config.varianceType === 'fixed_large' ? beta : posterior;
    const drawsNoise = timestep > 0;
    return {
      timestep,
      inputScale: 1,
      level: this.tableMix(timestep),
      cleanSample,
      ...this.bounds,
      next: padded(
        blend(
          [fromClean, cleanBlend(cleanSample, this.bounds)],
          [fromSample, SAMPLE],
          [drawsNoise ? Math.sqrt(variance) : 0, NOISE],
        ),
        0,
      ),
      keep: [],
      drawsNoise,
    };
  }
}

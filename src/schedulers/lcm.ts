/** Sampling of consistency models that were distilled from latent diffusion, LCM-LoRA among them. */
import { InputError } from '../core/errors.ts';
import {
  type ConfigKind,
  configFrom,
  type FromConfigOptions,
  type ScheduleFields,
  type SchedulerConfig,
  type SchedulerJson,
} from './config.ts';
import { LinearScheduler } from './linear-scheduler.ts';
import { type Bounds, blend, boundsOf, cleanBlend, type LinearStep, NOISE, padded, SAMPLE } from './linear-step.ts';
import type { NoiseMix } from './noising.ts';
import { type Course, checkSetting, givenTimesteps, type Run, type RunOptions, runOptions } from './run.ts';
import { configOf, SCHEDULE_DEFAULTS } from './schedule-defaults.ts';
import { predictionMixes } from './update.ts';

/** Settings of LCMScheduler, with diffusers' meaning. */
export interface LCMFields extends ScheduleFields {
  /** Steps of the schedule that the model was distilled on. Default 50. */
  readonly originalInferenceSteps: number;
  /** Clamps the predicted clean sample. Default false. */
  readonly clipSample: boolean;
  /** Bound of that clamp. Default 1. */
  readonly clipSampleRange: number;
  /** Without part: no step leads beyond timestep 0. Default true. */
  readonly setAlphaToOne: boolean;
  /** Clamps the predicted clean sample at a quantile of its magnitudes; wins over clipSample. Default false. */
  readonly thresholding: boolean;
  /** That quantile, 0 to 1. Default 0.995. */
  readonly dynamicThresholdingRatio: number;
  /** Upper bound of the threshold, whose lower bound is 1. Default 1. */
  readonly sampleMaxValue: number;
  /** Factor of the timestep in the boundary condition. Default 10. */
  readonly timestepScaling: number;
  /** Rescales the betas so that the last level holds no signal. Default false. */
  readonly rescaleBetasZeroSnr: boolean;
}

const LCM: ConfigKind<LCMFields> = {
  className: 'LCMScheduler',
  defaults: {
    ...SCHEDULE_DEFAULTS,
    betaStart: 0.00085,
    betaEnd: 0.012,
    betaSchedule: 'scaled_linear',
    originalInferenceSteps: 50,
    clipSample: false,
    clipSampleRange: 1,
    setAlphaToOne: true,
    thresholding: false,
    dynamicThresholdingRatio: 0.995,
    sampleMaxValue: 1,
    timestepSpacing: 'leading',
    timestepScaling: 10,
    rescaleBetasZeroSnr: false,
  },
  compatible: [],
};

/** sigma_data of the boundary condition, squared. */
const DATA = 0.25;

/**
 * Latent consistency sampling: the model's clean sample, bound to x near timestep 0, noised again to the next level.
 * @see Luo et al. 2023, https://arxiv.org/abs/2310.04378; diffusers LCMScheduler
 */
export class LCMScheduler extends LinearScheduler<LCMFields> {
  readonly keptSlots = 0;
  private readonly bounds: Bounds;

  /**
   * @param fields settings, or another scheduler's config; the rest by default
   * @throws InputError for a name that is no field, a value of the wrong type, or a setting that it has not
   */
  constructor(fields: Partial<LCMFields> | SchedulerConfig = {}) {
    super(configOf(LCM, fields));
    const { predictionType } = this.config;
    checkSetting(LCM.className, 'prediction_type', predictionType, ['epsilon', 'sample', 'v_prediction']);
    this.bounds = boundsOf(this.config);
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
    overrides: Partial<LCMFields> = {},
    options: FromConfigOptions = {},
  ): LCMScheduler {
    return new LCMScheduler(configFrom(LCM, source, overrides, options));
  }

  override addNoiseCoefficients(timestep: number): NoiseMix {
    return this.tableMix(timestep);
  }

  protected override courseOf(run: Run): Course {
    const options = runOptions(LCM.className, run, ['timesteps', 'originalInferenceSteps', 'strength']);
    const { strength = 1, originalInferenceSteps = this.config.originalInferenceSteps } = options;
    this.checkOriginal(originalInferenceSteps, strength);
    if (options.timesteps) {
      const all = givenTimesteps(LCM.className, options.timesteps, this.length);
      const { length: count } = all;
      return { timesteps: all.slice(count - Math.min(Math.trunc(count * strength), count)), sigmas: [], count };
    }
    return this.distilled(options, { original: originalInferenceSteps, strength });
  }

  /** Timesteps of the schedule of distillation, evenly spaced from the highest that the strength leaves. */
  private distilled(
    options: RunOptions,
    { original, strength }: { readonly original: number; readonly strength: number },
  ): Course {
    const count = options.numInferenceSteps as number;
    const stride = Math.floor(this.length / original);
    const most = Math.trunc(original * strength);
    if (!Number.isInteger(count) || count < 1 || count > most) {
      throw new InputError({
        op: `${LCM.className}.setTimesteps`,
        problem: 'the number of inference steps does not suit the schedule of distillation',
        expected: `a whole number from 1 to ${most}`,
        value: count,
        path: 'numInferenceSteps',
        fix: `Ask for fewer steps: the model was distilled on ${original}${strength < 1 ? `, of which the strength leaves ${most}` : ''}.`,
      });
    }
    const at = (i: number): number => (most - Math.floor(i * (most / count))) * stride - 1;
    return { timesteps: Array.from({ length: count }, (_, i) => at(i)), sigmas: [], count };
  }

  private checkOriginal(original: number, strength: number): void {
    const op = `${LCM.className}.setTimesteps`;
    if (!Number.isInteger(original) || original < 1 || original > this.length) {
      const expected = `a whole number from 1 to ${this.length}`;
      const [problem, path] = [
        'the schedule of distillation does not suit that of training',
        'original_inference_steps',
      ];
      throw new InputError({ op, problem, expected, value: original, path });
    }
    if (strength > 0 && strength <= 1) return;
    const [problem, path] = ['no share of the schedule', 'strength'];
    throw new InputError({ op, problem, expected: 'a number above 0, at most 1', value: strength, path });
  }

  protected override stepsOf({ timesteps, count }: Course, from: number): LinearStep[] {
    const { predictionType, timestepScaling } = this.config;
    return timesteps.slice(from).map((timestep, k) => {
      const { cleanSample } = predictionMixes(predictionType, this.levelAt(timestep));
      const scaled = timestep * timestepScaling;
      const square = scaled ** 2 + DATA;
      const denoised = blend(
        [scaled / Math.sqrt(square), cleanBlend(cleanSample, this.bounds)],
        [DATA / square, SAMPLE],
      );
      // The last of N steps, not of the run: diffusers counts so.
      const drawsNoise = from + k !== count - 1;
      const to = this.tableMix(timesteps[from + k + 1] ?? timestep);
      return {
        timestep,
        inputScale: 1,
        level: this.tableMix(timestep),
        cleanSample,
        ...this.bounds,
        next: padded(drawsNoise ? blend([to.sample, denoised], [to.noise, NOISE]) : denoised, 0),
        keep: [],
        drawsNoise,
      };
    });
  }
}

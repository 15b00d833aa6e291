/** The forward DDIM scheduler. Its inverse is in ddim-inverse.ts, the tables of both in base.ts. */
import { InputError } from '../core/errors.ts';
import { checkNames, namesOf } from '../core/known-names.ts';
import type { NdArray } from '../core/ndarray.ts';
import { DiffusionScheduler } from './base.ts';
import {
  configFrom,
  configFromFields,
  DDIM,
  type DDIMFields,
  type FromConfigOptions,
  isConfig,
  type SchedulerConfig,
  type SchedulerJson,
} from './config.ts';
import { freshNoise, type NoiseSource } from './noising.ts';
import { spreadTimesteps } from './timesteps.ts';
import { applyStep, completeCoefficients, type StepCoefficients, type StepResult, sqrt32 } from './update.ts';

const f32 = Math.fround;

/** More than rounding makes of a difference that is 0. */
const ROUNDING = 1e-6;

/** Choices of one DDIM step. */
export interface StepOptions extends NoiseSource {
  /** Share of fresh noise: 0 deterministic DDIM, 1 as much as DDPM. >= 0, default 0. */
  readonly eta?: number;
  /** Derives the noise again from the clipped clean sample. Default false. */
  readonly useClippedModelOutput?: boolean;
}

const STEP = namesOf<StepOptions>({ eta: 1, useClippedModelOutput: 1, generator: 1, varianceNoise: 1 });

/**
 * Denoising diffusion implicit models: steps from timestep t to t - floor(T / N), deterministic for eta = 0.
 * @see Song et al. 2021, https://arxiv.org/abs/2010.02502; diffusers DDIMScheduler
 */
export class DDIMScheduler extends DiffusionScheduler<DDIMFields> {
  /** Signal level after the last step: 1, or acp[0]. */
  readonly finalAlphaCumprod: number;

  /**
   * @param fields settings, or another scheduler's config; the rest by default
   * @throws InputError for a name that is no field, a value of the wrong type, or an unknown beta schedule
   */
  constructor(fields: Partial<DDIMFields> | SchedulerConfig = {}) {
    const config = isConfig(fields) ? configFrom(DDIM, fields) : configFromFields(DDIM, fields);
    super(
      config,
      Array.from({ length: config.numTrainTimesteps }, (_, i) => config.numTrainTimesteps - 1 - i),
    );
    this.finalAlphaCumprod = config.setAlphaToOne ? 1 : this.levelAt(0);
  }

  /**
   * A scheduler with the settings of another scheduler's config, or of a parsed scheduler_config.json.
   * @param source `other.config`, or JSON
   * @param overrides settings that win over the source's
   * @param options where warnings go
   * @returns a new scheduler
   * @throws InputError when the source is no object or a value has the wrong type
   * @see configFrom for the rules
   */
  static fromConfig(
    source: SchedulerConfig | SchedulerJson,
    overrides: Partial<DDIMFields> = {},
    options: FromConfigOptions = {},
  ): DDIMScheduler {
    return new DDIMScheduler(configFrom(DDIM, source, overrides, options));
  }

  override timestepsFor(numInferenceSteps: number): readonly number[] {
    return spreadTimesteps(numInferenceSteps, this.config, ['leading', 'trailing', 'linspace']).reverse();
  }

  /**
   * Variance of a DDPM step between two timesteps: (1 - a') / (1 - a) * (1 - a / a').
   * @param timestep t, 0 to T - 1
   * @param prevTimestep the earlier timestep; below 0 for the final level
   * @returns the variance, rounded to float32
   * @throws InputError when a timestep is outside the table
   */
  variance(timestep: number, prevTimestep: number): number {
    const alpha = this.levelAt(timestep);
    const alphaPrev = this.levelBefore(prevTimestep);
    return f32(f32(f32(1 - alphaPrev) / f32(1 - alpha)) * f32(1 - f32(alpha / alphaPrev)));
  }

  /**
   * The numbers of the step that starts at a timestep, for a kernel of one's own.
   * @param timestep t, one of `timesteps`
   * @param options eta >= 0
   * @returns the coefficients; `linear` is null with clipping or thresholding
   * @throws InputError before setTimesteps(), outside the table, for an unknown prediction type or an eta below 0 or too large
   */
  stepCoefficients(timestep: number, options: Pick<StepOptions, 'eta'> = {}): StepCoefficients {
    checkNames('stepCoefficients', options, ['eta']);
    return this.coefficientsAt(timestep, undefined, options.eta ?? 0);
  }

  protected override coefficientsAt(timestep: number, stride: number | undefined, eta: number): StepCoefficients {
    if (!(eta >= 0 && eta < Number.POSITIVE_INFINITY)) throw badEta(eta, 'eta is not a number >= 0');
    const prevTimestep = timestep - (stride ?? this.stride());
    const { thresholding, dynamicThresholdingRatio, sampleMaxValue, clipSample, clipSampleRange } = this.config;
    const alphaPrev = this.levelBefore(prevTimestep);
    const sigma = f32(f32(eta) * sqrt32(this.variance(timestep, prevTimestep)));
    if (sigma ** 2 > 1 - alphaPrev + ROUNDING) {
      const problem = `more fresh noise than there is behind the step at timestep ${timestep}`;
      throw badEta(eta, problem, 'a number from 0 to 1');
    }
    return completeCoefficients({
      predictionType: this.config.predictionType,
      alphaT: this.levelAt(timestep),
      alphaPrev,
      sigma,
      clip: clipSample && !thresholding ? clipSampleRange : null,
      threshold: thresholding ? { ratio: dynamicThresholdingRatio, maxValue: sampleMaxValue } : null,
    });
  }

  /**
   * One denoising step: x0 = (x - sqrt(1-a) e) / sqrt(a); x' = sqrt(a') x0 + sqrt(1 - a' - sigma²) e + sigma n.
   * @param modelOutput e, v or x0 (see predictionType), batch first
   * @param timestep t, one of `timesteps`
   * @param sample x at level t, the same shape
   * @param options eta and where its noise comes from
   * @returns x' and x0, float32
   * @throws ShapeError when shapes differ; InputError as stepCoefficients(), or for a generator beside varianceNoise
   */
  step(modelOutput: NdArray, timestep: number, sample: NdArray, options: StepOptions = {}): StepResult {
    checkNames('step', options, STEP);
    const { eta = 0, useClippedModelOutput = false } = options;
    const coefficients = this.stepCoefficients(timestep, { eta });
    const noise = eta > 0 ? freshNoise(sample, options) : undefined;
    return applyStep(coefficients, modelOutput, sample, { useClippedModelOutput, ...(noise ? { noise } : {}) });
  }

  private levelBefore(timestep: number): number {
    return timestep < 0 ? this.finalAlphaCumprod : this.levelAt(timestep);
  }
}

function badEta(value: number, problem: string, expected?: string): InputError {
  const fix = '0 is deterministic DDIM, 1 has the noise of DDPM.';
  return new InputError({ op: 'step', problem, expected, value, path: 'eta', fix });
}

import type { NdArray } from '../core/ndarray.ts';
import { DiffusionScheduler } from './base.ts';
import {
  configFrom,
  configFromFields,
  DDIM_INVERSE,
  type DDIMInverseFields,
  type FieldsInput,
  type FromConfigOptions,
  isConfig,
  type SchedulerConfig,
  type SchedulerJson,
} from './config.ts';
import { spreadTimesteps } from './timesteps.ts';
import { applyStep, completeCoefficients, type StepCoefficients, type StepResult } from './update.ts';

/**
 * DDIM run backwards, from a picture towards its noise. The model is evaluated at t on a sample of the lower level
 * t - floor(T / N), and the step lands on level t.
 * @see Mokady et al. 2022, section 3.2, https://arxiv.org/abs/2211.09794; diffusers DDIMInverseScheduler
 */
export class DDIMInverseScheduler extends DiffusionScheduler<DDIMInverseFields> {
  /** Signal level below timestep 0: 1, or acp[0]. */
  readonly initialAlphaCumprod: number;

  /**
   * @param fields settings, or another scheduler's config; the rest by default
   * @throws InputError for a name that is no field, a value of the wrong type, or an unknown beta schedule
   */
  constructor(fields: FieldsInput<DDIMInverseFields> | SchedulerConfig = {}) {
    const config = isConfig(fields) ? configFrom(DDIM_INVERSE, fields) : configFromFields(DDIM_INVERSE, fields);
    super(
      config,
      Array.from({ length: config.numTrainTimesteps }, (_, i) => i),
    );
    this.initialAlphaCumprod = config.setAlphaToOne ? 1 : this.levelAt(0);
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
    overrides: FieldsInput<DDIMInverseFields> = {},
    options: FromConfigOptions = {},
  ): DDIMInverseScheduler {
    return new DDIMInverseScheduler(configFrom(DDIM_INVERSE, source, overrides, options));
  }

  override timestepsFor(numInferenceSteps: number): readonly number[] {
    return spreadTimesteps(numInferenceSteps, this.config, ['leading', 'trailing']);
  }

  /**
   * The numbers of the step that lands on a timestep, for a kernel of one's own.
   * @param timestep t, one of `timesteps`
   * @returns the coefficients: alphaT is the lower level that the sample has, alphaPrev the level t that it gets
   * @throws InputError before setTimesteps(), outside the table, or for an unknown prediction type
   */
  stepCoefficients(timestep: number): StepCoefficients {
    return this.coefficientsAt(timestep, undefined);
  }

  protected override coefficientsAt(timestep: number, stride: number | undefined): StepCoefficients {
    const source = Math.min(timestep - (stride ?? this.stride()), this.length - 1);
    return completeCoefficients({
      predictionType: this.config.predictionType,
      alphaT: source < 0 ? this.initialAlphaCumprod : this.levelAt(source),
      alphaPrev: this.levelAt(timestep),
      sigma: 0,
      clip: this.config.clipSample ? this.config.clipSampleRange : null,
      threshold: null,
    });
  }

  /**
   * One inversion step: x0 and eps at the lower level s, then x' = sqrt(acp[t]) x0 + sqrt(1 - acp[t]) eps.
   * @param modelOutput the model's output at t, batch first
   * @param timestep t, one of `timesteps`
   * @param sample x at level s, the same shape
   * @returns x' and x0, float32
   * @throws ShapeError when shapes differ; InputError as stepCoefficients()
   */
  step(modelOutput: NdArray, timestep: number, sample: NdArray): StepResult {
    return applyStep(this.stepCoefficients(timestep), modelOutput, sample);
  }
}

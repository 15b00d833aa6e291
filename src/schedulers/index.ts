/** Schedulers, the random stream and the mask rule: numbers only, no GPU. @module */

export { DiffusionScheduler, type ScheduledStep, type ScheduleOptions } from './base.ts';
export { type BetaOptions, type BetaSchedule, cumulativeAlphas, makeBetas, rescaleZeroSnr } from './betas.ts';
export { checkPyramid } from './check-pyramid.ts';
export {
  type DDIMFields,
  type DDIMInverseFields,
  DIFFUSERS_VERSION,
  type FieldsInput,
  type FromConfigOptions,
  type PredictionType,
  type SchedulerConfig,
  type SchedulerJson,
  type StoredConfig,
} from './config.ts';
export { DDIMScheduler, type StepOptions } from './ddim.ts';
export { DDIMInverseScheduler } from './ddim-inverse.ts';
export { Generator, type GeneratorState, randnBatch } from './generator.ts';
export { type MaskOptions, maskFromMap } from './mask.ts';
export type { NoiseMix, NoiseSource } from './noising.ts';
export {
  autoCorrelationGradient,
  type Draw,
  klGradient,
  type RegulariseOptions,
  regularise,
} from './regularise.ts';
export type { TimestepSpacing } from './timesteps.ts';
export {
  type ApplyOptions,
  applyStep,
  type Mix,
  type NoisyMix,
  type StepCoefficients,
  type StepResult,
  type Threshold,
} from './update.ts';

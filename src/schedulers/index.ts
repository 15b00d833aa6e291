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
  type ScheduleFields,
  type SchedulerConfig,
  type SchedulerJson,
  type StoredConfig,
} from './config.ts';
export { DDIMScheduler, type StepOptions } from './ddim.ts';
export { DDIMInverseScheduler } from './ddim-inverse.ts';
export { type DDPMFields, DDPMScheduler } from './ddpm.ts';
export { type DPMSolverMultistepFields, DPMSolverMultistepScheduler } from './dpm-multistep.ts';
export type { DPMAlgorithm } from './dpm-weights.ts';
export { EulerDiscreteScheduler, type EulerFields } from './euler.ts';
export { EulerAncestralDiscreteScheduler, type EulerAncestralFields } from './euler-ancestral.ts';
export { Generator, type GeneratorState, randnBatch } from './generator.ts';
export { type LCMFields, LCMScheduler } from './lcm.ts';
export { linearSampler } from './linear-ddim.ts';
export { type LinearSampler, LinearScheduler, type RunPart } from './linear-scheduler.ts';
export { applyLinearStep, type Blend, type LinearStep, type StepOperands, type StepOutcome } from './linear-step.ts';
export { type MaskOptions, maskFromMap } from './mask.ts';
export { NoiseTable } from './noise-table.ts';
export type { NoiseMix, NoiseSource } from './noising.ts';
export { type PNDMFields, PNDMScheduler } from './pndm.ts';
export {
  autoCorrelationGradient,
  type Draw,
  klGradient,
  type RegulariseOptions,
  regularise,
} from './regularise.ts';
export type { Course, Run, RunOptions } from './run.ts';
export { SigmaScheduler } from './sigma-scheduler.ts';
export type { TimestepSpacing } from './timesteps.ts';
export { type UniPCMultistepFields, UniPCMultistepScheduler } from './unipc.ts';
export {
  type ApplyOptions,
  applyStep,
  type Mix,
  type NoisyMix,
  type StepCoefficients,
  type StepResult,
  type Threshold,
} from './update.ts';

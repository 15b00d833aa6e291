/** The scheduler that a model's folder names; each class is loaded where it is named. */
import { InputError } from '../core/errors.ts';
import { loadPart } from '../core/load-part.ts';
import type { FromConfigOptions, SchedulerConfig, SchedulerJson } from './config.ts';
import type { DDIMScheduler } from './ddim.ts';
import type { DDPMScheduler } from './ddpm.ts';
import type { DPMSolverMultistepScheduler } from './dpm-multistep.ts';
import type { EulerDiscreteScheduler } from './euler.ts';
import type { EulerAncestralDiscreteScheduler } from './euler-ancestral.ts';
import type { LCMScheduler } from './lcm.ts';
import type { PNDMScheduler } from './pndm.ts';
import type { UniPCMultistepScheduler } from './unipc.ts';

/** A scheduler that denoises. */
export type AnyScheduler =
  | DDIMScheduler
  | DDPMScheduler
  | DPMSolverMultistepScheduler
  | EulerAncestralDiscreteScheduler
  | EulerDiscreteScheduler
  | LCMScheduler
  | PNDMScheduler
  | UniPCMultistepScheduler;

/** A class of them. */
interface SchedulerClass {
  fromConfig(source: SchedulerConfig | SchedulerJson, overrides: object, options?: FromConfigOptions): AnyScheduler;
}

const CLASSES: Readonly<Record<string, () => Promise<SchedulerClass>>> = {
  DDIMScheduler: async () => (await loadPart('DDIMScheduler', () => import('./ddim.ts'))).DDIMScheduler,
  DDPMScheduler: async () => (await loadPart('DDPMScheduler', () => import('./ddpm.ts'))).DDPMScheduler,
  DPMSolverMultistepScheduler: async () =>
    (await loadPart('DPMSolverMultistepScheduler', () => import('./dpm-multistep.ts'))).DPMSolverMultistepScheduler,
  EulerAncestralDiscreteScheduler: async () =>
    (await loadPart('EulerAncestralDiscreteScheduler', () => import('./euler-ancestral.ts')))
      .EulerAncestralDiscreteScheduler,
  EulerDiscreteScheduler: async () =>
    (await loadPart('EulerDiscreteScheduler', () => import('./euler.ts'))).EulerDiscreteScheduler,
  LCMScheduler: async () => (await loadPart('LCMScheduler', () => import('./lcm.ts'))).LCMScheduler,
  PNDMScheduler: async () => (await loadPart('PNDMScheduler', () => import('./pndm.ts'))).PNDMScheduler,
  UniPCMultistepScheduler: async () =>
    (await loadPart('UniPCMultistepScheduler', () => import('./unipc.ts'))).UniPCMultistepScheduler,
};

/** Names of the schedulers that schedulerFromConfig() knows. */
export const SCHEDULERS: readonly string[] = Object.keys(CLASSES);

/**
 * The scheduler that a scheduler_config.json names in `_class_name`.
 * @param source the parsed file, or another scheduler's config
 * @param className in place of the file's
 * @param options where warnings go
 * @returns a new scheduler
 * @throws InputError for a class that is not there, and as that class's fromConfig(); LoadError where its part does not come
 */
export async function schedulerFromConfig(
  source: SchedulerConfig | SchedulerJson,
  className?: string,
  options: FromConfigOptions = {},
): Promise<AnyScheduler> {
  const { stored = source } = Object(source) as { readonly stored?: unknown };
  const name = className ?? (Object(stored) as SchedulerJson)['_class_name'];
  const load = typeof name === 'string' && Object.hasOwn(CLASSES, name) ? CLASSES[name] : undefined;
  if (!load) {
    throw new InputError({
      op: 'schedulerFromConfig',
      problem: 'there is no such scheduler',
      expected: SCHEDULERS.join(', '),
      value: name,
      path: '_class_name',
      fix: 'Choose one of these: for most models each makes much the same pictures.',
    });
  }
  return (await load()).fromConfig(source, {}, options);
}

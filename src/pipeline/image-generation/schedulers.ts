/** Which sampler a pipeline has: the given one, or the class that a folder names; with diffusers' corrections of old configs. */
import { InputError } from '../../core/errors.ts';
import { type AnyScheduler, SCHEDULERS, schedulerFromConfig } from '../../schedulers/by-class-name.ts';
import { DDIMScheduler } from '../../schedulers/ddim.ts';
import { LinearScheduler, type SchedulerConfig } from '../../schedulers/index.ts';
import type { SchedulerConfigs } from '../diffusion/stable-diffusion-folder.ts';
import type { Kind } from './arguments.ts';

/** A sampler that a pipeline can have. */
export type PipelineScheduler = AnyScheduler;

/** A class of them. */
interface Rebuilt {
  fromConfig(source: SchedulerConfig, changes: Readonly<Record<string, unknown>>): PipelineScheduler;
}

/** @throws InputError for what is no such sampler */
export function checkScheduler(op: string, scheduler: unknown): asserts scheduler is PipelineScheduler {
  if (scheduler instanceof DDIMScheduler || scheduler instanceof LinearScheduler) return;
  const [problem, fix] = ['not a scheduler that is built', 'Make one with DDIMScheduler.fromConfig(other.config).'];
  throw new InputError({
    op,
    problem,
    expected: SCHEDULERS.join(', '),
    received: typeof scheduler,
    path: 'scheduler',
    fix,
  });
}

/**
 * The sampler of a folder.
 * @throws InputError for a class that is not built, by name
 */
export async function folderScheduler(
  configs: SchedulerConfigs,
  warn: (message: string) => void,
): Promise<PipelineScheduler> {
  return schedulerFromConfig(await configs.read('scheduler'), undefined, { onWarning: warn });
}

/**
 * The sampler with what diffusers' pipelines correct as they are made, each with a warning.
 * @see diffusers StableDiffusionPipeline.__init__, StableDiffusionInpaintPipeline.__init__
 */
export function corrected(
  scheduler: PipelineScheduler,
  kind: Kind,
  warn: (message: string) => void,
): PipelineScheduler {
  const config: Readonly<Record<string, unknown>> = { ...scheduler.config };
  const changes: Record<string, unknown> = {};
  const correct = (name: string, field: string, value: unknown): void => {
    changes[name] = value;
    warn(`The scheduler's ${field} is ${config[name]}; ${value} is used, as diffusers does.`);
  };
  if (config['stepsOffset'] !== undefined && config['stepsOffset'] !== 1) correct('stepsOffset', 'steps_offset', 1);
  if (kind !== 'inpaint' && config['clipSample'] === true) correct('clipSample', 'clip_sample', false);
  if (kind === 'inpaint' && config['skipPrkSteps'] === false) correct('skipPrkSteps', 'skip_prk_steps', true);
  if (Object.keys(changes).length === 0) return scheduler;
  return (scheduler.constructor as unknown as Rebuilt).fromConfig(scheduler.config, changes);
}

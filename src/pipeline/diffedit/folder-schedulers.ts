/** The schedulers of DiffEdit: DDIM and its inverse, given or as a folder has them. */
import { InputError } from '../../core/errors.ts';
import type { SchedulerJson } from '../../schedulers/config.ts';
import { DDIMScheduler } from '../../schedulers/ddim.ts';
import { DDIMInverseScheduler } from '../../schedulers/ddim-inverse.ts';
import type { SchedulerConfigs } from '../diffusion/stable-diffusion-folder.ts';

/** The given ones, else those that the folder lists. */
export interface EditSchedulers {
  readonly scheduler: DDIMScheduler;
  readonly inverseScheduler: DDIMInverseScheduler;
}

/** What the caller may have given. */
export interface EditSchedulersGiven {
  readonly scheduler?: DDIMScheduler | undefined;
  readonly inverseScheduler?: DDIMInverseScheduler | undefined;
  readonly warn: (message: string) => void;
}

/**
 * DDIM and its inverse, both of one config unless they were given, or saved apart.
 * @throws InputError for what is no such scheduler, or a config that no step could follow
 */
export async function editSchedulers(
  op: string,
  files: SchedulerConfigs,
  o: EditSchedulersGiven,
): Promise<EditSchedulers> {
  const onWarning = o.warn;
  const given: readonly (readonly [string, unknown, new (...a: never[]) => unknown])[] = [
    ['scheduler', o.scheduler, DDIMScheduler],
    ['inverseScheduler', o.inverseScheduler, DDIMInverseScheduler],
  ];
  for (const [path, value, kind] of given) {
    if (value === undefined || value instanceof kind) continue;
    throw new InputError({
      op,
      problem: 'not a scheduler that is built',
      expected: kind.name,
      received: typeof value,
      path,
      fix: `Make one with ${kind.name}.fromConfig(other.config).`,
    });
  }
  const json = o.scheduler && o.inverseScheduler ? {} : ((await files.read('scheduler')) as SchedulerJson);
  // Where the oldest files say nothing of the offset it is 0, as in the published guide, which makes both schedulers of the config.
  const stated = o.scheduler !== undefined || Object.hasOwn(json, 'steps_offset');
  const wanted = o.scheduler ?? DDIMScheduler.fromConfig(json, {}, { onWarning });
  const scheduler = stated ? withOffset(wanted, o.warn) : wanted;
  // Made from one config both get the offset; one that was made by hand, or saved so, keeps its own, as in diffusers.
  const saved = !o.inverseScheduler && files.isListed('inverse_scheduler');
  const inverseScheduler = saved
    ? DDIMInverseScheduler.fromConfig(await files.read('inverse_scheduler'))
    : (o.inverseScheduler ?? DDIMInverseScheduler.fromConfig(json, stated ? { stepsOffset: 1 } : {}));
  for (const { config } of [scheduler, inverseScheduler]) checkPrediction(op, files, config.predictionType);
  return { scheduler, inverseScheduler };
}

/** What no step could do is refused before weights are loaded. */
function checkPrediction(op: string, files: SchedulerConfigs, received: string): void {
  const known = ['epsilon', 'sample', 'v_prediction'];
  if (known.includes(received)) return;
  throw new InputError({
    op,
    problem: 'unknown prediction_type',
    expected: known.join(' or '),
    received,
    path: files.path('scheduler'),
    fix: 'Correct the file.',
  });
}

/** Timesteps must start at 1: an older config that says otherwise is corrected, with a warning. */
function withOffset(scheduler: DDIMScheduler, warn: (message: string) => void): DDIMScheduler {
  const { stepsOffset } = scheduler.config;
  if (stepsOffset === 1) return scheduler;
  warn(`The scheduler's steps_offset is ${stepsOffset}; 1 is used, as diffusers does.`);
  return DDIMScheduler.fromConfig(scheduler.config, { stepsOffset: 1 });
}

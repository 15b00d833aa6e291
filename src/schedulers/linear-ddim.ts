/** DDIM in the form that the other samplers have. */

import { InputError } from '../core/errors.ts';
import { checkNames } from '../core/known-names.ts';
import type { ScheduleFields } from './config.ts';
import type { DDIMScheduler } from './ddim.ts';
import { type LinearSampler, LinearScheduler, type RunPart } from './linear-scheduler.ts';
import { blend, cleanBlend, type LinearStep, NOISE, OUTPUT, padded, SAMPLE } from './linear-step.ts';
import { type Run, runOptions } from './run.ts';
import { sqrt32 } from './update.ts';

/**
 * What a sampling loop asks of a sampler, for DDIM too.
 * @param scheduler any; those beside DDIM are returned as they are
 * @param options.eta share of fresh noise of DDIM's steps, >= 0, default 0; without part in other samplers, as in diffusers
 * @throws InputError for what is no scheduler
 */
export function linearSampler(
  scheduler: DDIMScheduler | LinearScheduler<ScheduleFields>,
  options: { readonly eta?: number } = {},
): LinearSampler {
  checkNames('linearSampler', options, ['eta']);
  const { eta = 0 } = options;
  if (scheduler instanceof LinearScheduler) return scheduler;
  if (typeof (Object(scheduler) as { readonly schedule?: unknown }).schedule !== 'function') {
    const [problem, fix] = ['this is no scheduler', 'Make one with DDIMScheduler.fromConfig(config).'];
    throw new InputError({ op: 'linearSampler', problem, received: typeof scheduler, fix });
  }
  const stepsOf = (run: Run): number => runOptions('DDIMScheduler', run, []).numInferenceSteps as number;
  return {
    length: scheduler.length,
    keptSlots: 0,
    initNoiseSigmaFor: () => 1,
    timestepsFor: run => scheduler.timestepsFor(stepsOf(run)),
    linearSteps: (run, part: RunPart = {}) =>
      scheduler.schedule(stepsOf(run), { ...part, eta }).map(({ timestep, coefficients: c }): LinearStep => {
        const { cleanSample, clip, threshold, noise } = c;
        const clean = cleanBlend(cleanSample, { clip, threshold });
        const eps = blend([noise.sample, SAMPLE], [noise.output, OUTPUT]);
        return {
          timestep,
          inputScale: 1,
          level: scheduler.addNoiseCoefficients(timestep),
          ...{ cleanSample, clip, threshold },
          next: padded(blend([sqrt32(c.alphaPrev), clean], [c.direction, eps], [c.sigma, NOISE]), 0),
          keep: [],
          drawsNoise: eta > 0,
        };
      }),
  };
}

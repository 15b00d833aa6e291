import { describe, expect, test } from 'vitest';
import type { Sampler } from '../../../src/pipeline/diffusion/sampler.ts';
import { DDIMInverseScheduler, DDIMScheduler } from '../../../src/schedulers/index.ts';

const KINDS = { DDIMScheduler, DDIMInverseScheduler };

describe.each(Object.entries(KINDS))('%s', (_, Kind) => {
  test.each([1, 7, 50])('gives the steps of a run of %i as its own step by step does', n => {
    const [scheduler, known] = [new Kind({ stepsOffset: 1 }), new Kind({ stepsOffset: 1 })];
    const sampler: Sampler = scheduler;
    known.setTimesteps(n);
    const steps = sampler.schedule(n, { eta: 0 });
    expect(sampler.timestepsFor(n)).toEqual(known.timesteps);
    expect(steps.map(s => s.timestep)).toEqual(known.timesteps);
    expect(steps.map(s => s.coefficients)).toEqual(known.timesteps.map(t => known.stepCoefficients(t)));
  });

  test('begins and ends where it is told, for a part of a run or one that goes on', () => {
    const sampler: Sampler = new Kind({ stepsOffset: 1 });
    const all = sampler.schedule(10);
    expect(sampler.schedule(10, { from: 2 })).toEqual(all.slice(2));
    expect(sampler.schedule(10, { to: 8 })).toEqual(all.slice(0, 8));
    expect(sampler.schedule(10, { from: 3, to: 5 })).toEqual(all.slice(3, 5));
    expect(sampler.schedule(10, { from: 10 })).toEqual([]);
    for (const bad of [-3, 1.5, 11, Number.NaN, '2'])
      for (const name of ['from', 'to'])
        expect(() => sampler.schedule(10, { [name]: bad })).toThrow(
          `schedule: no step of the run: expected a whole number from 0 to 10, got ${typeof bad === 'string' ? `"${bad}"` : bad} (${name})`,
        );
    expect([...sampler.schedule(10, { to: 4 }), ...sampler.schedule(10, { from: 4 })]).toEqual(all);
  });

  test('is left as it was, also by what it refuses', () => {
    const scheduler = new Kind({ stepsOffset: 1 });
    scheduler.setTimesteps(5);
    const before = [scheduler.timesteps, scheduler.numInferenceSteps];
    scheduler.schedule(20);
    scheduler.timestepsFor(20);
    expect(() => scheduler.schedule(0)).toThrow('numInferenceSteps');
    expect(() => scheduler.timestepsFor(1001)).toThrow('numInferenceSteps');
    expect([scheduler.timesteps, scheduler.numInferenceSteps]).toEqual(before);
  });

  test('works out no step that nobody asks for', () => {
    // The offset pushes a timestep past the end of the table when every one is used.
    const scheduler = new Kind({ stepsOffset: 1 });
    expect(() => scheduler.schedule(1000)).toThrow('the schedule has no such timestep');
    const inside = Kind === DDIMScheduler ? { from: 1 } : { to: 999 };
    expect(scheduler.schedule(1000, inside)).toHaveLength(999);
  });
});

test('eta adds fresh noise to a step forwards', () => {
  const [none, some] = [0, 0.5].map(eta => new DDIMScheduler().schedule(10, { eta }));
  expect(none.every(s => s.coefficients.sigma === 0)).toBe(true);
  expect(some.some(s => s.coefficients.sigma > 0)).toBe(true);
  expect(() => new DDIMScheduler().schedule(10, { eta: -1 })).toThrow('eta is not a number >= 0');
});

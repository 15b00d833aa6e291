import { describe, expect, test } from 'vitest';
import { DDIMInverseScheduler, DDIMScheduler, type TimestepSpacing } from '../../src/schedulers/index.ts';
import { loadGolden } from '../support/golden.ts';
import { loadNumbers } from '../support/scheduler-numbers.ts';

function timesteps(n: number, fields: ConstructorParameters<typeof DDIMScheduler>[0] = {}): readonly number[] {
  const scheduler = new DDIMScheduler(fields);
  scheduler.setTimesteps(n);
  return scheduler.timesteps;
}

describe('setTimesteps', () => {
  test.each<{ total: number; spacing: TimestepSpacing; sums: number[] }>(loadNumbers('tables').timesteps)(
    'agrees with diffusers for every N from 1 to $total with $spacing spacing',
    ({ total, spacing, sums }) => {
      const forward = new DDIMScheduler({ numTrainTimesteps: total, timestepSpacing: spacing });
      const ours = sums.map((_, i) => {
        forward.setTimesteps(i + 1);
        return forward.timesteps.reduce((sum, t, k) => sum + (k + 1) * (t + 1), 0);
      });
      expect(ours).toEqual(sums);
    },
  );

  test('gives the recorded lists', () => {
    const golden = loadGolden('schedulers');
    const kinds = { ddim: DDIMScheduler, inverse: DDIMInverseScheduler };
    const names = golden.names.filter(name => name.endsWith('.timesteps'));
    expect(names.length).toBe(26);
    for (const name of names) {
      const [kind, i, n] = name.split('.');
      const scheduler = kinds[kind as 'ddim' | 'inverse'].fromConfig(golden.json.configs[Number(i)]);
      scheduler.setTimesteps(Number(n));
      expect(scheduler.timesteps, name).toEqual([...golden.ints(name).data]);
    }
  });

  test('leads by the offset', () => {
    expect(timesteps(5, { stepsOffset: 1 })).toEqual([801, 601, 401, 201, 1]);
    expect(timesteps(30, { stepsOffset: 1 }).slice(0, 2)).toEqual([958, 925]);
    expect(timesteps(30, { stepsOffset: 1 }).slice(-2)).toEqual([34, 1]);
    expect(timesteps(25, { stepsOffset: 1 })[0]).toBe(961);
    expect(timesteps(50, { stepsOffset: 1 })[25]).toBe(481);
  });

  test('ignores the offset with the other spacings', () => {
    const trailing = [999, 899, 799, 699, 599, 499, 399, 299, 199, 99];
    expect(timesteps(10, { timestepSpacing: 'trailing', stepsOffset: 1 })).toEqual(trailing);
    const linspace = [999, 888, 777, 666, 555, 444, 333, 222, 111, 0];
    expect(timesteps(10, { timestepSpacing: 'linspace', stepsOffset: 1 })).toEqual(linspace);
  });

  test('gives N trailing timesteps, where the original sometimes adds -1', () => {
    const counts = Array.from({ length: 1000 }, (_, i) => i + 1);
    expect(counts.map(n => timesteps(n, { timestepSpacing: 'trailing' }).length)).toEqual(counts);
    expect(timesteps(61, { timestepSpacing: 'trailing' }).slice(-2)).toEqual([32, 15]);
  });

  test('runs upwards in the inverse scheduler', () => {
    const leading = new DDIMInverseScheduler({ stepsOffset: 1 });
    leading.setTimesteps(5);
    expect(leading.timesteps).toEqual([1, 201, 401, 601, 801]);
    const trailing = new DDIMInverseScheduler({ timestepSpacing: 'trailing' });
    trailing.setTimesteps(4);
    expect(trailing.timesteps).toEqual([249, 499, 749, 999]);
  });

  test('covers all training timesteps before it is called', () => {
    expect(new DDIMScheduler({ numTrainTimesteps: 4 }).timesteps).toEqual([3, 2, 1, 0]);
    expect(new DDIMInverseScheduler({ numTrainTimesteps: 4 }).timesteps).toEqual([0, 1, 2, 3]);
  });

  test('refuses counts and spacings that make no sense', () => {
    expect(() => timesteps(1001)).toThrowErrorMatchingInlineSnapshot(
      `[InputError: setTimesteps: the number of inference steps does not suit the schedule: expected a whole number from 1 to 1000, got 1001 (numInferenceSteps). The model was trained on 1000 timesteps: ask for at most that many.]`,
    );
    expect(() => timesteps(0)).toThrowErrorMatchingInlineSnapshot(
      `[InputError: setTimesteps: the number of inference steps does not suit the schedule: expected a whole number from 1 to 1000, got 0 (numInferenceSteps). The model was trained on 1000 timesteps: ask for at most that many.]`,
    );
    expect(() => timesteps(2.5)).toThrowErrorMatchingInlineSnapshot(
      `[InputError: setTimesteps: the number of inference steps does not suit the schedule: expected a whole number from 1 to 1000, got 2.5 (numInferenceSteps). The model was trained on 1000 timesteps: ask for at most that many.]`,
    );
    const inverse = new DDIMInverseScheduler({ timestepSpacing: 'linspace' });
    expect(() => inverse.setTimesteps(10)).toThrowErrorMatchingInlineSnapshot(
      `[InputError: setTimesteps: this scheduler does not know the timestep spacing: expected leading or trailing, got "linspace" (timestep_spacing). Give another one: Scheduler.fromConfig(config, { timestepSpacing }).]`,
    );
    const unknown = DDIMScheduler.fromConfig({ timestep_spacing: 'karras' });
    expect(() => unknown.setTimesteps(10)).toThrowErrorMatchingInlineSnapshot(
      `[InputError: setTimesteps: this scheduler does not know the timestep spacing: expected leading or trailing or linspace, got "karras" (timestep_spacing). Give another one: Scheduler.fromConfig(config, { timestepSpacing }).]`,
    );
  });
});

/**
 * What halving finds is within 3 % of the best of all candidates, timed exhaustively, and no slower than what the device takes without a
 * table; for each op of the embedded and of the published networks. Minutes of the processor, whose seconds are what is compared.
 */
import { describe, expect, it } from 'vitest';
import { candidatesOf, choose, nameOf, type Op } from '../../src/kernels/op.ts';
import { OPS } from '../../src/kernels/registry.ts';
import { directory } from '../../src/node/index.ts';
import { problemsOf } from '../../src/pipeline/problems/model-problems.ts';
import { costOfProblem } from '../../src/tuning/contender.ts';
import type { Heard } from '../../src/tuning/heard.ts';
import { Meter } from '../../src/tuning/meter.ts';
import { median, race } from '../../src/tuning/race.ts';
import { smaller } from '../../src/tuning/smaller.ts';
import { tuningOf } from '../../src/tuning/table.ts';
import { candidatesFor, tasksOf } from '../../src/tuning/tasks.ts';
import { type Entrant, Trial } from '../../src/tuning/trial.ts';
import { tune } from '../../src/tuning/tune.ts';
import { hollowModel } from '../support/fake-models.ts';
import { freshGpu } from '../support/gpu.ts';

const FULL = process.env.PENTIMENTO_FULL !== undefined;
const MODELS = {
  embedded: new URL('../../models/orchard/stable-diffusion', import.meta.url).pathname,
  sd21: 'sd21',
} as const;
/** Problems of each op that are timed exhaustively, spread over all. */
const EACH = 3;
/** Beyond the 3 % that are promised: what two medians of the same differ by. */
const NOISE = 0.01;
const FLOPS = 1.5e8;

/** Some problems of each op. */
function some(heard: readonly Heard[]): Heard[] {
  return OPS.flatMap(({ name }) => {
    const own = heard.filter(({ op }) => op === name);
    const step = Math.max(1, Math.floor(own.length / EACH));
    return own.filter((_, i) => i % step === 0).slice(0, EACH);
  });
}

describe.runIf(FULL).each(['embedded', 'sd21'] as const)('of the %s model', name => {
  it('every choice is within 3 % of the best', async () => {
    const gpu = await freshGpu({ half: 'f16-packed' });
    const folder = name === 'sd21' ? hollowModel('sd21') : await directory(MODELS.embedded);
    const dtype = name === 'sd21' ? 'float16' : 'float32';
    const heard = some(await problemsOf(folder, { caps: gpu.caps, dtype }));
    const table = await tune(gpu, heard);
    const meter = Meter.create(gpu);
    const far: Record<string, string> = {};
    for (const { op: named, problem: whole } of heard) {
      const op = OPS.find(one => one.name === named) as unknown as Op<unknown>;
      const problem = smaller(named, whole, Math.min(1, FLOPS / costOfProblem(op, gpu.caps, whole)));
      const [task] = tasksOf(op, gpu.caps, [{ problem: whole, times: 1 }]);
      if (!task) continue;
      const trial = await Trial.open({ gpu, meter, longestCompile: 60_000 }, op, problem, whole);
      const entrants = await trial.enter(candidatesFor(task, gpu.caps), new Map());
      const timed = await race(entrants, entrants[0] as Entrant<unknown>, {
        sampleMs: 10,
        samples: 11,
        exhaustive: true,
      });
      const variant = choose(op, gpu.caps, whole, tuningOf(table));
      const tiles = JSON.stringify(variant.tiles(gpu.caps, whole));
      const own = timed.find(({ runner: { candidate } }) => {
        const same = nameOf(candidate.variant) === nameOf(variant);
        return same && JSON.stringify(candidate.tiles ?? candidatesOf(candidate.variant, gpu.caps, whole)[0]) === tiles;
      });
      const [best] = timed;
      const ratios = own?.samples.map((ms, i) => ms / (best?.samples[i] ?? Number.NaN)) ?? [Number.NaN];
      const loss = median(ratios) - 1;
      if (!(loss <= 0.03 + NOISE)) {
        far[`${named} ${JSON.stringify(whole)}`] =
          `${own?.runner.name} takes ${(100 * loss).toFixed(1)} % more than ${best?.runner.name}`;
      }
      trial.dispose();
    }
    meter.dispose();
    gpu.dispose();
    expect(far).toEqual({});
  });
});

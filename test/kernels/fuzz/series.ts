/** A series of random problems: batches of one row each, every one by a seed of its own, so that a finding can be run again alone. */
import type { Gpu } from '../../../src/gpu/device.ts';
import type { Storage } from '../../../src/kernels/kernel.ts';
import { Draw } from './draw.ts';
import type { Problem, Row, Where } from './problem.ts';
import { Fuzz } from './run.ts';

/** How much is run, and from which number on. */
export interface Series {
  readonly seed: string;
  readonly rows: readonly Row[];
  /** Batches of the whole series; rows take turns. */
  readonly batches: number;
  /** Problems of a batch, which share what is compiled. */
  readonly perBatch: number;
  /** The only batch to run, as a finding names it: the row's name and how many of it came before; default all. */
  readonly only?: string | undefined;
}

/** What ran. */
export interface Outcome {
  problems: number;
  /** Problems by row. */
  readonly ran: Map<string, number>;
  /** Texts of libs that were compiled in. */
  readonly libs: Set<string>;
  readonly findings: string[];
}

/** Where problems run on a device: forms of halves by what it has. */
export function whereOf({ caps, device }: Gpu): Where {
  const halves: Storage[] = device.features.has('shader-f16') ? ['f16', 'f16-packed'] : ['f16-packed'];
  return { caps, storages: ['f32', ...halves] };
}

/** Whether a device can run a row: broadcasts want small subgroups, matrices their units. */
export function runsOn({ caps }: Gpu, { kernel }: Row): boolean {
  if (kernel.endsWith('-matrix')) return caps.matrix !== undefined;
  return !/-broadcast(-wide)?$/.test(kernel) || caps.subgroupSize > 0;
}

/** Runs a series; findings say how to run them again. */
export async function runSeries(gpu: Gpu, { seed, rows, batches, perBatch, only }: Series): Promise<Outcome> {
  const outcome: Outcome = { problems: 0, ran: new Map(), libs: new Set(), findings: [] };
  const able = rows.filter(row => runsOn(gpu, row) && (only === undefined || only.startsWith(`${row.name}:`)));
  const fuzz = new Fuzz(gpu);
  for (let batch = 0; batch < (only === undefined ? batches : able.length); batch++) {
    const row = able[batch % able.length] as Row;
    const name = only ?? `${row.name}:${Math.floor(batch / able.length)}`;
    const draw = new Draw(`${seed}:${name}`);
    const sizes = row.forms(draw, whereOf(gpu));
    if (!sizes) continue;
    const problems = Array.from({ length: perBatch }, (_, i) => sizes(new Draw(`${seed}:${name}:${i}`)));
    const findings = await fuzz.run(problems, draw);
    for (const [i, finding] of findings.entries()) {
      const problem = problems[i] as Problem;
      for (const lib of problem.call.libs) outcome.libs.add(lib);
      if (!finding) continue;
      outcome.findings.push(
        `PENTIMENTO_FUZZ=${seed}:${name}, problem ${i}: ${finding}; ${JSON.stringify(problem.about)}`,
      );
    }
    outcome.problems += problems.length;
    outcome.ran.set(row.name, (outcome.ran.get(row.name) ?? 0) + problems.length);
  }
  fuzz.dispose();
  return outcome;
}

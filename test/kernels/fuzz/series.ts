/** Random problems of a row: batches, every one by a seed of its own, so that a finding can be run again alone. */
import type { Gpu } from '../../../src/gpu/device.ts';
import { canBroadcast, type Storage } from '../../../src/kernels/kernel.ts';
import { Draw } from './draw.ts';
import type { Problem, Row, Where } from './problem.ts';
import { Fuzz } from './run.ts';

/** How much of a row is run. */
export interface Series {
  readonly seed: string;
  /** Batches, each of which is compiled anew. */
  readonly batches: number;
  /** Problems of a batch, which share what is compiled. */
  readonly perBatch: number;
  /** The number of the only batch to run; default all from 0 on. */
  readonly only?: number | undefined;
}

/** What ran. */
export interface Outcome {
  readonly problems: number;
  /** Texts of libs that were compiled in. */
  readonly libs: ReadonlySet<string>;
  /** Each says how to run it again. */
  readonly findings: readonly string[];
}

/** Where problems run on a device: forms of halves by what it has. */
export function whereOf({ caps, device }: Gpu): Where {
  const halves: Storage[] = device.features.has('shader-f16') ? ['f16', 'f16-packed'] : ['f16-packed'];
  return { caps, storages: ['f32', ...halves] };
}

/** Whether a device can run a row: broadcasts want small subgroups, matrices their units. */
export function runsOn({ caps }: Gpu, { kernel }: Row): boolean {
  if (kernel.endsWith('-matrix')) return caps.matrix !== undefined;
  return !/-broadcast(-wide)?$/.test(kernel) || canBroadcast(caps);
}

/** Runs problems of a row. */
export async function runSeries(gpu: Gpu, row: Row, { seed, batches, perBatch, only }: Series): Promise<Outcome> {
  const libs = new Set<string>();
  const found: string[] = [];
  let count = 0;
  const fuzz = new Fuzz(gpu);
  for (let batch = only ?? 0; batch < (only === undefined ? batches : only + 1); batch++) {
    const name = `${seed}:${row.name}:${batch}`;
    const draw = new Draw(name, batch);
    const sizes = row.forms(draw, whereOf(gpu));
    if (!sizes) continue;
    const problems = Array.from({ length: perBatch }, (_, i) => sizes(new Draw(`${name}:${i}`)));
    const findings = await fuzz.run(problems, draw);
    for (const [i, finding] of findings.entries()) {
      const { call, about } = problems[i] as Problem;
      for (const lib of call.libs) libs.add(lib);
      if (finding) found.push(`PENTIMENTO_FUZZ=${name}, problem ${i}: ${finding}; ${JSON.stringify(about)}`);
    }
    count += problems.length;
  }
  fuzz.dispose();
  return { problems: count, libs, findings: found };
}

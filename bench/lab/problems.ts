/** The problems that networks hand to the ops which have several variants, heard while the networks are used. */
import { fileURLToPath } from 'node:url';
import type { Gpu } from '../../src/gpu/device.ts';
import type { GemmProblem } from '../../src/kernels/gemm.ts';
import type { Op } from '../../src/kernels/op.ts';
import { OPS } from '../../src/kernels/registry.ts';
import { DiffEditPipeline } from '../../src/pipeline/diffedit/pipeline.ts';
import { hollowModel } from '../../test/support/fake-models.ts';
import { diskFolder } from '../../test/support/folder.ts';

/** A problem of an op. */
export interface Heard {
  readonly op: Op<unknown>;
  readonly problem: unknown;
  /** How often it was met while plans were made. */
  times: number;
}

const EMBEDDED = fileURLToPath(new URL('../../models/orchard/stable-diffusion', import.meta.url));

/**
 * Edits of the embedded model at its own size, of Stable Diffusion 1.5 at 512, whose heads have other widths, and of 2.1: their weights are
 * never looked at.
 *
 * @param size pixels of a side of the last one
 */
export async function hearProblems(gpu: Gpu, size: number, dtype: 'float16' | 'float32'): Promise<Heard[]> {
  const heard = new Map<string, Heard>();
  for (const op of OPS as readonly Op<unknown>[]) listen(op, heard);
  const prompts = { sourcePrompt: 'a bowl of apples', targetPrompt: 'a bowl of pears' };
  for (const [folder, side] of [
    [diskFolder(EMBEDDED), 128],
    [hollowModel('sd15'), 512],
    [hollowModel('sd21'), size],
  ] as const) {
    const pipeline = await DiffEditPipeline.fromPretrained(folder, { gpu, dtype, onWarning: () => undefined });
    const image = { width: side, height: side, data: new Uint8Array(3 * side * side) };
    await pipeline.run({ image, ...prompts, seed: 0, outputType: 'np', numInferenceSteps: 2, numMapsPerMask: 1 });
    pipeline.dispose();
  }
  return [...heard.values()];
}

/** An op checks each of its problems before it chooses. */
function listen(op: Op<unknown>, heard: Map<string, Heard>): void {
  const check = op.check.bind(op);
  Object.assign(op, {
    check: (problem: GemmProblem) => {
      const key = `${op.name} ${JSON.stringify(problem)}`;
      const known = heard.get(key) ?? { op, problem, times: 0 };
      known.times++;
      heard.set(key, known);
      check(problem);
    },
  });
}

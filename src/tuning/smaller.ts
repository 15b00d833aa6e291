/** Problems with less to do and the same choice: fewer pictures, lines or rows, so that slow devices are measured in a moment. */
import type { AttentionProblem } from '../kernels/attention.ts';
import type { Conv2dProblem } from '../kernels/conv2d.ts';
import type { GemmProblem } from '../kernels/gemm.ts';
import type { GroupNormFinalizeProblem } from '../kernels/group-norm-finalize.ts';
import type { LayerNormProblem } from '../kernels/layer-norm.ts';
import type { MatmulProblem } from '../kernels/matmul.ts';
import type { SoftmaxProblem } from '../kernels/softmax.ts';

/** Rows and lines are cut to whole tiles and slabs of all variants. */
const STEP = 64;
const LINES = 16;

/** So many of `count`, in whole steps, as keep a share of the work; all where they are few. */
function fewer(count: number, share: number, step: number): number {
  return Math.min(count, Math.max(step, Math.ceil((count * share) / step) * step));
}

type Smaller = (problem: never, share: number) => unknown;

const SMALLER: Readonly<Record<string, Smaller>> = {
  linear: (p: GemmProblem, share) => (p.batch === 1 ? { ...p, rows: fewer(p.rows, share, STEP) } : p),
  conv2d: (p: Conv2dProblem, share) => {
    const images = fewer(p.images, share, 1);
    return { ...p, images, height: fewer(p.height, (share * p.images) / images, LINES) };
  },
  matmul: (p: MatmulProblem, share) => ({ ...p, batch: fewer(p.batch, share, 1) }),
  attention: (p: AttentionProblem, share) => {
    const { batch, kvBatch = batch } = p;
    const one = share * batch < batch && batch > 1;
    const { queries } = p;
    const own = one ? { ...p, batch: 1, kvBatch: 1 } : { ...p, kvBatch };
    return { ...own, queries: fewer(queries, one ? Math.min(1, share * batch) : share, STEP) };
  },
  layerNorm: (p: LayerNormProblem, share) => ({ ...p, rows: fewer(p.rows, share, STEP) }),
  rmsNorm: (p: LayerNormProblem, share) => ({ ...p, rows: fewer(p.rows, share, STEP) }),
  softmax: (p: SoftmaxProblem, share) => ({ ...p, rows: fewer(p.rows, share, STEP) }),
  groupNormFinalize: (p: GroupNormFinalizeProblem, share) => ({ ...p, images: fewer(p.images, share, 1) }),
};

/**
 * A problem of the same op with about this share of the work, whose fields of `tunedBy` decide as before.
 *
 * @param share of the work, in (0, 1]; 1 leaves the problem as it is
 */
export function smaller<P>(op: string, problem: P, share: number): P {
  const make = share < 1 ? SMALLER[op] : undefined;
  return make ? (make(problem as never, share) as P) : problem;
}

/**
 * What it takes to run a problem and to know its result: buffers by binding names, and the formula in f64 by plain loops, element by element.
 * The tuner, the benchmark and tests share it.
 */
import { InputError } from '../core/errors.ts';
import type { Caps } from '../gpu/caps.ts';
import type { AttentionProblem } from '../kernels/attention.ts';
import { asGemm, type Conv2dProblem } from '../kernels/conv2d.ts';
import type { GemmProblem } from '../kernels/gemm.ts';
import type { GroupNormFinalizeProblem } from '../kernels/group-norm-finalize.ts';
import type { LayerNormProblem } from '../kernels/layer-norm.ts';
import { type MatmulProblem, asGemm as matmulAsGemm } from '../kernels/matmul.ts';
import type { Op } from '../kernels/op.ts';
import type { SoftmaxProblem } from '../kernels/softmax.ts';
import { attentionCase } from './attention-case.ts';
import type { ProblemCase } from './case-types.ts';
import { finalizeCase, rowNormCase, softmaxCase } from './norm-cases.ts';
import { productCase } from './product-case.ts';

export type { ProblemCase, Values } from './case-types.ts';

/**
 * The case of a problem of any op of `OPS`.
 *
 * @param caps of the device: parts of a norm's statistics go by them
 * @throws InputError for an op that is none of them, and what the op's check throws
 */
export function caseOf<P>(op: Pick<Op<P>, 'name' | 'check'>, problem: P, caps: Pick<Caps, 'software'>): ProblemCase {
  op.check(problem);
  const make = CASES[op.name];
  if (make) return make(problem, caps);
  const expected = Object.keys(CASES);
  throw new InputError({ op: 'caseOf', problem: 'there is no case of this op', expected, value: op.name });
}

/** By the ops' names; each is handed problems of its own op. */
const CASES: Readonly<Record<string, (problem: unknown, caps: Pick<Caps, 'software'>) => ProblemCase>> = {
  linear: p => productCase(p as GemmProblem),
  conv2d: p => convCase(p as Conv2dProblem),
  matmul: p => productCase(matmulAsGemm(p as MatmulProblem)),
  attention: p => attentionCase(p as AttentionProblem),
  layerNorm: p => rowNormCase(p as LayerNormProblem, true),
  rmsNorm: p => rowNormCase(p as LayerNormProblem, false),
  groupNormFinalize: (p, caps) => finalizeCase(p as GroupNormFinalizeProblem, caps),
  softmax: p => softmaxCase(p as SoftmaxProblem),
};

/** A 1 x 1 convolution too reads pixels, as many as it has rows. */
function convCase(p: Conv2dProblem): ProblemCase {
  return productCase(asGemm(p));
}

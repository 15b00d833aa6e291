import type { Caps } from '../gpu/caps.ts';
import { checkGemm, GEMM_VARIANTS, type GemmProblem, packedOf } from './gemm.ts';
import { GEMM_MATRIX } from './gemm-matrix.ts';
import { GEMV_VARIANTS } from './gemv.ts';
import type { KernelCall } from './kernel.ts';
import { callOf, type Op, type Tuning, type Variant } from './op.ts';

/** After all others where rows belong together: a picture gets the same sums alone as among many. */
const SINGLE_ROWS: readonly Variant<GemmProblem>[] = GEMV_VARIANTS.map(variant => ({
  ...variant,
  fitsAnyBatch: ({ itemRows = 1 }) => itemRows === 1,
  rank: (caps, problem) => ((problem.itemRows ?? 1) > 1 ? 4 : (variant.rank?.(caps, problem) ?? 0)),
}));

/** Linear layers: gemv for a few rows that stand alone, gemm for the rest. */
export const LINEAR: Op<GemmProblem> = {
  name: 'linear',
  check: problem => checkGemm('linear', problem),
  packed: packedOf,
  tunedBy: [
    ...['itemRows', 'k', 'y.pitch', 'a.storage', 'b.storage', 'b.layout', 'b.kTotal', 'y.storage', 'epilogue.geglu'],
  ],
  variants: [...SINGLE_ROWS, ...GEMM_VARIANTS, ...GEMM_MATRIX],
};

/**
 * y = act(scale A B + bias) and what follows it, for packed or plain B. Bindings: a, b, bias, channel_add (which gemv does without),
 * residual, y; what the epilogue leaves out must still be bound, to b for example.
 *
 * @throws ShapeError for sizes that are no positive integers, and pitches, offsets or K off their multiples
 * @see torch.nn.functional.linear
 */
export function linear(caps: Caps, problem: GemmProblem, tuning?: Tuning): KernelCall {
  return callOf(LINEAR, caps, problem, tuning);
}

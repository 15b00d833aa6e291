/**
 * The ops that exist in several variants, and the choice among them. A call is plain data, so which variant a device and a
 * problem get can be asked without a GPU. Ops with one kernel need no entry: their functions are all there is.
 */
import type { Caps } from '../gpu/caps.ts';
import { attention } from './attention.ts';
import type { AttentionProblem } from './attention-problem.ts';
import { type Conv2dProblem, conv2d } from './conv2d.ts';
import type { GemmProblem } from './gemm.ts';
import { contraction } from './gemv.ts';
import { type GroupNormFinalizeProblem, groupNormFinalize } from './group-norm-finalize.ts';
import type { KernelCall } from './kernel.ts';
import { type LayerNormProblem, layerNorm, rmsNorm } from './layer-norm.ts';
import { type MatmulProblem, matmul } from './matmul.ts';
import { type SoftmaxProblem, softmax } from './softmax.ts';

/** One op: the stems of its wgsl files, and the call that a problem becomes on a device. */
export interface VariantOp<P> {
  readonly variants: readonly string[];
  readonly call: (caps: Caps, problem: P) => KernelCall;
}

/** All of them, by name. */
export interface Registry {
  /** Linear layers: gemv for a few rows, gemm for the rest. */
  readonly linear: VariantOp<GemmProblem>;
  readonly conv2d: VariantOp<Conv2dProblem>;
  readonly matmul: VariantOp<MatmulProblem>;
  readonly attention: VariantOp<AttentionProblem>;
  readonly layerNorm: VariantOp<LayerNormProblem>;
  readonly rmsNorm: VariantOp<LayerNormProblem>;
  /** The middle one of group normalisation's three calls; the other two have one variant. */
  readonly groupNormFinalize: VariantOp<GroupNormFinalizeProblem>;
  readonly softmax: VariantOp<SoftmaxProblem>;
}

function families(...stems: string[]): string[] {
  return stems.flatMap(stem => [`${stem}-broadcast`, `${stem}-tile`]);
}

/** What the engine chooses from. */
export const REGISTRY: Registry = {
  linear: { variants: families('gemv', 'gemm'), call: contraction },
  conv2d: { variants: families('gemm'), call: conv2d },
  matmul: { variants: families('gemm'), call: matmul },
  attention: { variants: families('attention'), call: attention },
  layerNorm: { variants: families('layer-norm'), call: layerNorm },
  rmsNorm: { variants: families('layer-norm'), call: rmsNorm },
  groupNormFinalize: { variants: families('group-norm-finalize'), call: groupNormFinalize },
  softmax: { variants: families('softmax'), call: softmax },
};

/**
 * The variant that a problem gets on a device: the stem of its wgsl file.
 * @throws as the op's own function
 */
export function chooseVariant<Op extends keyof Registry>(
  op: Op,
  caps: Caps,
  problem: Parameters<Registry[Op]['call']>[1],
): string {
  const { call } = REGISTRY[op] as VariantOp<typeof problem>;
  return call(caps, problem).kernel;
}

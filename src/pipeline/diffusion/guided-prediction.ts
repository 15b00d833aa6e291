/** What happens to a prediction before the step that uses it. */
import type { Threshold } from '../../schedulers/index.ts';
import type { DeviceTensor } from '../../tensor/device-tensor.ts';
import type { Graph } from '../../tensor/graph.ts';
import { cleanBounds, guidedNoise, rescaledNoise } from '../../tensor/ops/diffusion.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import type { TensorScope } from '../runtime/device-memory.ts';

/** A recording that makes predictions. */
interface PredictionRecording {
  readonly graph: Graph;
  readonly scope: TensorScope;
  /** [N, C, H, W] */
  readonly shape: readonly number[];
  readonly io: { readonly step: DeviceTensor };
}

/** The guided prediction of [2N, C, H, W], f32 [N, C, H, W]; its spread brought back by the step's number where it is `rescaled`. */
export function guidedBy(
  { graph, scope, io, shape }: PredictionRecording,
  prediction: Tensor,
  isRescaled: boolean | undefined,
): Tensor {
  const into = graph.input(scope.tensor(shape, 'float32', 'guided prediction'));
  (isRescaled ? rescaledNoise : guidedNoise)(prediction, graph.input(io.step), into);
  return into;
}

/** A guided prediction [N, C, H, W] in f32, and how far the clean latents that it predicts of x may reach. */
export function bounded(
  { graph, scope, io, shape }: PredictionRecording,
  prediction: Tensor,
  { ratio, maxValue, x }: Threshold & { readonly x: Tensor },
): { readonly prediction: Tensor; readonly bounds: Tensor } {
  const e = prediction.cast('float32');
  const bounds = graph.input(scope.tensor([shape[0] ?? 1, 1], 'float32', 'bounds'));
  cleanBounds({ e, x, step: graph.input(io.step), into: bounds }, { ratio, most: maxValue });
  return { prediction: e, bounds };
}

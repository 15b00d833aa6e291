/** What was recorded, as fusion, lowering and planning read it; none of them changes it. */
import type { DType } from '../core/dtype.ts';
import type { Shape } from '../core/shape.ts';
import type { Gpu } from '../gpu/device.ts';
import type { Constant, Node, Tensor } from './tensor.ts';

/** A result that a plan writes into a DeviceTensor on each run. */
export interface Store {
  /** The result that is left. */
  readonly tensor: Tensor;
  /** The DeviceTensor, as an operand of the same graph. */
  readonly target: Tensor;
}

/** A finished recording. */
export interface Recording {
  /** The device that plans run on. */
  readonly gpu: Gpu;
  /** In an order in which every input is written before it is read. */
  readonly nodes: readonly Node[];
  /** What each run leaves in DeviceTensors, in recorded order. */
  readonly stores: readonly Store[];
  /** Fixed values that each plan uploads. */
  readonly constants: readonly Constant[];
  /** A tensor that a plan finds memory for; leaves the recording as it is. */
  allocate(shape: Shape, dtype: DType): Tensor;
}

/** What a parameter is made of: the tensors of a checkpoint that fill it, and where in it they lie. */
import type { DType } from '../core/dtype.ts';
import type { StoredTensor } from '../core/tensor-source.ts';
import type { HeadSpread } from '../kernels/pack-weight.ts';
import type { Parameter } from './parameter.ts';

/** One checkpoint tensor and its place in a parameter. */
export interface Piece {
  /** What the checkpoint has. */
  readonly stored: StoredTensor;
  /** Rows of the stored matrix, or values of a vector. */
  readonly outputs: number;
  /** Columns of one tap of the stored matrix; 1 for vectors. */
  readonly inputs: number;
  /** Places of a convolution kernel: its height times its width, else 1. */
  readonly taps: number;
  /** First column of the parameter that it fills. */
  readonly columnFirst: number;
  /** Columns of the parameter that it fills, padding included. */
  readonly columns: number;
  /** Spreads the outputs so that each head begins at a multiple of 8. */
  readonly outHeads?: HeadSpread | undefined;
  /** The same for the inputs. */
  readonly inHeads?: HeadSpread | undefined;
  /** Interleaves the two halves of a gated layer. Default false. */
  readonly geglu?: boolean | undefined;
}

/** A parameter and the tensors that fill it. */
export interface Request {
  /** The weight that is filled. */
  readonly parameter: Parameter;
  /** Its parts, in the order of their columns. */
  readonly pieces: readonly Piece[];
  /** Row counts that a matrix will meet, the most important first; default ROW_COUNTS. */
  readonly rows?: readonly number[] | undefined;
  /** Of the activations that a matrix meets; default the network's. */
  readonly inputs?: DType | undefined;
}

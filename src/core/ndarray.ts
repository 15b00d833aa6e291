import { InputError, ShapeError } from './errors.ts';
import { checkArray } from './kinds.ts';
import { sizeOf } from './shape.ts';

/** Which axis holds the channels: 'nchw' as torch tensors do, 'nhwc' as numpy pictures do. */
export type Layout = 'nchw' | 'nhwc';

/**
 * Float values on the host with their shape, outermost dimension first, rows contiguous.
 * `layout` says how a picture's axes are meant; readers infer it from the channel count where it is absent.
 */
export interface NdArray {
  /** All values in row-major order, as many as the product of the sizes. */
  readonly data: Float32Array;
  /** Sizes, outermost first. */
  readonly shape: readonly number[];
  /** Which axis of a picture holds the channels; inferred where absent. */
  readonly layout?: Layout;
}

/**
 * Checks that data and shape belong together.
 * @param data values in row-major order
 * @param shape sizes, non-negative integers
 * @param layout meaning of the axes, for pictures
 * @throws ShapeError when the shape has another number of elements; InputError when a size is no count
 */
export function ndarray(data: Float32Array, shape: readonly number[], layout?: Layout): NdArray {
  checkArray('ndarray', { data, shape });
  if (!shape.every(size => Number.isInteger(size) && size >= 0)) {
    throw new InputError({ op: 'ndarray', problem: 'a size is not a whole number >= 0', value: shape });
  }
  if (sizeOf(shape) !== data.length) {
    throw new ShapeError({
      op: 'ndarray',
      problem: `shape [${shape.join(', ')}] does not fit the data`,
      expected: `${sizeOf(shape)} values`,
      received: `${data.length}`,
    });
  }
  return layout === undefined ? { data, shape } : { data, shape, layout };
}

import source from '../../wgsl/upsample-nearest.wgsl';
import { ceilDiv } from '../core/shape.ts';
import { type KernelCall, type Storage, storageBytes } from './kernel.ts';
import { inputLib, outputLib } from './libs.ts';
import { FLAT_TILE, flatRows, type RowRange, requirePitch, requireSizes, rowBinding } from './rows.ts';

/** Maps, and the size that they are enlarged or reduced to. */
export interface UpsampleNearestProblem {
  /** N: maps of the batch. */
  readonly images: number;
  /** H of x, in pixels. */
  readonly inHeight: number;
  /** Pixels of a line of x. */
  readonly inWidth: number;
  /** H of y, in pixels. */
  readonly outHeight: number;
  /** Pixels of a line of y. */
  readonly outWidth: number;
  /** Channels, without padding. */
  readonly channels: number;
  /** Elements, of x and y. */
  readonly pitch: number;
  /** Form of x and y. */
  readonly storage: Storage;
}

/**
 * Nearest neighbour to any size: source pixel floor(out * in / size). Bindings: x [N, h, w, pitch], y [N, h', w', pitch].
 *
 * @throws ShapeError for bad sizes or pitch
 * @see torch.nn.functional.interpolate(mode="nearest")
 */
export function upsampleNearest(problem: UpsampleNearestProblem): KernelCall {
  const { images, inHeight, inWidth, outHeight, outWidth, channels, pitch, storage } = problem;
  requireSizes('upsample-nearest', { images, inHeight, inWidth, outHeight, outWidth });
  requirePitch('upsample-nearest', 'x', { width: channels, pitch });
  const columns = pitch / 4;
  const rows = images * outHeight * outWidth;
  const count = rows * columns;
  const range = flatRows(rows, columns);
  const inputLine = (pixel: number) => {
    const line = Math.floor(pixel / outWidth);
    return Math.floor(line / outHeight) * inHeight + Math.floor(((line % outHeight) * inHeight) / outHeight);
  };
  const inputRange: RowRange = (first, end) => {
    const [from, to] = range(first, end);
    return [inputLine(from) * inWidth, (inputLine(to - 1) + 1) * inWidth];
  };
  const side = { pitch, storage };
  return {
    kernel: 'upsample-nearest',
    source,
    libs: [inputLib(storage), outputLib(storage)],
    values: {},
    bindings: [rowBinding('x', 'read', side, 'x_base', inputRange), rowBinding('y', 'write', side, 'y_base', range)],
    params: {
      ...{ count, pitch: columns },
      ...{ in_h: inHeight, in_w: inWidth, out_h: outHeight, out_w: outWidth },
    },
    tiles: ceilDiv(count, FLAT_TILE),
    cost: { flops: 0, bytes: (rows + images * inHeight * inWidth) * pitch * storageBytes(storage) },
  };
}

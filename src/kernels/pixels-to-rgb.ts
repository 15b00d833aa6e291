import { elementwiseUnary } from './elementwise-unary.ts';
import type { KernelCall, Storage } from './kernel.ts';

/** Pictures in [-1, 1] that become bytes. */
export interface PixelsToRgbProblem {
  readonly images: number;
  /** H * W. */
  readonly pixels: number;
  readonly storage: Storage;
}

/**
 * A decoded picture in [-1, 1] as colours in [0, 1]: y = clamp(x / 2 + 1/2, 0, 1).
 * Bindings: x [N, H*W, 8] of 3 channels, y the same in f32.
 *
 * @throws ShapeError for bad sizes
 */
export function pixelsToRgb({ images, pixels, storage }: PixelsToRgbProblem): KernelCall {
  return elementwiseUnary({
    rows: images * pixels,
    width: 3,
    x: { pitch: 8, storage },
    y: { pitch: 8, storage: 'f32' },
    alpha: 0.5,
    beta: 0.5,
    clamp: [0, 1],
  });
}

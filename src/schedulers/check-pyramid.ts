/** Whether noise can be halved as its auto-correlation is measured. */
import { ShapeError } from '../core/errors.ts';
import { checkNumbers } from '../core/kinds.ts';
import type { Shape } from '../core/shape.ts';

/**
 * Whether noise of a shape has a pyramid at all: what autoCorrelationGradient() refuses, without its work.
 * @param shape [B, C, H, W]
 * @throws ShapeError when it is not of that form with H >= 2, or the width runs out before the height
 */
export function checkPyramid(shape: Shape): void {
  checkNumbers('autoCorrelationGradient', shape);
  let [height, width] = [shape.at(-2) ?? 0, shape.at(-1) ?? 0];
  if (shape.length !== 4 || height < 2 || width < 1) {
    throw new ShapeError({
      op: 'autoCorrelationGradient',
      problem: 'the noise is not [B, C, H, W] with at least two rows',
      received: shape,
      fix: 'Pass latents, at least 2 high.',
    });
  }
  for (; height > 8; [height, width] = [height >> 1, width >> 1]) {
    if (width > 1) continue;
    throw new ShapeError({
      op: 'autoCorrelationGradient',
      problem: 'the noise is too narrow for its height',
      received: [height, width],
      fix: 'Each halving down to 8 rows must leave at least one column.',
    });
  }
}

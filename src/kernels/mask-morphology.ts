import source from '../../wgsl/mask-morphology.wgsl';
import { InputError } from '../core/errors.ts';
import { ceilDiv } from '../core/shape.ts';
import { float, type KernelCall } from './kernel.ts';
import { requireSizes } from './rows.ts';

/** Sizes of a batch of masks. */
export interface MaskShape {
  readonly images: number;
  readonly height: number;
  readonly width: number;
}

/** Masks to be grown or shrunk. */
export interface MaskMorphologyProblem extends MaskShape {
  /** Grows (maximum) or shrinks (minimum) the mask. */
  readonly kind: 'dilate' | 'erode';
  /** Pixels, a whole number from 1 on. */
  readonly radius: number;
  /** The neighbourhood: within `radius` on both axes, or within that distance. Default square. */
  readonly shape?: 'square' | 'disc' | undefined;
}

/** Masks to be softened by a Gaussian. */
export interface MaskBlurProblem extends MaskShape {
  /** Standard deviation of the Gaussian in pixels, above 0. */
  readonly sigma: number;
}

const WORKGROUP = 64;
const KIND = { dilate: 0, erode: 1, x: 2, y: 3 } as const;

/**
 * y = maximum or minimum of x over a square or disc. Bindings: x f32 [N, H * W, 8] in lane 0, y likewise.
 *
 * @throws ShapeError for bad sizes
 */
export function maskMorphology(problem: MaskMorphologyProblem): KernelCall {
  const { kind, radius, shape = 'square' } = problem;
  requireSizes('mask-morphology', { radius });
  return call(problem, kind, radius, shape === 'disc', 0, (2 * radius + 1) ** 2);
}

/**
 * Gaussian blur by two calls, along x and along y; the second takes the first's y as its x. Edges repeat, weights end at
 * four deviations.
 * Bindings of both: x f32 [N, H * W, 8] in lane 0, y likewise.
 *
 * @throws ShapeError for bad sizes, InputError for a sigma that is not positive
 * @see scipy.ndimage.gaussian_filter(mode="nearest")
 */
export function maskBlur(problem: MaskBlurProblem): [alongX: KernelCall, alongY: KernelCall] {
  const { sigma } = problem;
  if (!(sigma > 0)) {
    throw new InputError({ op: 'mask-morphology', problem: 'sigma must be positive', received: sigma, path: 'sigma' });
  }
  const radius = Math.floor(4 * sigma + 0.5);
  const along = (axis: 'x' | 'y') => call(problem, axis, radius, false, sigma, 2 * radius + 1);
  return [along('x'), along('y')];
}

function call(
  s: MaskShape,
  kind: keyof typeof KIND,
  radius: number,
  disc: boolean,
  sigma: number,
  taps: number,
): KernelCall {
  const { images, height, width } = s;
  requireSizes('mask-morphology', { images, height, width });
  const count = images * height * width;
  return {
    kernel: 'mask-morphology',
    source,
    libs: [],
    values: { KIND: KIND[kind] },
    bindings: [
      { name: 'x', access: 'read' },
      { name: 'y', access: 'write' },
    ],
    params: [count, height, width, radius, disc ? 1 : 0, float(sigma)],
    tiles: ceilDiv(count, WORKGROUP),
    cost: { flops: count * taps * 2, bytes: count * 64 },
  };
}

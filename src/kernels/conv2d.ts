/** Convolutions as products: rows of A are output pixels, and the K axis runs over taps, then input channels. */
import { ShapeError } from '../core/errors.ts';
import type { Caps } from '../gpu/caps.ts';
import type { PhaseLines } from './conv-pixels.ts';
import { CONV_TILE } from './conv-tile.ts';
import { checkGemm, type Epilogue, GEMM_VARIANTS, type GemmProblem, packedOf } from './gemm.ts';
import { GEMM_MATRIX } from './gemm-matrix.ts';
import type { NormalizedInput } from './gemm-problem.ts';
import type { KernelCall, Storage } from './kernel.ts';
import { callOf, type Op, type PackedLayout, type Tiles, type Tuning, through, type Variant } from './op.ts';

/** Zeros around a picture, in pixels; the sides may differ. */
export interface Padding {
  /** Rows of zeros above the map. */
  readonly top: number;
  /** Columns of zeros right of it. */
  readonly right: number;
  /** Rows of zeros below it. */
  readonly bottom: number;
  /** Columns of zeros left of it. */
  readonly left: number;
}

/** A convolution of [images, height, width, channels] with a packed kernel. */
export interface Conv2dProblem {
  /** N: maps of x and y. */
  readonly images: number;
  /** Lines of x, before `upsample`. */
  readonly height: number;
  /** Pixels of a line of x, before `upsample`. */
  readonly width: number;
  /** Stored (padded) input and output channels: multiples of 8. */
  readonly channels: number;
  /** Stored (padded) channels of y, a multiple of 8. */
  readonly outChannels: number;
  /** Taps of the kernel on each axis. */
  readonly kernel: readonly [height: number, width: number];
  /** Pixels from one output to the next, on both axes. */
  readonly stride: number;
  /** Zeros around the map that is read. */
  readonly padding: Padding;
  /** Reads the input as its nearest-neighbour enlargement by 2. */
  readonly upsample?: boolean;
  /** w holds the 2 x 2 kernels that `foldDoubling` makes for these lines of y, which is twice as large as x; `padding` is 1 on all sides. */
  readonly phases?: PhaseLines | undefined;
  /** Channels of y that this call makes, of whose kernels w holds no others; multiples of 8, default all. */
  readonly window?:
    | {
        /** The first of them. */
        readonly first: number;
        /** How many. */
        readonly columns: number;
      }
    | undefined;
  /** Form of x. */
  readonly input: Storage;
  /** Form of the packed kernel; also bf16-packed. */
  readonly weight: Storage;
  /** How the packed kernel lies; default panels. */
  readonly layout?: PackedLayout | undefined;
  /** Form of y, channelAdd and residual. */
  readonly output: Storage;
  /** What follows a sum; default a bias. */
  readonly epilogue?: Epilogue | undefined;
  /** Measures y for a group norm, as `GemmProblem.moments`; default false. */
  readonly moments?: boolean | undefined;
  /** Normalises x as it is loaded, as `GemmProblem.normalize`; default x as it lies. */
  readonly normalize?: NormalizedInput | undefined;
}

/** Output height and width of a convolution. @throws ShapeError where the kernel does not fit the padded input */
export function conv2dSize(
  p: Pick<Conv2dProblem, 'height' | 'width' | 'kernel' | 'stride' | 'padding' | 'upsample' | 'phases'>,
): [number, number] {
  if (p.phases) return [2 * p.height, 2 * p.width];
  const grow = p.upsample ? 2 : 1;
  const height = Math.floor((p.height * grow + p.padding.top + p.padding.bottom - p.kernel[0]) / p.stride) + 1;
  const width = Math.floor((p.width * grow + p.padding.left + p.padding.right - p.kernel[1]) / p.stride) + 1;
  if (height < 1 || width < 1) {
    throw new ShapeError({
      op: 'conv2d',
      problem: 'the kernel is larger than the padded input',
      expected: `at least ${p.kernel[0]} x ${p.kernel[1]}`,
      received: [p.height, p.width],
      fix: 'Use a larger picture.',
    });
  }
  return [height, width];
}

/** Convolutions: rows of A are output pixels. */
export const CONV2D: Op<Conv2dProblem> = {
  name: 'conv2d',
  check: problem => checkGemm('conv2d', asGemm(problem)),
  packed: problem => packedOf(asGemm(problem)),
  tunedBy: [
    ...['height', 'width', 'channels', 'outChannels', 'kernel.0', 'kernel.1', 'stride', 'upsample', 'phases'],
    ...['input', 'weight', 'layout', 'output'],
  ],
  variants: [...GEMM_VARIANTS, ...GEMM_MATRIX, CONV_TILE].map(variant => through(normalizing(variant), asGemm)),
};

/** The same variant for problems that it reads as they ask: only one that normalises runs those that do. */
function normalizing<T extends Tiles>(variant: Variant<GemmProblem, T>): Variant<GemmProblem, T> {
  const fits: typeof variant.fits = (caps, p) =>
    (!p.normalize || variant.normalizes !== undefined) && variant.fits(caps, p);
  return { ...variant, fits };
}

/**
 * Cross-correlation as torch's conv2d: y[n,o,oy,ox] = bias[o] + sum w[o,i,ky,kx] x[n,i,oy*s+ky-top,ox*s+kx-left].
 * x [N, H, W, C] and y [N, OH, OW, O] channels last, w packed with K = (ky, kx, i). Any kernel size, one stride for
 * both axes, padding by side. Bindings as gemm.
 *
 * @see torch.nn.functional.conv2d
 */
export function conv2d(caps: Caps, problem: Conv2dProblem, tuning?: Tuning): KernelCall {
  return callOf(CONV2D, caps, problem, tuning);
}

/** The product behind a convolution; a plain linear layer where each pixel stands for itself. */
export function asGemm(p: Conv2dProblem): GemmProblem {
  const odd = p.phases === 'odd' ? 1 : 0;
  // Each phase makes as many pixels as there are in x.
  const [outHeight, outWidth] = p.phases ? [p.height, p.width] : conv2dSize(p);
  const rows = p.images * outHeight * outWidth;
  const pointwise =
    p.kernel[0] === 1 &&
    p.kernel[1] === 1 &&
    p.stride === 1 &&
    !p.upsample &&
    outHeight === p.height &&
    outWidth === p.width;
  return {
    batch: p.phases === 'all' ? 4 : p.phases ? 2 : 1,
    rows,
    columns: p.window?.columns ?? p.outChannels,
    k: p.channels,
    a: { pitch: p.channels, storage: p.input },
    b: { layout: p.layout ?? 'panels', storage: p.weight },
    y: { pitch: p.outChannels, offset: (p.window?.first ?? 0) + odd * 2 * p.width * p.outChannels, storage: p.output },
    epilogue: p.epilogue,
    moments: p.moments,
    normalize: p.normalize,
    conv: pointwise
      ? undefined
      : {
          images: p.images,
          inHeight: p.height,
          inWidth: p.width,
          outHeight,
          outWidth,
          kernelHeight: p.kernel[0],
          kernelWidth: p.kernel[1],
          stride: p.stride,
          padTop: p.padding.top - odd,
          padLeft: p.padding.left,
          upsample: p.upsample === true,
          phases: p.phases,
        },
  };
}

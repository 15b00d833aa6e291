import { InputError, ShapeError } from '../core/errors.ts';
import { checkArray } from '../core/kinds.ts';
import { checkNames, namesOf } from '../core/known-names.ts';
import { type NdArray, ndarray } from '../core/ndarray.ts';
import { dim } from '../core/shape.ts';

const f32 = Math.fround;

/** How maskFromMap() chooses its threshold. */
export interface MaskOptions {
  /** The map is cut at this multiple of its mean, and the mask is set above half the cut. > 0, default 3. */
  readonly ratio?: number;
  /** Takes the mean of each picture alone. Default false as in diffusers, where a batch shares one mean. */
  readonly perImage?: boolean;
}

const OPTIONS = namesOf<MaskOptions>({ ratio: 1, perImage: 1 });

/**
 * DiffEdit's mask rule: cut = ratio * mean(map); mask = 0 where clamp(map, 0, cut) / cut <= 0.5, else 1. A map that holds
 * a NaN, or only zeros (both prompts alike), makes everything 1, because NaN <= 0.5 is false.
 * @param map [B, H, W] absolute differences of the two predictions, averaged over channels and draws
 * @param options ratio and where the mean is taken
 * @returns B*H*W values, 0 keep or 1 edit; arithmetic in float32, the mean in double
 * @throws ShapeError when the map is not [B, H, W]; InputError when the ratio is not above 0
 * @see Couairon et al. 2022, section 3.2, https://arxiv.org/abs/2210.11427; generate_mask of diffusers
 */
export function maskFromMap(map: NdArray, options: MaskOptions = {}): Uint8Array {
  checkNames('maskFromMap', options, OPTIONS);
  const { ratio = 3, perImage = false } = options;
  checkArray('maskFromMap', map);
  ndarray(map.data, map.shape);
  if (map.shape.length !== 3) {
    throw new ShapeError({
      op: 'maskFromMap',
      problem: 'the map is not [B, H, W]',
      received: map.shape,
      fix: 'Average channels and draws first; one picture is [1, H, W].',
    });
  }
  const pixels = dim(map.shape, 1) * dim(map.shape, 2);
  if (!(ratio > 0)) {
    throw new InputError({
      op: 'maskFromMap',
      problem: 'the ratio is not above 0',
      value: ratio,
      path: 'ratio',
      fix: '3 is the usual value; a larger one gives a smaller mask.',
    });
  }
  const mask = new Uint8Array(map.data.length);
  const chunk = perImage ? pixels : map.data.length;
  for (let start = 0; start < mask.length; start += chunk) {
    mask.set(threshold(map.data.subarray(start, start + chunk), ratio), start);
  }
  return mask;
}

function threshold(values: Float32Array, ratio: number): Uint8Array {
  const mean = f32(values.reduce((sum, value) => sum + value, 0) / values.length);
  const cut = f32(mean * f32(ratio));
  // Written as "not at most": NaN must count as set.
  return Uint8Array.from(values, value => (f32(Math.min(Math.max(value, 0), cut) / cut) <= 0.5 ? 0 : 1));
}

/** What an edit is given besides prompts: a mask, and inverted latents in any of the accepted forms. */
import { InputError, ShapeError } from '../../core/errors.ts';
import { type NdArray, ndarray } from '../../core/ndarray.ts';
import { dim, type Shape, sameShape, sizeOf } from '../../core/shape.ts';
import { type MaskInput, type NumericArray, preprocessMask } from '../../io/mask.ts';
import { concatenate, hasShape, isPicture } from '../../io/preprocess.ts';
import { asArray } from '../runtime/device-call.ts';
import type { MaskMode } from './soft-mask.ts';

const MASK_SIZE =
  'The mask must have the size of the latents (the picture divided by the VAE factor), not of the picture.';

/**
 * The mask as zeros and ones, or as it is where it is soft.
 * @returns [batch, 1, h, w]
 * @throws InputError where there is none, or as preprocessMask
 */
export function prepareMask(
  op: string,
  mask: MaskInput | null | undefined,
  { batch, mode }: { readonly batch: number; readonly mode: MaskMode },
): NdArray {
  if (mask != null) return preprocessMask(mask, batch, mode);
  throw new InputError({
    op,
    problem: 'no mask',
    received: String(mask),
    path: 'maskImage',
    fix: 'Make one with generateMask(), or pass a picture of latent size: white is what changes.',
  });
}

/** @throws ShapeError for a prepared mask of another size than the picture's latents [h, w] */
export function checkMaskSize(op: string, mask: NdArray, sides: Shape): void {
  if (sameShape(mask.shape.slice(2), sides)) return;
  throw new ShapeError({
    op,
    problem: 'mask and picture differ in size',
    expected: sides,
    received: mask.shape.slice(2),
    path: 'maskImage',
    fix: MASK_SIZE,
  });
}

/**
 * Inverted latents in any of the accepted forms.
 * @param o.size [C, h, w] that the mask, or else the picture, implies
 * @returns [T, B, C, h, w]
 * @throws InputError where there are none; ShapeError where size, number of steps or batch differ
 */
export function prepareLatents(
  op: string,
  latents: NumericArray | readonly NumericArray[] | null | undefined,
  o: { readonly size: Shape; readonly of: 'mask' | 'picture'; readonly batch: number; readonly frames: number },
): NdArray {
  if (latents == null) {
    throw new InputError({
      op,
      problem: 'no inverted latents',
      received: String(latents),
      path: 'imageLatents',
      fix: 'Make them with invert().',
    });
  }
  const list = (Array.isArray(latents) ? latents : [latents]) as readonly NumericArray[];
  for (const item of list) checkIsArray(op, item);
  const arrays = list.map(({ data, shape }) =>
    ndarray(Float32Array.from(data), shape.length === 3 ? [1, ...shape] : shape),
  );
  const all = concatenate(arrays, op);
  const { size, of, batch, frames } = o;
  const rank = all.shape.length;
  if ((rank !== 4 && rank !== 5) || all.shape.slice(-3).some((side, i) => side !== size[i])) {
    throw new ShapeError({
      op,
      problem: `${of} and inverted latents differ in size`,
      expected: `[B, T, ${size.join(', ')}], as the ${of} says`,
      received: all.shape,
      path: 'imageLatents',
      fix: of === 'mask' ? MASK_SIZE : 'Invert this picture, at the size at which it is edited.',
    });
  }
  const [b, t] = rank === 5 ? [dim(all.shape, 0), dim(all.shape, 1)] : [batch, dim(all.shape, 0) / batch];
  if (b !== batch || t !== frames) {
    throw new ShapeError({
      op,
      problem: 'inverted latents of another number of prompts or steps',
      expected: [batch, frames],
      received: [b, t],
      path: 'imageLatents',
      fix: 'Give invert() and edit() the same numInferenceSteps, inpaintStrength and number of prompts.',
    });
  }
  return asArray(swapFirst(all.data, batch, frames, sizeOf(size)), [frames, batch, ...size]);
}

/** Refuses what is passed for latents and is none, above all the picture itself. */
function checkIsArray(op: string, item: unknown): void {
  const isObject = typeof item === 'object' && item !== null;
  if (isObject && hasShape(item) && 'data' in item) return;
  throw new InputError({
    op,
    problem: 'not inverted latents',
    expected: 'an array, as invert() returns it',
    received: isObject && isPicture(item) ? 'a picture' : item === null ? 'null' : typeof item,
    path: 'imageLatents',
    fix: 'Call invert() with the picture and pass what it returns; run() does both.',
  });
}

/** [a, b, size] -> [b, a, size] */
export function swapFirst(data: Float32Array, a: number, b: number, size: number): Float32Array {
  const out = new Float32Array(data.length);
  for (let i = 0; i < a; i++) {
    for (let j = 0; j < b; j++) out.set(data.subarray((i * b + j) * size, (i * b + j + 1) * size), (j * a + i) * size);
  }
  return out;
}

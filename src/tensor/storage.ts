import type { DType } from '../core/dtype.ts';
import type { Caps } from '../gpu/caps.ts';
import type { Storage } from '../kernels/kernel.ts';

/** How a dtype is stored on a device. Integers share f32's four bytes and are read as u32 by the kernels that take them. */
export function storageOf(dtype: DType, caps: Caps): Storage {
  return dtype === 'float16' ? caps.half : 'f32';
}

/** Element types of tensors. float16 is stored as such or, where the adapter lacks shader-f16, packed two to a u32. */
export type DType = 'float32' | 'float16' | 'int32' | 'uint32';

export const BYTES: Readonly<Record<DType, number>> = { float32: 4, float16: 2, int32: 4, uint32: 4 };

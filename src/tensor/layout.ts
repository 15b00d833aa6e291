/** How logical shapes lie in memory: channels last, rows padded to a multiple of 8 elements with zeros. */
import { floatsOfHalves, halvesOfFloats } from '../core/convert-bits.ts';
import type { DType } from '../core/dtype.ts';
import { ShapeError } from '../core/errors.ts';
import { alignUp, dim, ROW_ALIGN, type Shape, sizeOf } from '../core/shape.ts';

/** Rows of `width` elements, `pitch` apart. */
export interface Layout {
  /** Rows in memory: all but the channels, [N, H, W] or [N, L], flattened. */
  readonly rows: number;
  /** Elements of a row that count. */
  readonly width: number;
  /** Elements from one row to the next, a multiple of 8; those beyond `width` are 0. */
  readonly pitch: number;
}

/** [N, C, H, W] lies as rows (n, y, x) of C; anything else as rows of its last dimension. */
export function layoutOf(shape: Shape): Layout {
  if (shape.length === 0 || shape.some(size => !Number.isInteger(size) || size < 1)) {
    throw new ShapeError({ op: 'tensor', problem: 'sizes must be positive integers', value: shape });
  }
  const width = shape.length === 4 ? dim(shape, 1) : dim(shape, -1);
  return { rows: sizeOf(shape) / width, width, pitch: alignUp(width, ROW_ALIGN) };
}

/** An array for the elements of a dtype; float16 is rounded later. */
function arrayFor(dtype: DType, length: number): Memory {
  if (dtype === 'int32') return new Int32Array(length);
  if (dtype === 'uint32') return new Uint32Array(length);
  return new Float32Array(length);
}

type Memory = Float32Array<ArrayBuffer> | Int32Array<ArrayBuffer> | Uint32Array<ArrayBuffer>;

/** Values in torch's order ([N, C, H, W] row-major) -> padded rows in memory order. */
export function toMemory(data: ArrayLike<number>, shape: Shape, dtype: DType = 'float32'): Memory {
  const { rows, width, pitch } = layoutOf(shape);
  if (data.length !== rows * width) {
    throw new ShapeError({
      op: 'tensor.write',
      problem: 'wrong number of values',
      expected: shape,
      received: data.length,
    });
  }
  const out = arrayFor(dtype, rows * pitch);
  const plane = shape.length === 4 ? dim(shape, 2) * dim(shape, 3) : 1;
  for (let r = 0; r < rows; r++) {
    const from = Math.floor(r / plane) * width * plane + (r % plane);
    for (let c = 0; c < width; c++) out[r * pitch + c] = data[from + c * plane] as number;
  }
  return out;
}

/** The inverse of toMemory; padding is dropped. */
export function fromMemory(memory: ArrayLike<number>, shape: Shape): Float32Array<ArrayBuffer> {
  const { rows, width, pitch } = layoutOf(shape);
  const out = new Float32Array(rows * width);
  const plane = shape.length === 4 ? dim(shape, 2) * dim(shape, 3) : 1;
  for (let r = 0; r < rows; r++) {
    const to = Math.floor(r / plane) * width * plane + (r % plane);
    for (let c = 0; c < width; c++) out[to + c * plane] = memory[r * pitch + c] as number;
  }
  return out;
}

/** Padded rows as bytes of a dtype (float16 rounds to nearest even). */
export function encode(memory: Memory, dtype: DType): ArrayBufferView<ArrayBuffer> {
  return dtype === 'float16' ? halvesOfFloats(memory as Float32Array) : memory;
}

/** Bytes of a dtype as numbers. */
export function decode(bytes: ArrayBuffer, dtype: DType): ArrayLike<number> {
  switch (dtype) {
    case 'float32':
      return new Float32Array(bytes);
    case 'float16':
      return floatsOfHalves(new Uint16Array(bytes));
    case 'int32':
      return new Int32Array(bytes);
    case 'uint32':
      return new Uint32Array(bytes);
  }
}

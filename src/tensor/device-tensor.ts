/** Tensors that outlive a plan: inputs, results, and what is carried from one run to the next. */
import { BYTES, type DType } from '../core/dtype.ts';
import { DeviceError, ShapeError } from '../core/errors.ts';
import { dim, type Shape, sameShape, sizeOf } from '../core/shape.ts';
import { type BufferSlice, copySlice, createStorage, destroySlice, readSlice, writeSlice } from '../gpu/buffer.ts';
import type { Gpu } from '../gpu/device.ts';
import { KEPT_BYTES } from '../gpu/dry-device.ts';
import type { WebGpuDevice } from '../gpu/webgpu-types.ts';
import { decode, encode, fromMemory, layoutOf, toMemory } from './layout.ts';

/** What makes tensors that outlive a plan smaller: latents and their history, caches of a text. */
const SHRINKS = 'fewer images or steps, a smaller picture, a shorter text';

/** A tensor with memory of its own on the device: what goes into plans and comes out of them. */
export class DeviceTensor {
  /** The device that holds it. */
  readonly gpu: Gpu;
  /** Sizes in torch's order: [N, C, H, W] or [..., D]. */
  readonly shape: Shape;
  /** Type of its elements. */
  readonly dtype: DType;
  /** Where it lies: rows padded to a multiple of 8 elements, channels last. */
  readonly slice: BufferSlice;
  readonly #device: WebGpuDevice;
  #disposed = false;

  private constructor(gpu: Gpu, shape: Shape, dtype: DType, slice: BufferSlice) {
    this.gpu = gpu;
    this.#device = gpu.device;
    this.shape = shape;
    this.dtype = dtype;
    this.slice = slice;
  }

  /** Allocates zeros. `label` names the buffer in GPU tools. */
  static create(gpu: Gpu, shape: Shape, dtype: DType = 'float32', label: string = 'tensor'): DeviceTensor {
    const { rows, pitch } = layoutOf(shape);
    return new DeviceTensor(gpu, shape, dtype, createStorage(gpu, rows * pitch * BYTES[dtype], label, SHRINKS));
  }

  /** Allocates and writes `data`, in torch's order. */
  static from(
    gpu: Gpu,
    data: ArrayLike<number>,
    shape: Shape,
    dtype: DType = 'float32',
    label: string = 'tensor',
  ): DeviceTensor {
    const tensor = DeviceTensor.create(gpu, shape, dtype, label);
    tensor.write(data);
    return tensor;
  }

  /** Bytes of device memory, padding of rows included. */
  get bytes(): number {
    return this.slice.size;
  }

  /** Whether its memory was freed. */
  get disposed(): boolean {
    return this.#disposed;
  }

  /** Replaces the values, given in torch's order ([N, C, H, W] row-major), after everything submitted before. */
  write(data: ArrayLike<number>): void {
    this.#check('DeviceTensor.write');
    if (this.#hollow) return;
    writeSlice(this.gpu, this.slice, encode(toMemory(data, this.shape, this.dtype), this.dtype));
  }

  /** Copies the values to the host, in torch's order; whole numbers beyond 2^24 are rounded to float32. */
  async read(): Promise<Float32Array<ArrayBuffer>> {
    this.#check('DeviceTensor.read');
    if (this.#hollow) {
      await readSlice(this.gpu, this.slice);
      return new Float32Array(sizeOf(this.shape));
    }
    return fromMemory(decode(await readSlice(this.gpu, this.slice), this.dtype), this.shape);
  }

  /**
   * Copies another tensor on the device.
   *
   * @throws ShapeError for one of another shape or dtype
   */
  copyFrom(other: DeviceTensor): void {
    this.#check('DeviceTensor.copyFrom');
    other.#check('DeviceTensor.copyFrom');
    if (!sameShape(this.shape, other.shape) || this.dtype !== other.dtype) {
      throw new ShapeError({
        op: 'DeviceTensor.copyFrom',
        problem: 'the other tensor has another shape or dtype',
        expected: `${this.dtype} [${this.shape}]`,
        received: `${other.dtype} [${other.shape}]`,
      });
    }
    copySlice(this.gpu, other.slice, this.slice);
  }

  /**
   * Copies `count` entries of the first dimension of another tensor, from entry `from` on, to entry `to` on.
   *
   * @throws ShapeError where the other dimensions or the dtype differ, or a range ends outside
   */
  copyRows(
    other: DeviceTensor,
    range: { readonly from?: number; readonly to?: number; readonly count?: number } = {},
  ): void {
    this.#check('DeviceTensor.copyRows');
    other.#check('DeviceTensor.copyRows');
    const { from = 0, to = 0, count = dim(other.shape, 0) - from } = range;
    const fits = sameShape(this.shape.slice(1), other.shape.slice(1)) && this.dtype === other.dtype;
    if (!fits || from < 0 || to < 0 || from + count > dim(other.shape, 0) || to + count > dim(this.shape, 0)) {
      throw new ShapeError({
        op: 'DeviceTensor.copyRows',
        problem: 'the entries do not fit',
        expected: `${this.dtype} [${this.shape}], ${count} from ${to} on`,
        received: `${other.dtype} [${other.shape}], from ${from} on`,
      });
    }
    const { rows, pitch } = layoutOf(this.shape);
    const bytes = (rows / dim(this.shape, 0)) * pitch * BYTES[this.dtype];
    const at = (slice: BufferSlice, entry: number) => ({
      ...slice,
      offset: slice.offset + entry * bytes,
      size: count * bytes,
    });
    copySlice(this.gpu, at(other.slice, from), at(this.slice, to));
  }

  /** Frees the memory; using the tensor afterwards throws. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    destroySlice(this.slice);
  }

  /** On a device that runs nothing only a few words are kept; of all others nobody needs the values. */
  get #hollow(): boolean {
    return this.gpu.dry && this.slice.size > KEPT_BYTES;
  }

  #check(op: string): void {
    this.gpu.checkSame(op, this.#device);
    if (this.#disposed) {
      throw new DeviceError({
        op,
        problem: 'the tensor was disposed',
        received: this.shape,
        fix: 'Keep it until its last use.',
      });
    }
  }
}

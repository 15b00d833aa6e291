/** A case on a device: buffers filled with seeded numbers, and results read back. */
import { floatsOfHalves, halvesOfFloats } from '../core/convert-bits.ts';
import {
  type BufferSlice,
  createStaging,
  createStorage,
  destroySlice,
  readThrough,
  writeSlice,
} from '../gpu/buffer.ts';
import type { Gpu } from '../gpu/device.ts';
import { type Storage, storageBytes } from '../kernels/kernel.ts';
import type { ProblemCase, Values } from './case-types.ts';

/** Seeded numbers in [-1, 1): the same on every run. */
export function randoms(count: number, seed = 1): Float32Array<ArrayBuffer> {
  let s = (seed * 2654435761) >>> 0;
  const all = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    s = (Math.imul(s ^ (s >>> 15), 0x2c1b3c6d) + 0x9e3779b9) >>> 0;
    s ^= s >>> 13;
    all[i] = ((s >>> 8) / 2 ** 24) * 2 - 1;
  }
  return all;
}

/** Numbers in a storage form, and as the device reads them. */
export function stored(
  values: Float32Array<ArrayBuffer>,
  storage: Storage,
): { readonly bytes: Uint8Array<ArrayBuffer>; readonly values: Float32Array } {
  if (storage === 'f32') return { bytes: new Uint8Array(values.buffer), values };
  if (storage === 'bf16-packed') {
    const words = new Uint32Array(values.buffer.slice(0));
    const halves = Uint16Array.from(words, word => word >>> 16);
    return {
      bytes: new Uint8Array(halves.buffer),
      values: new Float32Array(words.map(word => word & 0xffff0000).buffer),
    };
  }
  const halves = halvesOfFloats(values);
  return { bytes: new Uint8Array(halves.buffer), values: floatsOfHalves(halves) };
}

/** Buffers of a case. */
export class OpenCase {
  /** What it is. */
  readonly problemCase: ProblemCase;
  /** By the names of bindings. */
  readonly slices: Readonly<Record<string, BufferSlice>>;
  /** What the inputs hold. */
  readonly values: Values;
  readonly #gpu: Gpu;
  /** Freed with the case, even where something is read. */
  readonly #staging: BufferSlice;

  private constructor(
    gpu: Gpu,
    problemCase: ProblemCase,
    slices: Readonly<Record<string, BufferSlice>>,
    staging: BufferSlice,
    inputs: ReadonlyMap<string, ArrayLike<number>>,
  ) {
    this.#gpu = gpu;
    this.problemCase = problemCase;
    this.slices = slices;
    this.#staging = staging;
    this.values = name => inputs.get(name) ?? [];
  }

  /**
   * Creates and fills all buffers; results begin with numbers too, which a kernel that writes nothing leaves.
   * @throws DeviceError, OutOfMemoryError where the device refuses memory; nothing stays then
   */
  static async open(gpu: Gpu, problemCase: ProblemCase): Promise<OpenCase> {
    const slices: Record<string, BufferSlice> = {};
    const inputs = new Map<string, ArrayLike<number>>();
    const made: BufferSlice[] = [];
    const { output } = problemCase;
    try {
      await gpu.guarded('OpenCase.open', () => {
        Object.entries(problemCase.buffers).forEach(([name, [elements, storage]], i) => {
          const slice = createStorage(gpu, elements * storageBytes(storage), name);
          slices[name] = slice;
          made.push(slice);
          const words = problemCase.words?.[name];
          const { bytes, values } = words
            ? { bytes: new Uint8Array(words.buffer), values: words }
            : stored(filled(problemCase, name, elements, i + 1), storage);
          inputs.set(name, values);
          writeSlice(gpu, slice, bytes);
        });
        const size = Math.max(...[output, 'moments'].map(name => slices[name]?.size ?? 0));
        made.push({ buffer: createStaging(gpu, size), offset: 0, size });
      });
    } catch (error) {
      made.forEach(destroySlice);
      throw error;
    }
    return new OpenCase(gpu, problemCase, slices, made.at(-1) as BufferSlice, inputs);
  }

  /** Elements of a buffer as they are now. */
  async read(name: string = this.problemCase.output): Promise<Float32Array> {
    const [elements, storage] = this.problemCase.buffers[name] ?? [0, 'f32'];
    const slice = this.slices[name];
    if (!slice) return new Float32Array(0);
    const bytes = await readThrough(this.#gpu, slice, this.#staging.buffer);
    return (storage === 'f32' ? new Float32Array(bytes) : floatsOfHalves(new Uint16Array(bytes))).subarray(0, elements);
  }

  /** Puts what no result is into the result, so that a kernel that leaves elements out is seen. */
  spoil(): void {
    const slice = this.slices[this.problemCase.output];
    if (!slice) return;
    writeSlice(this.#gpu, slice, new Uint32Array(slice.size / 4).fill(SPOILED));
  }

  /** Frees all. */
  dispose(): void {
    Object.values(this.slices).forEach(destroySlice);
    destroySlice(this.#staging);
  }
}

/** As f32 1.6e29, as two halves 8192 each: no sum of the cases comes near. */
const SPOILED = 0x70007000;

/** Numbers of a buffer, of an even count, so that packed ones are whole words. */
function filled({ fill }: ProblemCase, name: string, elements: number, seed: number): Float32Array<ArrayBuffer> {
  const all = randoms(elements + (elements % 2), seed);
  if (fill) for (let i = 0; i < all.length; i++) all[i] = fill(name, i, all[i] ?? 0);
  return all;
}

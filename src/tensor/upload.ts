/** Gives parameters their device memory and fills it from a checkpoint. */

import { alignUp } from '../core/shape.ts';
import type { TensorSource } from '../core/tensor-source.ts';
import { type BufferSlice, createStorage, destroySlice, SLICE_ALIGN } from '../gpu/buffer.ts';
import type { Gpu } from '../gpu/device.ts';
import { PANEL } from '../kernels/gemm.ts';
import { type Storage, storageBytes } from '../kernels/kernel.ts';
import type { PackedLayout, Tuning } from '../kernels/op.ts';
import { layoutOfWeight } from '../kernels/weight-layout.ts';
import { chosenBy } from './chosen-by.ts';
import { Packing, type PackingOptions, type RunOptions } from './packing.ts';
import type { Parameter } from './parameter.ts';
import { Staging } from './staging.ts';
import { storageOf } from './storage.ts';
import type { Piece, Request } from './weight-request.ts';

export type { Piece, Request };

/** Weights of one buffer. */
const SLAB_BYTES = 256 * 2 ** 20;

/** How a parameter is stored: vectors as f32, the rest in the file's own precision, or as halves when asked. */
function parameterStorage(request: Request, gpu: Gpu, dtype: 'float32' | 'float16'): Storage {
  if (request.parameter.kind === 'vector') return 'f32';
  if (dtype === 'float16') return gpu.caps.half;
  const kinds = new Set(request.pieces.map(p => p.stored.dtype));
  if (kinds.size > 1 || kinds.has('F32')) return 'f32';
  return kinds.has('BF16') ? 'bf16-packed' : gpu.caps.half;
}

/** How a parameter lies: tables in rows, vectors as one narrow matrix, matrices as the variants read them that will be chosen. */
function parameterLayout(
  { parameter, pieces, rows, inputs }: Request,
  storage: Storage,
  gpu: Gpu,
  dtype: 'float32' | 'float16',
  tuning?: Tuning,
): PackedLayout {
  if (parameter.kind !== 'matrix') return parameter.kind === 'table' ? 'rows' : 'panels';
  const { columns, k, taps } = parameter;
  const input = storageOf(inputs ?? dtype, gpu.caps);
  const geglu = pieces.some(p => p.geglu);
  return layoutOfWeight(gpu.caps, { columns, k, taps, storage, input, geglu }, rows, tuning);
}

/** How a parameter will be kept. */
export interface Form {
  /** Of its elements. */
  readonly storage: Storage;
  /** In which they lie. */
  readonly layout: PackedLayout;
  /** Bytes, a multiple of SLICE_ALIGN. */
  readonly bytes: number;
}

/** How a request's parameter is kept: decided before it has a place. */
export function formOf(request: Request, gpu: Gpu, { dtype, tuning }: Omit<AllocateOptions, 'label'>): Form {
  const storage = parameterStorage(request, gpu, dtype);
  const layout = parameterLayout(request, storage, gpu, dtype, chosenBy(gpu, tuning));
  return {
    storage,
    layout,
    bytes: alignUp(elementsOf(request.parameter, layout) * storageBytes(storage), SLICE_ALIGN),
  };
}

interface Member extends Form {
  readonly request: Request;
  readonly offset: number;
}

/** What decides how weights are kept. */
export interface AllocateOptions {
  /** float32 keeps the file's own precision. */
  readonly dtype: 'float32' | 'float16';
  /** That of the plans which will run the weights; it may decide in which layout they are packed. Default the device's. */
  readonly tuning?: Tuning | undefined;
  /** For GPU tools. */
  readonly label: string;
}

/** Places all parameters into slabs. @returns the slabs, zeroed */
export function allocate(gpu: Gpu, requests: readonly Request[], options: AllocateOptions): BufferSlice[] {
  const { dtype, label } = options;
  const tuning = chosenBy(gpu, options.tuning);
  const slabs: { bytes: number; members: Member[] }[] = [];
  const limit = Math.min(SLAB_BYTES, gpu.caps.maxBufferBytes);
  for (const request of requests) {
    const form = formOf(request, gpu, { dtype, tuning });
    let slab = slabs.at(-1);
    if (!slab || slab.bytes + form.bytes > limit) {
      slab = { bytes: 0, members: [] };
      slabs.push(slab);
    }
    slab.members.push({ ...form, request, offset: slab.bytes });
    slab.bytes += form.bytes;
  }
  const buffers: BufferSlice[] = [];
  try {
    for (const slab of slabs) {
      const memory = createStorage(gpu, slab.bytes, `${label} weights ${buffers.length}`);
      buffers.push(memory);
      for (const m of slab.members) {
        m.request.parameter.place({
          slice: { buffer: memory.buffer, offset: m.offset, size: m.bytes },
          storage: m.storage,
          layout: m.layout,
        });
      }
    }
  } catch (error) {
    buffers.forEach(destroySlice);
    throw error;
  }
  return buffers;
}

function elementsOf(p: Parameter, layout: PackedLayout): number {
  return (layout === 'rows' ? p.columns : alignUp(p.columns, PANEL)) * p.k * p.taps;
}

/** How `upload` runs, and through how much memory. */
export type UploadOptions = RunOptions & PackingOptions;

/** Reads every piece and packs it, once. */
export async function upload(
  gpu: Gpu,
  source: TensorSource,
  requests: readonly Request[],
  options: UploadOptions = {},
): Promise<void> {
  const packing = new Packing(gpu, source, requests, options);
  const staging = await Staging.create(gpu, packing.sizes);
  try {
    await packing.prepare(staging);
    await packing.run(options);
    await gpu.idle();
  } finally {
    packing.dispose();
    staging.dispose();
  }
}

/** Frees slabs and takes the parameters' memory away. */
export function release(slabs: readonly BufferSlice[], requests: readonly Request[]): void {
  for (const { parameter } of requests) parameter.place(undefined);
  slabs.forEach(destroySlice);
}

/** Streams checkpoint bytes into mapped staging memory and packs them on the device; bounded memory on both sides. */

import type { AbortSignalLike } from '../core/platform.ts';
import { alignUp, ceilDiv } from '../core/shape.ts';
import { readTensors, type StoredTensor, type TensorSource } from '../core/tensor-source.ts';
import { type BufferSlice, createMapped, createStorage, destroySlice, SLICE_ALIGN } from '../gpu/buffer.ts';
import type { Gpu } from '../gpu/device.ts';
import { DispatchList } from '../kernels/dispatch.ts';
import { PANEL } from '../kernels/gemm.ts';
import { type Storage, storageBytes } from '../kernels/kernel.ts';
import type { PackedLayout, Tuning } from '../kernels/op.ts';
import { type HeadSpread, type PackProblem, packWeight } from '../kernels/pack-weight.ts';
import { checkTuning } from '../kernels/registry.ts';
import { layoutOfWeight } from '../kernels/weight-layout.ts';
import type { Parameter } from './parameter.ts';

/** One checkpoint tensor and its place in a parameter. */
export interface Piece {
  /** What the checkpoint has. */
  readonly stored: StoredTensor;
  /** Rows of the stored matrix, or values of a vector. */
  readonly outputs: number;
  /** Columns of one tap of the stored matrix; 1 for vectors. */
  readonly inputs: number;
  /** Places of a convolution kernel: its height times its width, else 1. */
  readonly taps: number;
  /** First column of the parameter that it fills. */
  readonly columnFirst: number;
  /** Columns of the parameter that it fills, padding included. */
  readonly columns: number;
  /** Spreads the outputs so that each head begins at a multiple of 8. */
  readonly outHeads?: HeadSpread | undefined;
  /** The same for the inputs. */
  readonly inHeads?: HeadSpread | undefined;
  /** Interleaves the two halves of a gated layer. Default false. */
  readonly geglu?: boolean | undefined;
}

/** A parameter and the tensors that fill it. */
export interface Request {
  /** The weight that is filled. */
  readonly parameter: Parameter;
  /** Its parts, in the order of their columns. */
  readonly pieces: readonly Piece[];
  /** Row counts that a matrix will meet, the most important first; default ROW_COUNTS. */
  readonly rows?: readonly number[] | undefined;
}

/** Bytes read ahead of one packing step unless the caller says otherwise. */
const STAGING_BYTES = 32 * 2 ** 20;
/** Weights of one buffer. */
const SLAB_BYTES = 256 * 2 ** 20;

type FileDType = 'F32' | 'F16' | 'BF16';
const FILE_BYTES: Record<FileDType, number> = { F32: 4, F16: 2, BF16: 2 };

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
  { parameter, pieces, rows }: Request,
  storage: Storage,
  gpu: Gpu,
  tuning?: Tuning,
): PackedLayout {
  if (parameter.kind !== 'matrix') return parameter.kind === 'table' ? 'rows' : 'panels';
  const { columns, k, taps } = parameter;
  return layoutOfWeight(gpu.caps, { columns, k, taps, storage, geglu: pieces.some(p => p.geglu) }, rows, tuning);
}

/** How a parameter will be kept. */
export interface Form {
  /** Of its elements. */
  readonly storage: Storage;
  /** In which they lie. */
  readonly layout: PackedLayout;
  /** Elements, padding included. */
  readonly elements: number;
  /** Bytes, a multiple of SLICE_ALIGN. */
  readonly bytes: number;
}

interface Member extends Form {
  readonly request: Request;
  readonly offset: number;
}

/** How a request's parameter is kept: decided before it has a place. */
export function formOf(request: Request, gpu: Gpu, { dtype, tuning }: Omit<AllocateOptions, 'label'>): Form {
  const storage = parameterStorage(request, gpu, dtype);
  const layout = parameterLayout(request, storage, gpu, tuning);
  const elements = elementsOf(request.parameter, layout);
  return { storage, layout, elements, bytes: alignUp(elements * storageBytes(storage), SLICE_ALIGN) };
}

/** What decides how weights are kept. */
export interface AllocateOptions {
  /** float32 keeps the file's own precision. */
  readonly dtype: 'float32' | 'float16';
  /** That of the plans which will run the weights; it may decide in which layout they are packed. */
  readonly tuning?: Tuning | undefined;
  /** For GPU tools. */
  readonly label: string;
}

/** Places all parameters into slabs. @returns the slabs, zeroed */
export function allocate(gpu: Gpu, requests: readonly Request[], options: AllocateOptions): BufferSlice[] {
  const { dtype, label } = options;
  const tuning = options.tuning && checkTuning(options.tuning);
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

/** Rows of a stored tensor that are read and packed at once. */
export interface Chunk {
  /** What they fill, a part of it. */
  readonly parameter: Parameter;
  /** Whose rows they are. */
  readonly piece: Piece;
  /** First, and behind the last. */
  readonly rows: readonly [number, number];
  /** In the file. */
  readonly bytes: number;
  /** Where in the staging buffer. */
  offset: number;
}

export interface UploadOptions {
  /** Called with the bytes read so far and in all. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
  /**
   * Bytes read ahead of one packing step: bounds the host and staging memory of an upload, but for tensors that cannot be
   * cut. Default 32 MiB.
   */
  readonly stagingBytes?: number | undefined;
  /** Ends reading at once, with its reason. */
  readonly signal?: AbortSignalLike | undefined;
}

/** Reads every piece and packs it. */
export async function upload(
  gpu: Gpu,
  source: TensorSource,
  requests: readonly Request[],
  options: UploadOptions = {},
): Promise<void> {
  const { onProgress, stagingBytes = STAGING_BYTES, signal } = options;
  const batches = batchesOf(gpu, source, requests, stagingBytes);
  const total = batches.reduce((sum, { chunks }) => sum + bytesOf(chunks), 0);
  let done = 0;
  for (const { chunks, bytes } of batches) {
    await packBatch(gpu, source, chunks, bytes, signal);
    done += bytesOf(chunks);
    onProgress?.(done, total);
  }
}

/** Chunks that lie in staging memory together. */
export interface Batch {
  /** In the order of the file, each at its offset. */
  readonly chunks: readonly Chunk[];
  /** Of staging memory. */
  readonly bytes: number;
}

/** All pieces in the order of the file, cut and gathered so that a batch needs at most `stagingBytes`, unless one tensor does. */
export function batchesOf(
  gpu: Gpu,
  source: TensorSource,
  requests: readonly Request[],
  stagingBytes: number = STAGING_BYTES,
): Batch[] {
  const order = new Map([...source.tensors.keys()].map((name, i) => [name, i]));
  const limit = Math.min(stagingBytes, gpu.caps.maxBindingBytes);
  const chunks = requests
    .flatMap(request => request.pieces.flatMap(piece => chunksOf(request.parameter, piece, limit)))
    .sort(
      (a, b) => (order.get(a.piece.stored.name) ?? 0) - (order.get(b.piece.stored.name) ?? 0) || a.rows[0] - b.rows[0],
    );
  const batches: Batch[] = [];
  for (let at = 0; at < chunks.length; ) {
    const batch: Chunk[] = [];
    let size = 0;
    for (let c = chunks[at]; c && (batch.length === 0 || size + c.bytes <= stagingBytes); c = chunks[++at]) {
      c.offset = size;
      batch.push(c);
      size += alignUp(c.bytes, SLICE_ALIGN);
    }
    batches.push({ chunks: batch, bytes: size });
  }
  return batches;
}

function bytesOf(chunks: readonly Chunk[]): number {
  return chunks.reduce((sum, c) => sum + c.bytes, 0);
}

async function packBatch(
  gpu: Gpu,
  source: TensorSource,
  batch: readonly Chunk[],
  bytes: number,
  signal: AbortSignalLike | undefined,
): Promise<void> {
  const staging = await gpu.guarded('weight staging', () => createMapped(gpu, bytes, 'weight staging'));
  const list = new DispatchList(gpu);
  try {
    const ranges = batch.map(chunk => ({
      name: chunk.piece.stored.name,
      start: firstByteOf(chunk),
      into: staging.bytes.subarray(chunk.offset, chunk.offset + chunk.bytes),
    }));
    await readTensors(source, ranges, signal);
    staging.unmap();
    for (const c of batch) addPacking(list, c, staging.slice);
    await list.build();
    list.submit();
    await gpu.idle();
  } finally {
    list.dispose();
    destroySlice(staging.slice);
  }
}

/** Where a chunk begins in its stored tensor. */
export function firstByteOf({ piece, rows }: Chunk): number {
  return rows[0] * piece.inputs * piece.taps * FILE_BYTES[piece.stored.dtype as FileDType];
}

/** Appends what packs a chunk out of staging memory into its parameter, which has a place. */
export function addPacking(list: DispatchList, c: Chunk, staging: BufferSlice): void {
  const { parameter, piece } = c;
  const call = packWeight({
    ...piece,
    from: piece.stored.dtype as FileDType,
    to: parameter.storage,
    layout: parameter.layout,
    ...placing(c),
    k: parameter.k,
  });
  const window = { buffer: staging.buffer, offset: c.offset, size: alignUp(c.bytes, SLICE_ALIGN) };
  const size = Math.min(window.size, staging.size - c.offset);
  list.add(call, { source: { ...window, size }, packed: packedWindow(c) });
}

/** Where a chunk lands: its own rows of a table, or its own panels of a matrix, which may exceed a binding as a whole. */
function packedWindow({ parameter, piece, rows }: Chunk): BufferSlice {
  const { buffer, offset } = parameter.slice;
  const bytes = storageBytes(parameter.storage);
  if (parameter.layout === 'rows') {
    const rowBytes = parameter.k * bytes;
    return { buffer, offset: offset + rows[0] * rowBytes, size: alignUp((rows[1] - rows[0]) * rowBytes, 4) };
  }
  const { columnFirst, columns } = columnsOf(piece, rows);
  const panelBytes = PANEL * parameter.k * parameter.taps * bytes;
  const first = Math.floor(columnFirst / PANEL);
  const size = (ceilDiv(columnFirst + columns, PANEL) - first) * panelBytes;
  // A vector is one narrow matrix, bound whole: its panels need not start at multiples of 256 bytes.
  return parameter.kind === 'vector' ? parameter.slice : { buffer, offset: offset + first * panelBytes, size };
}

/** Columns of the parameter that a chunk fills. */
function columnsOf(piece: Piece, rows: readonly [number, number]): { columnFirst: number; columns: number } {
  if (isWhole(piece)) return piece;
  const columns = rows[1] === piece.outputs ? piece.columns - rows[0] : rows[1] - rows[0];
  return { columnFirst: piece.columnFirst + rows[0], columns };
}

/** What pack-weight is told of a chunk: a tensor of its own whose columns count from the bound window's first panel. */
function placing({ parameter, piece, rows }: Chunk): Pick<PackProblem, 'outputs' | 'rows' | 'columnFirst' | 'columns'> {
  if (parameter.layout === 'rows') return { outputs: piece.outputs, rows };
  const { columnFirst, columns } = columnsOf(piece, rows);
  const first = parameter.kind === 'vector' ? columnFirst : columnFirst % PANEL;
  return { outputs: rows[1] - rows[0], rows: [0, rows[1] - rows[0]], columnFirst: first, columns };
}

/** Heads with padding and gates spread over columns in another order than their rows: such a tensor is never cut. */
function isWhole(piece: Piece): boolean {
  return piece.geglu === true || (piece.outHeads !== undefined && piece.outHeads.width !== piece.outHeads.padded);
}

/** Rows of a tensor in reads of at most `limit` bytes. */
function chunksOf(parameter: Parameter, piece: Piece, limit: number): Chunk[] {
  const rowBytes = piece.inputs * piece.taps * FILE_BYTES[piece.stored.dtype as FileDType];
  const most = Math.max(PANEL, Math.floor(limit / rowBytes / PANEL) * PANEL);
  const step = isWhole(piece) ? piece.outputs : most;
  return Array.from({ length: ceilDiv(piece.outputs, step) }, (_, i): Chunk => {
    const rows = [i * step, Math.min(piece.outputs, (i + 1) * step)] as const;
    return { parameter, piece, rows, bytes: (rows[1] - rows[0]) * rowBytes, offset: 0 };
  });
}

/** Frees slabs and takes the parameters' memory away. */
export function release(slabs: readonly BufferSlice[], requests: readonly Request[]): void {
  for (const { parameter } of requests) parameter.place(undefined);
  slabs.forEach(destroySlice);
}

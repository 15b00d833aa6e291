/** Weights on their way to a device, and those that are there. Which tensors they are is said in weights.ts. */
import { DeviceError } from '../core/errors.ts';
import type { HeldSource } from '../core/held-source.ts';
import { checkNames, namesOf } from '../core/known-names.ts';
import type { AbortSignalLike } from '../core/platform.ts';
import type { TensorSource } from '../core/tensor-source.ts';
import type { Gpu } from '../gpu/device.ts';
import { StreamedWeights, type StreamLimits } from '../tensor/streamed-weights.ts';
import { type AllocateOptions, allocate, type Piece, type Request, release, upload } from '../tensor/upload.ts';

export type { Piece, Request };

/** How weights are brought to the device: precision, progress, an end before the end. */
export interface LoadOptions {
  /** float32 keeps the file's own precision; float16 stores matrices as halves. Default float32. */
  readonly dtype?: 'float32' | 'float16' | undefined;
  /** Called after each read with the bytes so far and in all. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
  /** Ends the loading with its reason; what was allocated is freed. */
  readonly signal?: AbortSignalLike | undefined;
  /** That of the plans which will run the weights: it may decide how they are packed. Default the device's. */
  readonly tuning?: AllocateOptions['tuning'];
  /** Bytes of all buffers that weights pass through, on the device and the host; default 32 MiB. */
  readonly stagingBytes?: number | undefined;
  /** @internal What is read in place of the checkpoint: the view of it that keeps what it reads on the host. */
  readonly held?: HeldSource | undefined;
}

/** The same for weights that pass through the device while plans run. */
export interface StreamOptions extends LoadOptions, StreamLimits {}

const OPTIONS = namesOf<LoadOptions>({ dtype: 1, onProgress: 1, signal: 1, tuning: 1, stagingBytes: 1, held: 1 });
const STREAM_OPTIONS = namesOf<StreamLimits>({ slotBytes: 1, residentBytes: 1 });

/** A model's weights on a device: read-only slabs that parameters point into. */
export class LoadedWeights {
  /** The device that holds them. */
  readonly gpu: Gpu;
  /** Device bytes of all slabs, their padding included. */
  readonly bytes: number;
  readonly #slabs: ReturnType<typeof allocate>;
  readonly #requests: readonly Request[];
  #disposed = false;

  private constructor(gpu: Gpu, slabs: ReturnType<typeof allocate>, requests: readonly Request[]) {
    this.gpu = gpu;
    this.#slabs = slabs;
    this.#requests = requests;
    this.bytes = slabs.reduce((sum, s) => sum + s.size, 0);
  }

  /** Allocates, reads and packs; frees everything again where that fails. */
  static async load(
    gpu: Gpu,
    checkpoint: TensorSource,
    requests: readonly Request[],
    options: LoadOptions,
  ): Promise<LoadedWeights> {
    checkNames('Weights.load', options, OPTIONS);
    const source = options.held ?? checkpoint;
    refuseLoaded(source, requests);
    let slabs: ReturnType<typeof allocate> = [];
    try {
      await gpu.guarded(`load ${source.label}`, () => {
        const { dtype = 'float32', tuning } = options;
        slabs = allocate(gpu, requests, { dtype, tuning, label: source.label });
      });
      await upload(gpu, source, requests, {
        stagingBytes: options.stagingBytes,
        signal: options.signal,
        onProgress: watched(options),
      });
    } catch (error) {
      release(slabs, requests);
      throw error;
    }
    return new LoadedWeights(gpu, slabs, requests);
  }

  /** Frees the device memory. The model can be loaded again. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    release(this.#slabs, this.#requests);
  }
}

/**
 * Prepares weights that pass through the device while plans run, and brings those that stay.
 * @throws whatever the source's `read` throws; DeviceError; the signal's reason; nothing stays allocated then
 */
export async function streamWeights(
  gpu: Gpu,
  checkpoint: TensorSource,
  requests: readonly Request[],
  options: StreamOptions,
): Promise<StreamedWeights> {
  checkNames('Weights.stream', options, [...OPTIONS, ...STREAM_OPTIONS]);
  const source = options.held ?? checkpoint;
  refuseLoaded(source, requests);
  const { dtype = 'float32' } = options;
  return StreamedWeights.load(gpu, source, requests, {
    ...{ ...options, dtype, label: source.label, onProgress: watched(options) },
  });
}

function refuseLoaded(source: TensorSource, requests: readonly Request[]): void {
  if (!requests.some(r => r.parameter.loaded)) return;
  throw new DeviceError({
    op: 'load',
    problem: 'these weights are on a device already',
    path: source.label,
    fix: 'Dispose them first.',
  });
}

/** Ends the loading between two reads. */
function watched({ signal, onProgress }: LoadOptions): (done: number, total: number) => void {
  return (done, total) => {
    signal?.throwIfAborted();
    onProgress?.(done, total);
  };
}

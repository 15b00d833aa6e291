/**
 * The contract of a kernel: plain data that says which WGSL to run, on which buffers, over how many tiles.
 * Kernels know shapes and buffers, not tensors. One file each, beside its wgsl/<stem>.wgsl.
 */
import { DeviceError } from '../core/errors.ts';
import type { Caps } from '../gpu/caps.ts';
import type { Access } from '../gpu/pipelines.ts';
import type { Values } from '../gpu/specialize.ts';

/** How elements lie in a buffer. Packed forms hold two 16-bit values a u32, for devices without shader-f16. */
export type Storage = 'f32' | 'f16' | 'f16-packed' | 'bf16-packed';

/** Bytes of one element of a storage form. */
export function storageBytes(storage: Storage): number {
  return storage === 'f32' ? 4 : 2;
}

/** A word of the uniform block: a u32, or an f32 wrapped by `float`. */
export type ParamWord = number | { readonly f32: number };

/** Marks an uniform word as f32. */
export function float(value: number): ParamWord {
  return { f32: value };
}

/** One storage binding of a kernel. */
export interface KernelBinding {
  readonly name: string;
  readonly access: Access;
  /**
   * For buffers that may exceed one binding: which elements tiles [first, end) touch, and which word of `params` holds the
   * element index at which the bound window starts (the kernel subtracts it). Without it the whole buffer is bound.
   */
  readonly window?: {
    readonly param: number;
    readonly range: (first: number, end: number) => readonly [start: number, end: number];
    readonly elementBytes: number;
  };
}

/** Arithmetic and traffic of one call, for the bench and for splitting. */
export interface Cost {
  readonly flops: number;
  readonly bytes: number;
}

/** Everything about a dispatch but its buffers. */
export interface KernelCall {
  /** Stem of the WGSL file, also the GPU label. */
  readonly kernel: string;
  readonly source: string;
  readonly libs: readonly string[];
  readonly values: Values;
  /** Storage bindings in order, from @binding(1) on. @binding(0) is the uniform block. */
  readonly bindings: readonly KernelBinding[];
  /** Words of the uniform block after `first_tile` and `end_tile`, which the dispatcher fills. */
  readonly params: readonly ParamWord[];
  /** Workgroups; each does the tile numbered first_tile + its linear index, and leaves when that is not below end_tile. */
  readonly tiles: number;
  readonly cost: Cost;
}

/** Which family of variants a device gets: `broadcast` for software Vulkan, `tile` for GPUs. */
export type Family = 'broadcast' | 'tile';

/**
 * The family for a device; `asked` overrides it where the device can run it. On lavapipe, whose compiler spills every register
 * at a barrier, broadcasts multiply at 19 to 21 GFLOP/s and tiles at 8 to 11; tiles need no subgroups (docs/decisions/0003).
 */
export function chooseFamily(caps: Caps, asked?: Family): Family {
  const possible = caps.subgroupSize >= 4 && caps.subgroupSize <= 16;
  if (asked === 'broadcast' && !possible) {
    throw new DeviceError({
      op: 'chooseFamily',
      problem: 'the broadcast kernels need subgroups of one fixed size',
      expected: '4 to 16 lanes',
      received: caps.subgroupSize,
      fix: "Leave the family out, or ask for 'tile'.",
    });
  }
  return asked ?? (caps.software && possible ? 'broadcast' : 'tile');
}

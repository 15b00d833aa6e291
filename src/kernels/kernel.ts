/**
 * The contract of a kernel: plain data that says which WGSL to run, on which buffers, over how many tiles.
 * Kernels know shapes and buffers, not tensors. One file each, beside its wgsl/<stem>.wgsl.
 */
import type { Caps } from '../gpu/caps.ts';
import type { Access } from '../gpu/pipelines.ts';
import type { Program } from '../gpu/specialize.ts';

/** How elements lie in a buffer. Packed forms hold two 16-bit values a u32, for devices without shader-f16. */
export type Storage = 'f32' | 'f16' | 'f16-packed' | 'bf16-packed';

/** Bytes of one element of a storage form. */
export function storageBytes(storage: Storage): number {
  return storage === 'f32' ? 4 : 2;
}

/** How rows of a tensor lie in a buffer. */
export interface RowLayout {
  /** Elements from one row to the next, a multiple of 8. */
  readonly pitch: number;
  /** Form of the elements. */
  readonly storage: Storage;
}

/** One storage binding of a kernel. */
export interface KernelBinding {
  /** Name of the variable in the text, and of the buffer in a DispatchList. */
  readonly name: string;
  /** What the kernel does with it: `write` fills it, `update` leaves parts as they are. */
  readonly access: Access;
  /** What makes less of it needed at once, for messages, such as 'a smaller picture'; left out where nothing does. */
  readonly shrinks?: string | undefined;
  /**
   * For buffers that may exceed one binding: which elements tiles [first, end) touch, and which field of `struct Params` holds
   * the element index at which the bound window starts (the kernel subtracts it). Without it the whole buffer is bound.
   */
  readonly window?: {
    /** The field of `struct Params` that holds the window's start; left out where the kernel reads nothing of the buffer. */
    readonly field?: string | undefined;
    /** Elements that tiles [first, end) touch, in units of `elementBytes`. */
    readonly range: (first: number, end: number) => readonly [start: number, end: number];
    /** Bytes of what `range` and the field count: an element, or a vec4. */
    readonly elementBytes: number;
  };
}

/**
 * A binding that the text declares and a call does without: something must be bound, and of whatever it is only the first bytes are.
 *
 * @param name of the variable in the text
 */
export function unread(name: string): KernelBinding {
  return { name, access: 'read', window: { range: () => [0, 1], elementBytes: 16 } };
}

/** Arithmetic and traffic of one call, for the bench and for splitting. */
export interface Cost {
  /** Floating-point operations, two a multiply-add. */
  readonly flops: number;
  /** Bytes that memory must serve, each operand once. */
  readonly bytes: number;
}

/** Everything about a dispatch but its buffers. `kernel` is the stem of the WGSL file, also the GPU label. */
export interface KernelCall extends Program {
  /** The storage bindings that the text declares, in any order. @binding(0) is the uniform block. */
  readonly bindings: readonly KernelBinding[];
  /**
   * The fields of the text's `struct Params` by their names there; their types too come from there. Left out are those that the
   * dispatcher fills: `first_tile`, `end_tile`, and what windows name.
   */
  readonly params: Readonly<Record<string, number>>;
  /** Workgroups; each does the tile numbered first_tile + its linear index, and leaves when that is not below end_tile. */
  readonly tiles: number;
  /** Estimates for the whole call. */
  readonly cost: Cost;
}

/**
 * Whether a device can run the `broadcast` kernels: subgroups of one fixed size that their texts are written for, 4 to 16 lanes.
 */
export function canBroadcast(caps: Pick<Caps, 'subgroupSize'>): boolean {
  return caps.subgroupSize >= 4 && caps.subgroupSize <= 16;
}

/**
 * Whether texts of the `tile` family take twice the time of the others wherever both run, and seconds each to compile: on software with such
 * subgroups. Then only their own cut is worth a measurement.
 */
export function isTileBehind(caps: Pick<Caps, 'software' | 'subgroupSize'>): boolean {
  return caps.software && canBroadcast(caps);
}

/**
 * Ranks of the families. On lavapipe, whose compiler spills every register at a barrier, broadcasts multiply at 19 to 21
 * GFLOP/s and tiles at 8 to 11; on GPUs broadcasts come last (docs/decisions/0003).
 */
export const RANK = {
  broadcast: (caps: Pick<Caps, 'software'>): number => (caps.software ? 0 : 2),
  tile: (): number => 1,
  /** Matrix units, which do several times what tiles can; and where they are emulated or would round what is not rounded yet. */
  matrix: -1,
  /** Patches in workgroup memory, behind tiles of rows: no faster but on cards that shipped ranks tell of. */
  patches: 2,
  /** From here on nothing is meant for a problem that it could run: shipped ranks (shipped-ranks.ts) pass it over. */
  unsuited: 3,
  lastMatrix: 3,
  /** For who asks. */
  last: 5,
} as const;

/**
 * A text that asks for subgroups of 32 on cards that can run it with 32 or 64 lanes: RDNA issues two products at once for 32 only.
 * @param source with one entry, `@compute @workgroup_size`
 */
export function pinned({ pins32 }: Pick<Caps, 'pins32'>, source: string): string {
  return pins32 ? source.replace('@compute @workgroup_size', '@compute @subgroup_size(32) @workgroup_size') : source;
}

/**
 * From kernel calls and buffers to recorded dispatches: splits long calls into ranges of tiles, windows large buffers,
 * lays all uniform blocks into one buffer, compiles pipelines in parallel and caches bind groups.
 */

import { DeviceError, ShapeError } from '../core/errors.ts';
import { alignUp } from '../core/shape.ts';
import type { BufferSlice } from '../gpu/buffer.ts';
import type { Caps } from '../gpu/caps.ts';
import type { Gpu } from '../gpu/device.ts';
import { USAGE } from '../gpu/flags.ts';
import { destroyBuffer } from '../gpu/held-memory.ts';
import type { Pipeline, PipelineCache } from '../gpu/pipelines.ts';
import type { WebGpuComputePass } from '../gpu/webgpu-types.ts';
import { BLOCK_WORDS } from './declarations.ts';
import type { KernelBinding, KernelCall } from './kernel.ts';
import { type CheckedCall, checkCall } from './words.ts';

/** Tiles [first, end) of a call. */
export interface TileRange {
  /** Number of the first tile. */
  readonly first: number;
  /** Number behind the last one. */
  readonly end: number;
}

/** What is bound: all of an operand, or, for bindings with windows, the part of it that begins at byte `start`. */
export interface BoundSlice extends BufferSlice {
  /** Bytes of the operand that lie before the slice, elsewhere; a multiple of 256, default 0. */
  readonly start?: number;
}

interface Prepared {
  readonly label: string;
  readonly pipeline: GPUComputePipeline;
  readonly group: GPUBindGroup;
  readonly grid: readonly [number, number];
  readonly flops: number;
}

/** A dispatch, as lists and profiles show it. */
export interface DescribedDispatch {
  /** Stem of its kernel. */
  readonly label: string;
  /** Its floating-point operations. */
  readonly flops: number;
}

/** A dispatch that was run alone. */
export interface ProfiledDispatch extends DescribedDispatch {
  /** Wall milliseconds, submission and waiting included. */
  readonly ms: number;
}

interface Pending {
  readonly call: KernelCall;
  readonly checked: CheckedCall;
  readonly buffers: Readonly<Record<string, BoundSlice>>;
  readonly range: TileRange;
}

/** Work per dispatch on a GPU before it is split: about 50 ms on a slow one (1 TFLOP/s). Software has no watchdog. */
const FLOPS_PER_DISPATCH = 5e10;
const FLOPS_PER_SUBMIT = 2e11;
const UNIFORM_STEP = 4 * BLOCK_WORDS;

/** A fixed sequence of dispatches: `add` all, `build` once, `encode` as often as wanted. */
export class DispatchList {
  readonly #gpu: Gpu;
  readonly #pending: Pending[] = [];
  /** Calls come range by range; each is checked once. */
  readonly #checked = new WeakMap<KernelCall, CheckedCall>();
  #ready: Prepared[] | undefined;
  #uniforms: GPUBuffer | undefined;

  constructor(gpu: Gpu) {
    this.#gpu = gpu;
  }

  /** Dispatches after splitting. */
  get length(): number {
    return this.#pending.length;
  }

  /** Bytes of the uniform buffer that `build` creates. */
  get uniformBytes(): number {
    return Math.max(1, this.#pending.length) * UNIFORM_STEP;
  }

  /**
   * Appends a call on the buffers named as its bindings.
   *
   * @param maxTiles splits into ranges of at most this many tiles (tests compare split and unsplit)
   * @param tiles does only these; default all
   * @returns the index of its first dispatch
   * @throws ShaderError for words or bindings that the call's text does not have, ShapeError for a binding without a buffer,
   * DeviceError where one tile needs more than a binding may hold
   */
  add(
    call: KernelCall,
    buffers: Readonly<Record<string, BoundSlice>>,
    maxTiles: number = Number.POSITIVE_INFINITY,
    tiles?: TileRange,
  ): number {
    const at = this.#pending.length;
    const checked = this.#checked.get(call) ?? checkCall(call);
    this.#checked.set(call, checked);
    for (const b of call.bindings) {
      if (!buffers[b.name])
        throw new ShapeError({ op: call.kernel, problem: 'no buffer for a binding', expected: b.name });
    }
    for (const range of splitTiles(call, buffers, this.#gpu.caps, maxTiles, tiles))
      this.#pending.push({ call, checked, buffers, range });
    return at;
  }

  /**
   * Compiles, uploads the uniform blocks and creates the bind groups.
   * @param onPipeline told how many of the pipelines that are not built yet are there, of how many; what it throws ends the building
   * @throws ShaderError for a kernel that the device refuses, DeviceError for memory that it refuses
   */
  async build(onPipeline?: (done: number, of: number) => void): Promise<void> {
    const { pipelines } = this.#gpu;
    const asked = this.#pending.map(({ call, checked }) =>
      pipelines.of(
        call,
        checked.bindings.map(b => b.access),
      ),
    );
    const [compiled] = await Promise.all([Promise.all(asked), onPipeline && counted(asked, pipelines, onPipeline)]);
    await this.#gpu.guarded('DispatchList.build', () => this.#bind(compiled));
  }

  #bind(compiled: readonly Pipeline[]): void {
    const { device } = this.#gpu;
    const uniforms = this.#gpu.memory.create({
      label: 'uniforms',
      size: this.uniformBytes,
      usage: USAGE.UNIFORM | USAGE.COPY_DST,
      mappedAtCreation: true,
    });
    this.#uniforms = uniforms;
    const words = new Uint32Array(uniforms.getMappedRange());
    this.#ready = this.#pending.map((pending, i) => {
      const { call, checked, range } = pending;
      const { pipeline, layout } = compiled[i] as Pipeline;
      const windows = checked.bindings.map(b => bindingWindow(b, pending, this.#gpu.caps));
      writeWords(words.subarray(i * BLOCK_WORDS, (i + 1) * BLOCK_WORDS), checked, range, windows);
      const entries = windows.map((w, j): GPUBindGroupEntry => ({ binding: j + 1, resource: w.resource }));
      const own = { buffer: uniforms, offset: i * UNIFORM_STEP, size: UNIFORM_STEP };
      return {
        label: call.kernel,
        pipeline,
        group: device.createBindGroup({ layout, entries: [{ binding: 0, resource: own }, ...entries] }),
        grid: gridOf(range.end - range.first, this.#gpu.caps.maxWorkgroups),
        flops: (call.cost.flops * (range.end - range.first)) / Math.max(1, call.tiles),
      };
    });
    uniforms.unmap();
  }

  /** Records dispatches [from, to) into a compute pass. */
  encode(pass: WebGpuComputePass, from = 0, to: number = this.length): void {
    if (!this.#ready) throw new DeviceError({ op: 'DispatchList.encode', problem: 'build() has not run' });
    let current: GPUComputePipeline | undefined;
    for (let i = from; i < to; i++) {
      const d = this.#ready[i] as Prepared;
      if (d.pipeline !== current) {
        current = d.pipeline;
        pass.setPipeline(d.pipeline);
      }
      pass.setBindGroup(0, d.group);
      pass.dispatchWorkgroups(d.grid[0], d.grid[1]);
    }
  }

  /**
   * Encodes and submits dispatches [start, end), in several submissions where the estimated work is long, so that no watchdog
   * barks. Creates command encoders and nothing else.
   */
  submit(start = 0, end: number = this.length): void {
    const { device, caps } = this.#gpu;
    const budget = caps.software ? Number.POSITIVE_INFINITY : FLOPS_PER_SUBMIT;
    for (let from = start; from < end; ) {
      let to = from;
      for (let flops = 0; to < end && (to === from || flops + this.describe(to).flops <= budget); to++) {
        flops += this.describe(to).flops;
      }
      const encoder = device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      this.encode(pass, from, to);
      pass.end();
      device.queue.submit([encoder.finish()]);
      from = to;
    }
  }

  /** Runs each dispatch alone and waits for it: wall milliseconds by dispatch, for tuning. */
  async profile(): Promise<ProfiledDispatch[]> {
    const rows: ProfiledDispatch[] = [];
    for (let i = 0; i < this.length; i++) {
      const start = performance.now();
      const encoder = this.#gpu.device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      this.encode(pass, i, i + 1);
      pass.end();
      this.#gpu.device.queue.submit([encoder.finish()]);
      await this.#gpu.idle();
      rows.push({ ...this.describe(i), ms: performance.now() - start });
    }
    return rows;
  }

  /** Kernel stem and floating-point operations of dispatch `i`. */
  describe(i: number): DescribedDispatch {
    const d = this.#ready?.[i];
    return { label: d?.label ?? '', flops: d?.flops ?? 0 };
  }

  /** Frees the uniform blocks; buffers that were bound stay. */
  dispose(): void {
    if (this.#uniforms) destroyBuffer(this.#uniforms);
    this.#ready = undefined;
    this.#pending.length = 0;
  }
}

/** Ranges of tiles such that every window fits one binding and no dispatch is too long. */
export function splitTiles(
  call: KernelCall,
  buffers: Readonly<Record<string, { readonly size: number }>>,
  caps: Caps,
  maxTiles: number,
  tiles: TileRange = { first: 0, end: call.tiles },
): TileRange[] {
  const budget = caps.software
    ? Number.POSITIVE_INFINITY
    : FLOPS_PER_DISPATCH / Math.max(1, call.cost.flops / Math.max(1, call.tiles));
  const limit = Math.max(1, Math.floor(Math.min(maxTiles, budget, caps.maxWorkgroups ** 2)));
  const large = call.bindings.filter(b => (buffers[b.name]?.size ?? 0) > caps.maxBindingBytes);
  const ranges: TileRange[] = [];
  for (let first = tiles.first; first < tiles.end; ) {
    let end = Math.min(tiles.end, first + limit);
    while (
      large.some(
        b => windowBytes(b, buffers[b.name]?.size ?? 0, { first, end }, call.kernel, caps) > caps.maxBindingBytes,
      )
    ) {
      if (end === first + 1) {
        const needed = large.map(b => ({
          b,
          bytes: windowBytes(b, buffers[b.name]?.size ?? 0, { first, end }, call.kernel, caps),
        }));
        const [{ b, bytes }] = needed.sort((x, y) => y.bytes - x.bytes) as [(typeof needed)[number]];
        refuse(call.kernel, b, bytes, `a tile needs more of '${b.name}' than a binding may hold`, caps);
      }
      end = first + Math.max(1, Math.floor((end - first) / 2));
    }
    ranges.push({ first, end });
    first = end;
  }
  return ranges;
}

function windowBytes(b: KernelBinding, size: number, { first, end }: TileRange, kernel: string, caps: Caps): number {
  if (!b.window) refuse(kernel, b, size, `the kernel needs all of '${b.name}', which exceeds a binding`, caps);
  const [start, stop] = b.window.range(first, end);
  const { elementBytes } = b.window;
  return stop * elementBytes - Math.floor((start * elementBytes) / UNIFORM_STEP) * UNIFORM_STEP;
}

/** @throws DeviceError that names the operand, its size, and what makes it smaller or the limit larger */
function refuse(kernel: string, b: KernelBinding, bytes: number, problem: string, caps: Caps): never {
  const larger =
    caps.grantedBindingBytes > caps.maxBindingBytes
      ? `maxBindingBytes above ${caps.maxBindingBytes}`
      : 'an adapter with a larger maxStorageBufferBindingSize';
  throw new DeviceError({
    op: kernel,
    problem,
    expected: `at most ${caps.maxBindingBytes} bytes`,
    received: bytes,
    path: b.name,
    fix: `Use ${b.shrinks ? `${b.shrinks}, or ` : ''}${larger}.`,
  });
}

interface Window {
  readonly resource: GPUBufferBinding;
  readonly field: string | undefined;
  readonly base: number;
}

function bindingWindow(b: KernelBinding, { call, buffers, range }: Pending, caps: Caps): Window {
  const slice = buffers[b.name] as BoundSlice;
  const { buffer, offset, size, start = 0 } = slice;
  if (!b.window) return { resource: { buffer, offset, size }, field: undefined, base: 0 };
  const { field, elementBytes } = b.window;
  const sharers = call.bindings.filter(other => other.window?.field === field).map(other => buffers[other.name]);
  const whole = sharers.every(other => (other?.size ?? 0) <= caps.maxBindingBytes && (other?.start ?? 0) === start);
  if (whole) return { resource: { buffer, offset, size }, field, base: start / elementBytes };
  const [first, end] = b.window.range(range.first, range.end);
  const from = Math.floor((first * elementBytes) / UNIFORM_STEP) * UNIFORM_STEP;
  const to = Math.min(start + size, alignUp(end * elementBytes, 16));
  if (to <= from || from < start) {
    throw new ShapeError({ op: call.kernel, problem: `window of '${b.name}' is empty`, received: [first, end] });
  }
  return { resource: { buffer, offset: offset + from - start, size: to - from }, field, base: from / elementBytes };
}

/** Fills one uniform block: the call's words, the range of tiles, and where the windows start. */
function writeWords(block: Uint32Array, checked: CheckedCall, range: TileRange, windows: readonly Window[]): void {
  const set = (field: string, value: number) => {
    block[checked.declarations.fields.get(field)?.word ?? 0] = value;
  };
  block.set(checked.words);
  for (const w of windows) if (w.field) set(w.field, w.base);
  set('first_tile', range.first);
  set('end_tile', range.end);
}

/** Columns and rows of workgroups for `count` tiles; the kernel numbers them row by row. */
export function gridOf(count: number, maxWorkgroups: number): readonly [number, number] {
  if (count <= maxWorkgroups) return [count, 1];
  const rows = Math.ceil(count / maxWorkgroups);
  return [Math.ceil(count / rows), rows];
}

/** Counts pipelines that are on their way. */
async function counted(
  asked: readonly Promise<Pipeline>[],
  pipelines: PipelineCache,
  tell: (done: number, of: number) => void,
): Promise<void> {
  const coming = [...new Set(asked)].filter(pipeline => !pipelines.isBuilt(pipeline));
  if (coming.length === 0) return;
  tell(0, coming.length);
  let done = 0;
  await Promise.all(coming.map(pipeline => pipeline.then(() => tell(++done, coming.length))));
}

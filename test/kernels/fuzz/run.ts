/**
 * Runs problems three times each, in one submission: watched, every index asking first, and twice by its own text between guards, once
 * among one pattern and once among another. Watched, an operand is bound to the byte, or in windows as tight as the dispatcher makes
 * them; by its own text it is bound together with guards, before it where the kernel takes windows, and behind it always, so that on a
 * device without checks of its own what goes astray lands in them.
 */
import { alignUp } from '../../../src/core/shape.ts';
import type { Gpu } from '../../../src/gpu/device.ts';
import { type BoundSlice, DispatchList } from '../../../src/kernels/dispatch.ts';
import type { KernelBinding, KernelCall } from '../../../src/kernels/kernel.ts';
import { limited } from '../../support/rows.ts';
import type { Draw } from './draw.ts';
import type { Problem } from './problem.ts';
import { LOG, LOG_WORDS, watched } from './watched.ts';

/** Bytes before and behind every operand. */
const GUARD = 4096;
/** Of which a kernel of windows is bound these: the start of its window is that much below 0. */
const BEFORE = 1024;
/** As halves a NaN each, and as f32 or as a number large; and as both an ordinary number. Guards count on from them. */
const PATTERNS = [0x7e017e01, 0x3c553c55] as const;
/** Operands of which a kernel halves the start of the window: it cannot lie below 0. */
const UNSHIFTED: Readonly<Record<string, readonly string[]>> = { 'gemm-matrix': ['b'] };

/** What went wrong in one problem; '' where nothing did. */
export type Finding = string;

/** Which of the three runs there are: planted defects are run watched, unless they are known to stay within the guards. */
export type Runs = 'all' | 'watched' | 'guarded';

interface Placed {
  readonly words: Uint32Array;
  readonly pattern: number;
  readonly written: boolean;
  /** Byte of the operand in its buffer. */
  readonly at: number;
}

/** One run of one problem. */
interface Run {
  readonly call: KernelCall;
  readonly placed: Readonly<Record<string, Placed>>;
  readonly maxTiles: number;
  /** Binds windows of at most this, in bytes; undefined whole operands. */
  readonly window?: number | undefined;
  readonly watched: boolean;
}

/** Places of operands in the two buffers of a batch: those that are read and those that are written. */
class Room {
  readonly sizes: { read: number; write: number } = { read: 0, write: 0 };
  readonly placed: Placed[] = [];

  place(words: Uint32Array, pattern: number, written: boolean): Placed {
    const side = written ? 'write' : 'read';
    const at = alignUp(this.sizes[side] + GUARD, 256);
    this.sizes[side] = alignUp(at + words.byteLength + GUARD, 256);
    // One guard is not the next one's, so that what is copied from one into another is seen.
    const own = (pattern + 0x00030003 * (this.placed.length % 64)) >>> 0;
    const placed = { words, pattern: own, written, at };
    this.placed.push(placed);
    return placed;
  }

  /** The contents of a side: patterns, and operands among them. */
  fill(side: 'read' | 'write'): Uint32Array<ArrayBuffer> {
    const all = new Uint32Array(this.sizes[side] / 4);
    const own = this.placed.filter(({ written }) => written === (side === 'write'));
    for (const { at, words, pattern } of own) {
      const end = alignUp(at + words.byteLength + GUARD, 256) / 4;
      all.fill(pattern, (at - GUARD) / 4, end);
    }
    for (const { at, words } of own) all.set(words, at / 4);
    return all;
  }
}

/** Buffers that serve one batch after another. */
export class Fuzz {
  readonly #gpu: Gpu;
  #buffers: { size: number; read: GPUBuffer; write: GPUBuffer; back: GPUBuffer } | undefined;

  constructor(gpu: Gpu) {
    this.#gpu = gpu;
  }

  /** Runs problems together. @returns a finding for each */
  async run(problems: readonly Problem[], draw: Draw, which: Runs = 'all'): Promise<Finding[]> {
    const { device } = this.#gpu;
    const room = new Room();
    const runs = problems.map(problem => runsOf(problem, room, draw, which));
    const buffers = this.#room(Math.max(room.sizes.read, room.sizes.write, 4 * GUARD));
    const before = room.fill('write');
    device.queue.writeBuffer(buffers.read, 0, room.fill('read'));
    device.queue.writeBuffer(buffers.write, 0, before);
    const lists = await Promise.all(runs.flat().map(run => this.#list(run, buffers)));
    await this.#gpu.guarded('fuzz', () => {
      const encoder = device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      for (const list of lists) list.encode(pass);
      pass.end();
      encoder.copyBufferToBuffer(buffers.write, 0, buffers.back, 0, before.byteLength);
      device.queue.submit([encoder.finish()]);
    });
    await buffers.back.mapAsync(GPUMapMode.READ, 0, before.byteLength);
    const after = new Uint32Array(buffers.back.getMappedRange(0, before.byteLength).slice(0));
    buffers.back.unmap();
    for (const list of lists) list.dispose();
    return runs.map((own, i) => judge(problems[i] as Problem, own, after));
  }

  dispose(): void {
    for (const buffer of [this.#buffers?.read, this.#buffers?.write, this.#buffers?.back]) buffer?.destroy();
    this.#buffers = undefined;
  }

  #room(bytes: number): { read: GPUBuffer; write: GPUBuffer; back: GPUBuffer } {
    if (this.#buffers && this.#buffers.size >= bytes) return this.#buffers;
    this.dispose();
    const size = 2 ** Math.ceil(Math.log2(bytes));
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
    const { device } = this.#gpu;
    const back = device.createBuffer({ size, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
    this.#buffers = {
      ...{ size, back },
      read: device.createBuffer({ size, usage }),
      write: device.createBuffer({ size, usage }),
    };
    return this.#buffers;
  }

  async #list(run: Run, buffers: { read: GPUBuffer; write: GPUBuffer }): Promise<DispatchList> {
    const gpu = run.window === undefined ? this.#gpu : limited(this.#gpu, { maxBindingBytes: run.window });
    const list = new DispatchList(gpu);
    const slices = run.call.bindings.map((binding): [string, BoundSlice] => {
      const placed = run.placed[binding.name] as Placed;
      return [binding.name, sliceOf(run, binding, placed, placed.written ? buffers.write : buffers.read)];
    });
    list.add(run.call, Object.fromEntries(slices), run.maxTiles);
    await list.build();
    return list;
  }
}

function sliceOf(run: Run, { name, window }: KernelBinding, { at, words }: Placed, buffer: GPUBuffer): BoundSlice {
  const size = words.byteLength;
  if (run.watched) return { buffer, offset: at, size };
  const shifts = window?.field !== undefined && !UNSHIFTED[run.call.kernel]?.includes(name);
  if (!shifts) return { buffer, offset: at, size: size + BEFORE };
  return { buffer, offset: at - BEFORE, size: BEFORE + size + BEFORE, start: -BEFORE };
}

function runsOf(problem: Problem, room: Room, draw: Draw, which: Runs): Run[] {
  const { call, buffers } = problem;
  const place = (of: KernelCall, pattern: number) => {
    const all: Readonly<Record<string, Uint32Array>> = { ...buffers, [LOG]: new Uint32Array(LOG_WORDS) };
    return Object.fromEntries(
      of.bindings.map(({ name, access }) => {
        const words = all[name];
        if (!words) throw new Error(`${call.kernel}: the fuzz has no buffer for '${name}'`);
        return [name, room.place(words, pattern, access !== 'read')];
      }),
    );
  };
  const runs: Run[] = [];
  if (which !== 'guarded') {
    const asking = watched(call).call;
    const [maxTiles, window] = cut(problem, draw);
    runs.push({ call: asking, placed: place(asking, PATTERNS[0]), maxTiles, window, watched: true });
  }
  if (which === 'watched') return runs;
  const maxTiles = Number.POSITIVE_INFINITY;
  for (const pattern of PATTERNS) runs.push({ call, placed: place(call, pattern), maxTiles, watched: false });
  return runs;
}

/** Whole, in ranges of tiles, or in the tightest windows: no bit depends on it. */
function cut({ call, buffers }: Problem, draw: Draw): [maxTiles: number, window: number | undefined] {
  const how = draw.int(0, 2);
  if (how === 0 || call.tiles > 4096) return [Number.POSITIVE_INFINITY, undefined];
  const maxTiles = Math.max(Math.ceil(call.tiles / 16), draw.int(1, 4));
  if (how === 1) return [maxTiles, undefined];
  const starts = Array.from({ length: Math.ceil(call.tiles / maxTiles) }, (_, i) => i * maxTiles);
  const needed = call.bindings.map(({ name, window }) => {
    const bytes = buffers[name]?.byteLength ?? 0;
    if (!window) return bytes;
    const windows = starts.map(first => {
      const [from, to] = window.range(first, Math.min(call.tiles, first + maxTiles));
      return (to - from) * window.elementBytes + 256;
    });
    return Math.min(bytes, Math.max(...windows));
  });
  return [maxTiles, Math.max(...needed)];
}

function judge({ call }: Problem, runs: readonly Run[], after: Uint32Array): Finding {
  for (const run of runs) {
    const found = run.watched ? reported(run, call, after) : astray(run, after);
    if (found) return found;
  }
  const [first, ...others] = runs;
  for (const { name, access } of call.bindings) {
    if (access === 'read' || !first) continue;
    const result = (run: Run) => {
      const { at, words } = run.placed[name] as Placed;
      return after.subarray(at / 4, at / 4 + words.length);
    };
    for (const other of others) {
      const own = result(other);
      const differs = result(first).findIndex((word, i) => word !== own[i]);
      if (differs >= 0) return `word ${differs} of '${name}' depends on what lies around the operands`;
    }
  }
  return '';
}

/** What the watched text wrote down. */
function reported(run: Run, call: KernelCall, after: Uint32Array): Finding {
  const { at } = run.placed[LOG] as Placed;
  const [count = 0, site = 0, largest = 0] = after.subarray(at / 4, at / 4 + LOG_WORDS);
  if (count === 0) return astray(run, after);
  return `${count} indices out of range, as in ${watched(call).sites[site - 1]}, the largest ${largest}`;
}

/** Whether a guard was written over. */
function astray({ placed }: Run, after: Uint32Array): Finding {
  for (const [name, { written, at, words, pattern }] of Object.entries(placed)) {
    if (!written) continue;
    for (let i = 1; i <= GUARD / 4; i++) {
      if (after[at / 4 - i] !== pattern) return `wrote ${i} words before '${name}'`;
      const behind = at / 4 + words.length + i - 1;
      if (after[behind] !== pattern) return `wrote ${i} words behind '${name}'`;
    }
  }
  return '';
}

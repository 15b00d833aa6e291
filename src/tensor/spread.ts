/**
 * Values too large for one buffer: they lie in parts, runs of whole rows that each have a place and a lifetime of their own.
 * Calls are cut where a window passes from one part to the next. The few tiles that need rows of both sides work on a seam, a
 * small value into which those rows are copied before, and out of which what was written is copied behind. Kernels notice
 * nothing: their windows count from the first row of the whole value, so every number is the same as in one buffer.
 */
import { BYTES } from '../core/dtype.ts';
import { DeviceError } from '../core/errors.ts';
import { alignUp, ceilDiv } from '../core/shape.ts';
import type { Caps } from '../gpu/caps.ts';
import { copy } from '../kernels/copy.ts';
import type { TileRange } from '../kernels/dispatch.ts';
import type { KernelBinding, KernelCall } from '../kernels/kernel.ts';
import type { Operand, Piece, Step } from './lower.ts';
import { storageOf } from './storage.ts';
import type { Tensor, Value } from './tensor.ts';

/** Rows of a view that lie in one part: [from, to), `row` being the first one's row in the part. */
interface Part {
  readonly value: Value;
  readonly from: number;
  readonly to: number;
  readonly row: number;
}

/** An operand that lies in parts. */
interface SpreadOperand {
  readonly binding: KernelBinding;
  readonly tensor: Tensor;
  readonly parts: readonly Part[];
  /** Rows of the operand that tiles [first, end) touch. */
  readonly rowsOf: (first: number, end: number) => readonly [from: number, to: number];
}

/** Borders lie at multiples of it where parts are that long: no kernel's tile has more rows, or rows that do not divide it. */
const LONGEST_TILE = 512;
/** Rows after which a row of any pitch begins at a multiple of 256 bytes. */
const ALIGNED_ROWS = 16;

/** Bytes of one row of a value. */
export function rowBytesOf({ layout, dtype }: Value): number {
  return layout.pitch * BYTES[dtype];
}

/**
 * Steps whose operands each fit a buffer. Steps without large operands stay as they are.
 *
 * @param planned whether a plan finds the place of a value
 * @param partBytes values above it are spread; never more than `caps.maxBufferBytes`. Values of which some kernel's tile needs
 * a good share of a part (an image's keys) are left whole up to the device's limit
 * @throws DeviceError for a value beyond the device's limit that a kernel binds whole
 */
export function spreadSteps(
  steps: readonly Step[],
  planned: (value: Value) => boolean,
  caps: Caps,
  partBytes: number,
): Step[] {
  const parts = new Map<Value, readonly Part[]>();
  for (const value of valuesToSpread(steps, planned, caps, partBytes)) parts.set(value, cutRows(value, partBytes));
  if (parts.size === 0) return [...steps];
  return steps.flatMap(step => {
    const operands = spreadOperands(step, parts);
    return operands.length === 0 ? [step] : cutStep(step, operands, caps, partBytes);
  });
}

function valuesToSpread(
  steps: readonly Step[],
  planned: (value: Value) => boolean,
  caps: Caps,
  partBytes: number,
): ReadonlySet<Value> {
  const large = new Set<Value>();
  const whole = new Set<Value>();
  for (const { call, buffers } of steps) {
    for (const binding of call.bindings) {
      const operand = buffers[binding.name];
      if (!operand || !('value' in operand) || !planned(operand.value)) continue;
      const { value } = operand;
      const bytes = value.layout.rows * rowBytesOf(value);
      if (bytes <= partBytes) continue;
      large.add(value);
      const bytesAtOnce = isFloat(value) ? bytesOfTile(call, binding) : Number.POSITIVE_INFINITY;
      if (bytes <= caps.maxBufferBytes && bytesAtOnce > partBytes / 4) whole.add(value);
      if (bytes > caps.maxBufferBytes && bytesAtOnce > caps.maxBufferBytes)
        refuseWhole(call, binding.name, bytes, caps);
    }
  }
  for (const value of whole) large.delete(value);
  return large;
}

/** Bytes of an operand that one tile needs: of the largest window among three, or infinite where it needs all. */
function bytesOfTile(call: KernelCall, { window }: KernelBinding): number {
  if (!window) return Number.POSITIVE_INFINITY;
  const tiles = [0, Math.floor(call.tiles / 2), call.tiles - 1];
  const sizes = tiles.map(tile => {
    const [start, end] = window.range(tile, tile + 1);
    return (end - start) * window.elementBytes;
  });
  return Math.max(...sizes);
}

function isFloat({ dtype }: Value): boolean {
  return dtype === 'float32' || dtype === 'float16';
}

function refuseWhole(call: KernelCall, name: string, bytes: number, caps: Caps): never {
  throw new DeviceError({
    op: call.kernel,
    problem: `the kernel needs more of '${name}' at once than a buffer may hold`,
    expected: `at most ${caps.maxBufferBytes} bytes`,
    received: bytes,
    fix: 'Use dtype float16 or a smaller picture; in the VAE tiles help too.',
  });
}

/** Parts of nearly equal length. */
function cutRows(value: Value, partBytes: number): readonly Part[] {
  const { rows, width, pitch } = value.layout;
  const fitting = Math.floor(partBytes / rowBytesOf(value));
  let step = LONGEST_TILE;
  while (step > fitting && step > ALIGNED_ROWS) step /= 2;
  const most = Math.max(step, Math.floor(fitting / step) * step);
  const each = alignUp(ceilDiv(rows, ceilDiv(rows, most)), step);
  return Array.from({ length: ceilDiv(rows, each) }, (_, i): Part => {
    const [from, to] = [i * each, Math.min(rows, (i + 1) * each)];
    return { value: { layout: { rows: to - from, width, pitch }, dtype: value.dtype }, from, to, row: 0 };
  });
}

function spreadOperands({ call, buffers }: Step, all: ReadonlyMap<Value, readonly Part[]>): SpreadOperand[] {
  return call.bindings.flatMap(binding => {
    const tensor = buffers[binding.name];
    const { window } = binding;
    if (!tensor || !('rowOffset' in tensor) || !('shape' in tensor) || !window) return [];
    const whole = all.get(tensor.value);
    if (!whole) return [];
    const perRow = rowBytesOf(tensor.value) / window.elementBytes;
    const rowsOf = (first: number, end: number) => {
      const [from, to] = window.range(first, end);
      return [Math.floor(from / perRow), Math.min(tensor.rows, Math.ceil(to / perRow))] as const;
    };
    return [{ binding, tensor, parts: viewed(whole, tensor), rowsOf }];
  });
}

/** The parts of a value as a view of some of its rows sees them. */
function viewed(parts: readonly Part[], { rowOffset, rows }: Tensor): readonly Part[] {
  return parts
    .map(({ value, from, to }): Part => {
      const first = Math.max(0, from - rowOffset);
      return { value, from: first, to: Math.min(rows, to - rowOffset), row: first + rowOffset - from };
    })
    .filter(({ from, to }) => from < to);
}

/** One step as several, none of which touches two parts of an operand. */
function cutStep(step: Step, operands: readonly SpreadOperand[], caps: Caps, partBytes: number): Step[] {
  const { call } = step;
  const cut: Step[] = [];
  for (let first = 0; first < call.tiles; ) {
    const straddling = operands.filter(o => !inOnePart(o, first, first + 1));
    const fits = straddling.length === 0 ? staysInside(operands, first) : staysOnSeam(operands, first, partBytes);
    const end = lastWhere(first + 1, call.tiles, fits);
    cut.push(...stepOn(step, operands, { first, end }, caps));
    first = end;
  }
  return cut;
}

function inOnePart({ parts, rowsOf }: SpreadOperand, first: number, end: number): boolean {
  const [from, to] = rowsOf(first, end);
  return to <= from || parts.some(part => part.from <= from && to <= part.to);
}

/** Whether tiles from `first` to an end have all their operands in one part each. */
function staysInside(operands: readonly SpreadOperand[], first: number): (end: number) => boolean {
  return end => operands.every(o => inOnePart(o, first, end));
}

/** Whether tiles from `first` to an end need seams where the first one does, and nowhere else, and no large ones. */
function staysOnSeam(operands: readonly SpreadOperand[], first: number, partBytes: number): (end: number) => boolean {
  const bytes = (o: SpreadOperand, end: number) => {
    const [from, to] = o.rowsOf(first, end);
    return (to - from) * rowBytesOf(o.tensor.value);
  };
  return end =>
    operands.every(o => {
      if (inOnePart(o, first, first + 1)) return inOnePart(o, first, end);
      return !inOnePart(o, end - 1, end) && bytes(o, end) <= Math.max(partBytes, bytes(o, first + 1));
    });
}

/** The largest number up to `most` for which `holds`, of which `least` is taken as one; by halving. */
function lastWhere(least: number, most: number, holds: (n: number) => boolean): number {
  if (least >= most || holds(most)) return most;
  let [yes, no] = [least, most];
  while (no - yes > 1) {
    const middle = Math.floor((yes + no) / 2);
    if (holds(middle)) yes = middle;
    else no = middle;
  }
  return yes;
}

/** A range of a step's tiles, with the copies into and out of its seams. */
function stepOn(step: Step, operands: readonly SpreadOperand[], tiles: TileRange, caps: Caps): Step[] {
  const before: Step[] = [];
  const behind: Step[] = [];
  const seams = new Map<string, Piece>();
  const buffers: Record<string, Operand> = { ...step.buffers };
  for (const { binding, tensor, parts, rowsOf } of operands) {
    const [from, to] = rowsOf(tiles.first, tiles.end);
    const part = parts.find(p => p.from <= from && to <= p.to);
    if (part) {
      buffers[binding.name] = pieceOf(part);
      continue;
    }
    const start = Math.floor(from / ALIGNED_ROWS) * ALIGNED_ROWS;
    const bytes = (to - start) * rowBytesOf(tensor.value);
    if (bytes > caps.maxBufferBytes) refuseWhole(step.call, binding.name, bytes, caps);
    const touched = parts.filter(p => p.from < to && start < p.to);
    const key = `${touched.map(p => p.from)} ${start} ${to} ${operands.findIndex(o => o.tensor.value === tensor.value)}`;
    const seam = seams.get(key) ?? seamOf(tensor, start, to);
    if (!seams.has(key)) before.push(...touched.map(p => copyStep(p, seam, 'in', caps)));
    seams.set(key, seam);
    if (binding.access !== 'read') behind.push(...touched.map(p => copyStep(p, seam, 'out', caps)));
    buffers[binding.name] = seam;
  }
  return [...before, { call: step.call, buffers, tiles }, ...behind];
}

function pieceOf({ value, from, to, row }: Part): Piece {
  return { value, rowOffset: row, rows: to - from, firstRow: from };
}

/** Memory for rows [start, end) of an operand. */
function seamOf({ value }: Tensor, start: number, end: number): Piece {
  const { width, pitch } = value.layout;
  const seam = { layout: { rows: end - start, width, pitch }, dtype: value.dtype };
  return { value: seam, rowOffset: 0, rows: end - start, firstRow: start };
}

/** Copies the rows that a part and a seam have in common. */
function copyStep(part: Part, seam: Piece, way: 'in' | 'out', caps: Caps): Step {
  const { pitch } = part.value.layout;
  const storage = storageOf(part.value.dtype, caps);
  const from = Math.max(part.from, seam.firstRow);
  const rows = Math.min(part.to, seam.firstRow + seam.rows) - from;
  const inPart = { first: from - part.from };
  const inSeam = { first: from - seam.firstRow };
  const own: Piece = { ...pieceOf(part), firstRow: 0 };
  const other: Piece = { ...seam, firstRow: 0 };
  const [x, source, y, target] = way === 'in' ? [own, inPart, other, inSeam] : [other, inSeam, own, inPart];
  const call = copy({ rows, sources: [{ channels: pitch, pitch }], storage, y: { pitch, storage }, source, target });
  return { call, buffers: { x1: x, x2: x, y } };
}

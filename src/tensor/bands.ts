/**
 * How weights are cut for their way to the device: bands of neighbouring columns, whole panels where they lie in panels, each with
 * the rows of the checkpoint that it is made of and where in it they go. Plain numbers; nothing is read here.
 */
import { FILE_BYTES, type FileDType } from '../core/convert-bits.ts';
import { alignUp } from '../core/shape.ts';
import { SLICE_ALIGN } from '../gpu/buffer.ts';
import { PANEL } from '../kernels/gemm.ts';
import { storageBytes } from '../kernels/kernel.ts';
import type { PanelFill } from './host-pack.ts';
import type { Parameter } from './parameter.ts';
import type { Piece, Request } from './weight-request.ts';

/** Neighbouring rows of one tensor. */
export interface Segment {
  /** The tensor. */
  readonly piece: Piece;
  /** Its first row. */
  readonly first: number;
  /** Bytes in the file. */
  readonly bytes: number;
  /** Elements. */
  readonly count: number;
  /** First byte in the region of its band. */
  readonly at: number;
}

/** Rows that a kernel lays into every `step`th panel, or where these would lie. */
export interface KernelRun {
  /** Their tensor. */
  readonly piece: Piece;
  /** The element of the band's region at which the first starts. */
  readonly base: number;
  /** How many they are. */
  readonly rows: number;
  /** The band's panel where they begin. */
  readonly panel: number;
  /** From a panel to the next: 2 where values and gates alternate. */
  readonly step: number;
  /** How many panels; columns behind the last row are zeros. */
  readonly panels: number;
}

/** What becomes of the bytes of a band once they are read. */
export type BandWork =
  | { readonly way: 'copy' }
  | { readonly way: 'kernel'; readonly runs: readonly KernelRun[] }
  | { readonly way: 'panels'; readonly fills: readonly PanelFill[] }
  | {
      readonly way: 'rows';
      readonly starts: Int32Array;
      readonly places: Int32Array;
      readonly pitch: number;
      readonly taps: number;
    };

/** Neighbouring columns of a parameter. */
export interface Band {
  /** Whose columns they are. */
  readonly parameter: Parameter;
  /** First byte in the parameter's memory. */
  readonly offset: number;
  /** Bytes there. */
  readonly bytes: number;
  /** What is read. */
  readonly segments: readonly Segment[];
  /** Bytes of the region that holds what was read, as the file has it and converted. */
  readonly region: number;
  /** What is done with it. */
  readonly work: BandWork;
}

/** What bands are cut by. */
export interface Cut {
  /** Bytes of a band and of its region, but for one panel that is larger. */
  readonly limit: number;
  /** Whether panels may be left to a kernel. */
  readonly kernels: boolean;
  /** Tables that bands share; an empty map at first. */
  readonly places: Map<string, Int32Array>;
}

/** Bytes of a band whose elements become others: still in the processor's cache when they are packed. */
const CONVERTED = 2 ** 19;
/** Room for the steps between the segments of a band. */
const SLACK = 1024;

/** All columns of a parameter that has its memory. */
export function bandsOf({ parameter, pieces }: Request, cut: Cut): Band[] {
  const panels = parameter.layout === 'panels';
  const end = panels ? alignUp(parameter.columns, PANEL) : parameter.columns;
  const firsts = pieces.map(p => p.columnFirst).filter(first => !panels || first % PANEL === 0);
  return firsts.flatMap((first, i) => {
    const last = firsts[i + 1] ?? end;
    const group = pieces.filter(p => p.columnFirst >= first && p.columnFirst < last);
    const step = columnsAtOnce(parameter, group, cut.limit);
    const bands: Band[] = [];
    for (let c = first; c < last; c += step) {
      bands.push(bandOf(parameter, group, [c, Math.min(last, c + step)], cut));
    }
    return bands;
  });
}

function columnsAtOnce(parameter: Parameter, group: readonly Piece[], limit: number): number {
  const bytes = storageBytes(parameter.storage);
  const target = parameter.k * parameter.taps * bytes;
  const rows = group.map(p => lengthOf(p) * Math.max(bytes, FILE_BYTES[dtypeOf(p)]));
  const isConverted = group.some(p => dtypeOf(p) !== storedAs(parameter.storage));
  const most = (Math.min(limit, isConverted ? CONVERTED : limit) - SLACK) / Math.max(target, ...rows);
  // Rows too by 32, and by pairs of values and gates, so that a kernel finds them where it would find panels.
  if (parameter.layout === 'rows' && most < 2 * PANEL) return Math.max(1, Math.floor(most));
  const pair = group.some(p => p.geglu) && most >= 2 * PANEL ? 2 * PANEL : PANEL;
  return Math.max(pair, Math.floor(most / pair) * pair);
}

function bandOf(parameter: Parameter, group: readonly Piece[], [from, to]: readonly [number, number], cut: Cut): Band {
  const bytes = storageBytes(parameter.storage);
  const starts = new Int32Array(to - from).fill(-1);
  const segments: Segment[] = [];
  let region = 0;
  for (const piece of group) {
    const outputs = outputsOf(piece, from, to);
    const length = lengthOf(piece);
    for (const { first, end, columns } of runsOf(outputs)) {
      const count = (end - first) * length;
      const size = FILE_BYTES[dtypeOf(piece)];
      segments.push({ piece, first, bytes: count * size, count, at: region });
      for (let i = columns[0]; i < columns[1]; i++) {
        const output = outputs[i] ?? -1;
        if (output >= first && output < end) starts[i] = region / bytes + (output - first) * length;
      }
      region = alignUp(region + count * Math.max(size, bytes), 16);
    }
  }
  const pitch = parameter.k * parameter.taps;
  return {
    parameter,
    offset: from * pitch * bytes,
    bytes: (to - from) * pitch * bytes,
    segments,
    region,
    work: workOf({ parameter, group, from, starts, segments }, cut),
  };
}

interface Placed {
  readonly parameter: Parameter;
  readonly group: readonly Piece[];
  readonly from: number;
  readonly starts: Int32Array;
  readonly segments: readonly Segment[];
}

function workOf(placed: Placed, cut: Cut): BandWork {
  const { parameter, group, starts, segments } = placed;
  const [only] = segments;
  if (only && segments.length === 1 && liesAsStored(parameter, only.piece, starts)) return { way: 'copy' };
  const runs = cut.kernels && beginsAligned(placed) ? kernelRuns(placed) : undefined;
  if (runs) return { way: 'kernel', runs };
  if (parameter.layout === 'rows') {
    const [piece] = group as [Piece];
    return {
      way: 'rows',
      starts,
      places: placesOf(piece, parameter.k, cut),
      pitch: parameter.k * parameter.taps,
      taps: parameter.taps,
    };
  }
  return { way: 'panels', fills: fillsOf(placed, cut) };
}

/** Whether a band may be bound by itself, as panels always may. */
function beginsAligned({ parameter: { k, taps, storage }, from }: Placed): boolean {
  return (from * k * taps * storageBytes(storage)) % SLICE_ALIGN === 0;
}

/** Whether the file's bytes are the parameter's. */
function liesAsStored({ layout, storage, k, taps }: Parameter, piece: Piece, starts: Int32Array): boolean {
  const length = lengthOf(piece);
  if (storedAs(storage) !== dtypeOf(piece) || length !== k * taps || spreads(piece.inHeads)) return false;
  // Taps of a kernel go round in the file; rows hold one after another.
  if (layout === 'rows' ? taps !== 1 : length !== 1) return false;
  for (let i = 0; i < starts.length; i++) if (starts[i] !== i * length) return false;
  return true;
}

/** Rows that follow each other in panels that do (or where these would lie), or in every other one; undefined where there is more to it. */
function kernelRuns({ parameter, group, from, starts, segments }: Placed): KernelRun[] | undefined {
  const [piece] = group;
  if (!piece || group.length > 1 || parameter.kind === 'vector') return undefined;
  const step = piece.geglu ? 2 : 1;
  if (piece.inputs !== parameter.k || spreads(piece.inHeads) || panelOf(from - piece.columnFirst) % step !== 0) {
    return undefined;
  }
  const length = lengthOf(piece);
  const all = Math.ceil(starts.length / PANEL);
  const runs = Array.from({ length: step }, (_, panel) => {
    return { piece, base: starts[panel * PANEL] ?? -1, rows: 0, panel, step, panels: Math.ceil((all - panel) / step) };
  });
  // Every row continues its run; behind the last one there is none.
  for (let i = 0; i < starts.length; i++) {
    const run = runs[panelOf(i) % step];
    const row = Math.floor(panelOf(i) / step) * PANEL + (i % PANEL);
    if (!run || starts[i] === -1) continue;
    if (row !== run.rows || starts[i] !== run.base + row * length) return undefined;
    run.rows++;
  }
  if (runs.some(run => run.rows === 0)) return undefined;
  // The kernel reads elements of the file, the host those that they have become.
  const bytes = storageBytes(parameter.storage);
  return runs.map((run): KernelRun => {
    const segment = segments.findLast(({ at }) => at / bytes <= run.base);
    const at = segment?.at ?? 0;
    return { ...run, base: run.base - at / bytes + at / FILE_BYTES[dtypeOf(piece)] };
  });
}

function panelOf(column: number): number {
  return Math.floor(column / PANEL);
}

function fillsOf({ parameter, group, from, starts }: Placed, cut: Cut): PanelFill[] {
  const pitch = parameter.k * parameter.taps;
  const size = PANEL * pitch;
  const places = group.map(piece => placesOf(piece, parameter.k, cut));
  const fills: PanelFill[] = [];
  for (let c = 0; c < starts.length; c += PANEL) {
    const panel = starts.subarray(c, c + PANEL);
    const owners = group
      .map((piece, i) => ({ piece, places: places[i] as Int32Array }))
      .filter(({ piece }) => {
        return piece.columnFirst < from + c + PANEL && piece.columnFirst + piece.columns > from + c;
      });
    const gaps = panel.some(start => start < 0) || owners.some(o => o.places.length < pitch);
    owners.forEach(({ piece, places }, i) => {
      const own = owners.length === 1 ? panel : panel.map((s, j) => (holds(piece, from + c + j) ? s : -1));
      fills.push({ first: c * pitch, starts: own, places, size, clear: i === 0 && (gaps || owners.length > 1) });
    });
  }
  return fills;
}

function holds({ columnFirst, columns }: Piece, column: number): boolean {
  return column >= columnFirst && column < columnFirst + columns;
}

/** Rows of the stored matrix in columns [from, to) of the parameter, -1 where there is none. */
function outputsOf(piece: Piece, from: number, to: number): Int32Array {
  const outputs = new Int32Array(to - from).fill(-1);
  const end = Math.min(to, piece.columnFirst + piece.columns);
  for (let c = Math.max(from, piece.columnFirst); c < end; c++)
    outputs[c - from] = outputOf(piece, c - piece.columnFirst);
  return outputs;
}

/** What pack-weight calls by the same name: undoes gates in between, or the spreading of heads. */
function outputOf({ geglu, outputs, outHeads }: Piece, column: number): number {
  if (geglu) {
    const value = Math.floor(column / (2 * PANEL)) * PANEL + (column % PANEL);
    if (value >= outputs / 2) return -1;
    return value + (column % (2 * PANEL) < PANEL ? 0 : outputs / 2);
  }
  let output = column;
  if (outHeads) {
    if (column % outHeads.padded >= outHeads.width) return -1;
    output = Math.floor(column / outHeads.padded) * outHeads.width + (column % outHeads.padded);
  }
  return output < outputs ? output : -1;
}

/** Neighbouring outputs. */
interface Run {
  readonly first: number;
  readonly end: number;
  /** Where they are found among all outputs, with others in between where values and gates alternate. */
  readonly columns: readonly [from: number, to: number];
}

/** Ranges that hold the outputs and nothing else, one or two as a rule. Every plan works them out for every weight: nothing is sorted by column. */
function runsOf(outputs: Int32Array): Run[] {
  const runs: { first: number; end: number; columns: [number, number] }[] = [];
  let run: (typeof runs)[number] | undefined;
  for (let column = 0; column < outputs.length; column++) {
    const output = outputs[column] ?? -1;
    if (output < 0) continue;
    if (run?.end !== output) run = runs.find(({ end }) => end === output);
    if (!run) {
      run = { first: output, end: output, columns: [column, column] };
      runs.push(run);
    }
    run.end++;
    run.columns[1] = column + 1;
  }
  const merged: Run[] = [];
  for (const next of runs.sort((a, b) => a.first - b.first)) {
    const last = merged.at(-1);
    if (last?.end !== next.first) merged.push(next);
    else merged[merged.length - 1] = { first: last.first, end: next.end, columns: around(last.columns, next.columns) };
  }
  return merged;
}

function around([a, b]: Run['columns'], [c, d]: Run['columns']): Run['columns'] {
  return [Math.min(a, c), Math.max(b, d)];
}

/** By element of a stored row: its place along the parameter's K, tap by tap. Layers of a size share theirs. */
function placesOf({ inputs, taps, inHeads }: Piece, k: number, { places }: Cut): Int32Array {
  const heads = spreads(inHeads) ? inHeads : undefined;
  const key = [inputs, taps, k, heads?.width, heads?.padded].join();
  const known = places.get(key);
  if (known) return known;
  const made = new Int32Array(inputs * taps);
  for (let i = 0; i < inputs; i++) {
    const spread = heads ? Math.floor(i / heads.width) * heads.padded + (i % heads.width) : i;
    for (let tap = 0; tap < taps; tap++) made[i * taps + tap] = tap * k + spread;
  }
  places.set(key, made);
  return made;
}

function spreads(heads: Piece['inHeads']): heads is NonNullable<Piece['inHeads']> {
  return heads !== undefined && heads.width !== heads.padded;
}

/** Elements of a stored row. */
function lengthOf({ inputs, taps }: Piece): number {
  return inputs * taps;
}

/** Type of a tensor, which `Weights` has checked. */
export function dtypeOf({ stored }: Piece): FileDType {
  return stored.dtype as FileDType;
}

/** The type of a file whose elements have the bits of a storage form. */
export function storedAs(storage: Parameter['storage']): FileDType {
  return storage === 'f32' ? 'F32' : storage === 'bf16-packed' ? 'BF16' : 'F16';
}

/** Machine code of AMD's cards as ACO prints it. */
import { type Counts, type Listing, type Loop, listingOf, noCounts } from './counts.ts';

/** Bytes that a memory instruction moves for each lane, from its name. */
function widthOf(op: string): number {
  const times = /^ds_(load|read|store|write)_2addr|^ds_(read2|write2)/.test(op) ? 2 : 1;
  const dwords = /dword(?:x(\d))?/.exec(op);
  if (dwords) return 4 * Number(dwords[1] ?? 1);
  return (times * Number(/_[bui](\d+)/.exec(op)?.[1] ?? 32)) / 8;
}

type Rule = readonly [RegExp, (counts: Counts, op: string, line: string) => void];

/** Halves of a pair that is issued as one are counted apart. */
const VECTOR: readonly Rule[] = [
  [/^v_pk_(fma|mul|add)/, c => c.packed++],
  // By one, with nothing added: how a half becomes an f32.
  [/^v_(fma|mad)_mix/, (c, _, line) => (/, 1\.0, neg\(0\)|, 1\.0, -?0\b/.test(line) ? c.conversions++ : c.fma++)],
  [/^v_(fma|fmac|fmaak|fmamk|mac|mad)(_legacy)?_?(f32|f16)/, c => c.fma++],
  [/^v_dot/, c => c.dot++],
  [/^v_wmma/, c => c.matrix++],
  [/^v_cvt/, c => c.conversions++],
  [/^v_((min|max)_[ui]32|cndmask)/, c => c.selections++],
  [/^v_(exp|log|rcp|rsq|sqrt|sin|cos)_/, c => c.special++],
  [/^v_mov_/, c => c.moves++],
];

const REST: readonly Rule[] = [
  [/^ds_(load|read)/, (c, op) => add(c, 'ldsReads', 'ldsReadBytes', op)],
  [/^ds_(store|write)/, (c, op) => add(c, 'ldsWrites', 'ldsWriteBytes', op)],
  [/^scratch_/, c => c.scratch++],
  [/^(buffer|global|flat|tbuffer)_load/, (c, op) => add(c, 'globalLoads', 'globalLoadBytes', op)],
  [/^(buffer|global|flat|tbuffer)_(store|atomic)/, c => c.globalStores++],
  [/^s_wait/, c => c.waits++],
  [/^s_barrier/, c => c.barriers++],
  [/^s_c?branch/, c => c.branches++],
];

const HINTS = /^s_(delay_alu|nop|clause|sendmsg|endpgm|inst_prefetch|code_end)/;
const LOAD = /^(buffer|global|flat)_load/;
const ALL_LOADED = /vmcnt\(0\)|s_wait_loadcnt\w* 0x0|s_waitcnt 0/;

type Key = keyof Counts;

function add(counts: Counts, count: Key, bytes: Key, op: string): void {
  counts[count]++;
  counts[bytes] += widthOf(op);
}

function countLine(counts: Counts, line: string): void {
  const parts = line.split('::').map(part => part.trim());
  const op = parts[0].split(/\s+/)[0];
  if (/^BB\d+:/.test(line) || HINTS.test(op)) return;
  counts.instructions++;
  if (!op.startsWith('v_')) {
    REST.find(([pattern]) => pattern.test(op))?.[1](counts, op, line);
    return;
  }
  counts.vector++;
  if (parts.length > 1) counts.dual++;
  for (const part of parts) {
    const name = part.split(/\s+/)[0].replace('v_dual_', 'v_');
    VECTOR.find(([pattern]) => pattern.test(name))?.[1](counts, name, part);
  }
}

interface Range {
  readonly label: string;
  readonly from: number;
  to: number;
}

/** Stretches that end with a branch back to where they begin; ways back to one place are one loop. */
function rangesOf(lines: readonly string[]): Range[] {
  const labels = new Map<string, number>();
  lines.forEach((line, i) => {
    const label = /^(BB\d+):/.exec(line)?.[1];
    if (label) labels.set(label, i);
  });
  const ranges = new Map<number, Range>();
  lines.forEach((line, to) => {
    const label = /^s_c?branch\w*\s+(BB\d+)/.exec(line)?.[1] ?? '';
    const from = labels.get(label);
    if (from === undefined || from > to) return;
    ranges.set(from, { label, from, to: Math.max(to, ranges.get(from)?.to ?? 0) });
  });
  return [...ranges.values()];
}

/** `s_add_u32 s0, s0, 1` and `s_cmp_ge_u32 s0, 16`: 16 times. */
function timesOf(lines: readonly string[]): number | undefined {
  for (const line of lines) {
    const [, counter, end] = /^s_cmp_(?:ge|lt)_[ui]32 (s\d+), (\w+)$/.exec(line) ?? [];
    const step = lines
      .map(other => /^s_add(?:k)?_[iu]32 (s\d+), (?:(s\d+), )?(\w+)$/.exec(other))
      .find(found => found && found[1] === counter && (found[2] ?? counter) === counter);
    if (step && Number(end) > 0 && Number(step[3]) > 0) return Math.ceil(Number(end) / Number(step[3]));
  }
  return undefined;
}

function loopOf(lines: readonly string[], range: Range, inner: readonly Loop[], inside: readonly Range[]): Loop {
  const own = noCounts();
  const ownLines: string[] = [];
  let waiting = false;
  for (let i = range.from; i <= range.to; i++) {
    if (inside.some(one => i >= one.from && i <= one.to)) continue;
    ownLines.push(lines[i]);
    countLine(own, lines[i]);
    if (LOAD.test(lines[i])) {
      if (!waiting) own.trips++;
      waiting = true;
    } else if (ALL_LOADED.test(lines[i])) waiting = false;
  }
  own.matrixFma = 16 * 16 * 16;
  return { label: range.label, inner, own, times: timesOf(ownLines), text: lines.slice(range.from, range.to + 1) };
}

/** The innermost first, so that each finds those inside it. */
function loopsOf(lines: readonly string[]): Loop[] {
  const ranges = rangesOf(lines).sort((a, b) => a.to - a.from - (b.to - b.from));
  const loops = new Map<Range, Loop>();
  for (const range of ranges) {
    const inside = [...loops.keys()].filter(one => one.from >= range.from && one.to <= range.to);
    const inner = inside.flatMap(one => loops.get(one) ?? []);
    loops.set(range, loopOf(lines, range, inner, inside));
  }
  return [...loops.values()];
}

/** @param text the driver's `Assembly` */
export function readAco(text: string): Listing {
  const lines = text
    .split('\n')
    .map(line =>
      line
        .replace(/[;/]+ .*$/, '')
        .replace(/;.*$/, '')
        .trim(),
    )
    .filter(Boolean);
  const whole = noCounts();
  for (const line of lines) countLine(whole, line);
  return listingOf(whole, loopsOf(lines));
}

/** Machine code of AMD's cards as ACO prints it. */
import type { Counts, Listing } from './counts.ts';
import { type Dialect, readLines } from './lines.ts';

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
  [
    /^v_wmma/,
    c => {
      c.matrix++;
      c.matrixFma = 16 * 16 * 16; // beside the count: the main loop is chosen by both
    },
  ],
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

/** `s_waitcnt vmcnt(2)`, and on RDNA 4 `s_wait_loadcnt 0x2` or `s_wait_loadcnt_dscnt 0x201`, its second byte for workgroup memory. */
function waitOf(line: string): number | undefined {
  const old = /^s_waitcnt .*vmcnt\((\d+)\)/.exec(line)?.[1];
  if (old !== undefined) return Number(old);
  if (/^s_waitcnt 0\b/.test(line)) return 0;
  const [, both, count] = /^s_wait_loadcnt(_dscnt)? (0x[\da-f]+)/.exec(line) ?? [];
  return count === undefined ? undefined : both ? Number(count) >> 8 : Number(count);
}

const ACO: Dialect = {
  label: /^(BB\d+):/,
  jump: /^s_c?branch\w*\s+(BB\d+)/,
  count: countLine,
  loads: line => /^(buffer|global|flat)_load/.test(line),
  waits: waitOf,
  times: timesOf,
};

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
  return readLines(lines, ACO);
}

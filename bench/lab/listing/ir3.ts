/**
 * Machine code of Adreno's cards as ir3, the compiler of Mesa's Turnip, prints it: `(sy)(rpt3)cov.f16f32 r10.w, (r)hr20.z`. `rpt`
 * repeats an instruction, `nop` lets the wave rest; `sy` waits for what was loaded, `ss` for workgroup memory and special functions.
 */
import type { Counts, Listing } from './counts.ts';
import { type Dialect, readLines } from './lines.ts';

interface Instruction {
  readonly op: string;
  readonly rest: string;
  /** How often it is done. */
  readonly times: number;
  /** Clocks of rest in front of it. */
  readonly nops: number;
  readonly waits: boolean;
}

function instructionOf(line: string): Instruction | undefined {
  const [, flags, op, rest] = /^((?:\([a-z]+\d*\)\s*)*)([a-z][\w.]*)(.*)$/.exec(line) ?? [];
  if (op === undefined || line.endsWith(':')) return undefined;
  const flag = (name: string): number => Number(new RegExp(`\\(${name}(\\d)\\)`).exec(flags)?.[1] ?? 0);
  return { op, rest, times: 1 + flag('rpt'), nops: flag('nop'), waits: /\((sy|ss)\)/.test(flags) };
}

/** Bytes of `ldl.u32 r0.y, l[r23.y], 4`, of `isam.v (u16)(xyzw)hr42.z` and of `stib.b.untyped.1d.u16.4`. */
function bytesOf({ op, rest }: Instruction): number {
  const bits = Number(/[usf](8|16|32)\b/.exec(`${op} ${rest}`)?.[1] ?? 32);
  const counted = /\.[usf]\d+\.(\d)\b/.exec(op) ?? /, (\d)$/.exec(rest);
  const values = /\(([xyzw]+)\)/.exec(rest)?.[1].length ?? Number(counted?.[1] ?? 1);
  return (values * bits) / 8;
}

const GLOBAL_LOAD = /^(isam|ldib|ldg)\b/;

function countMemory(c: Counts, instruction: Instruction): void {
  const { op } = instruction;
  if (/^ldl\b/.test(op)) {
    c.ldsReads++;
    c.ldsReadBytes += bytesOf(instruction);
  } else if (/^stl\b/.test(op)) {
    c.ldsWrites++;
    c.ldsWriteBytes += bytesOf(instruction);
  } else if (GLOBAL_LOAD.test(op)) {
    c.globalLoads++;
    c.globalLoadBytes += bytesOf(instruction);
  } else if (/^(stib|stg|atomic)\b/.test(op)) c.globalStores++;
  else if (/^(stp|ldp)\b/.test(op)) c.scratch++;
}

const VECTOR: readonly (readonly [RegExp, keyof Counts])[] = [
  [/^mad\.f/, 'fma'],
  [/^cov\./, 'conversions'],
  [/^mov\./, 'moves'],
  [/^(sel|min|max)\.[bus]/, 'selections'],
];

function countLine(c: Counts, line: string): void {
  const instruction = instructionOf(line);
  if (!instruction) return;
  const { op, times, nops, waits } = instruction;
  c.cycles += times + nops;
  if (waits) c.waits++;
  if (op === 'nop') return;
  c.instructions += times;
  countMemory(c, instruction);
  if (/^(br|brao|jump)$/.test(op)) c.branches++;
  else if (op.startsWith('bar')) c.barriers++;
  else if (/^(rcp|rsq|sqrt|exp2|log2|sin|cos)$/.test(op)) c.special++;
  else if (/^[a-z0-9]+\.(f|b|u|s|m)\d*/.test(op) && !/^(ld|st|isam|resinfo|fence)/.test(op)) {
    c.vector += times;
    const kind = VECTOR.find(([pattern]) => pattern.test(op))?.[1];
    if (kind) c[kind] += times;
  }
}

/** `add.u r51.w, r51.w, 1` and `cmps.u.ge up0.x, r51.w, 16`: 16 times. */
function timesOf(lines: readonly string[]): number | undefined {
  for (const line of lines) {
    const [, counter, end] =
      /cmps\.[us]\.(?:ge|lt) \S+, (r\d+\.[xyzw]), (\d+)$/.exec(line.replaceAll('(last)', '')) ?? [];
    const step = lines
      .map(other => /add\.[us] (r\d+\.[xyzw]), (r\d+\.[xyzw]), (\d+)$/.exec(other.replaceAll('(last)', '')))
      .find(found => found && found[1] === counter && found[2] === counter);
    if (step && Number(step[3]) > 0) return Math.ceil(Number(end) / Number(step[3]));
  }
  return undefined;
}

const IR3: Dialect = {
  label: /^(l\d+):$/,
  jump: /(?:^|\))(?:br|brao|jump)\s.*#(l\d+)$/,
  count: countLine,
  loads: line => GLOBAL_LOAD.test(instructionOf(line)?.op ?? ''),
  waits: line => (line.startsWith('(sy)') ? 0 : undefined),
  times: timesOf,
};

/** @param text the driver's `Native code` */
export function readIr3(text: string): Listing {
  const start = /^(?!;|@|Native)[(a-z].*$/m.exec(text)?.index ?? 0;
  const lines = text
    .slice(start)
    .split('\n')
    .map(line => line.trim())
    .filter(line => line !== '' && !/^[;@]/.test(line));
  return readLines(lines, IR3);
}

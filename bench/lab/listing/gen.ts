/**
 * Machine code of Intel's cards as the compiler of Mesa's ANV prints it: `mad(16) g24<1>F g24<8,8,1>F g13.0<0,1,0>F g16<1,1,1>F { align1 1H @1
 * $0.dst };`. The number in brackets are lanes; `$0.dst` waits for what the `send` with `$0` loads.
 */
import type { Counts, Listing } from './counts.ts';
import { type Dialect, readLines } from './lines.ts';

interface Instruction {
  readonly op: string;
  readonly lanes: number;
  /** Bytes of a lane's result. */
  readonly bytes: number;
  readonly rest: string;
}

const SIZES: Readonly<Record<string, number>> = { B: 1, W: 2, HF: 2, BF: 2, D: 4, F: 4, Q: 8, DF: 8 };
/** Lanes for which a cycle is counted: four bytes of each. */
const WIDTH = 8;

function instructionOf(line: string): Instruction | undefined {
  const [, op, lanes, rest] = /^(?:\([^)]*\)\s*)?([a-z]\w*)[\w.]*\((\d+)\)\s*(.*)$/.exec(line) ?? [];
  if (op === undefined) return undefined;
  const type = /<\d+>U?(HF|BF|DF|[BWDQF])\b/.exec(rest)?.[1] ?? 'F';
  return { op, lanes: Number(lanes), bytes: SIZES[type] ?? 4, rest };
}

/** Bytes of a lane that a message moves: `( load, a32, d32, V4, ...)`; a transposed one serves all lanes together. */
function messageBytes({ rest, lanes }: Instruction): number {
  const [, bits = '32', values = '1'] = /\bd(\d+)(?:c32|u32)?, V(\d+)/.exec(rest) ?? [];
  const bytes = (Number(bits) / 8) * Number(values);
  return /transpose/.test(rest) ? bytes / Math.max(lanes, WIDTH) : bytes;
}

function countMessage(c: Counts, instruction: Instruction): void {
  const { rest } = instruction;
  const stores = /\b(store|atomic)/.test(rest);
  if (/\bslm\b/.test(rest)) {
    c[stores ? 'ldsWrites' : 'ldsReads']++;
    c[stores ? 'ldsWriteBytes' : 'ldsReadBytes'] += messageBytes(instruction);
  } else if (/\bss\b/.test(rest)) c.scratch++;
  else if (/\bugm\b/.test(rest) && stores) c.globalStores++;
  else if (/\bugm\b/.test(rest)) {
    c.globalLoads++;
    c.globalLoadBytes += messageBytes(instruction);
  } else if (/barrier/.test(rest)) c.barriers++;
}

function countVector(c: Counts, { op, lanes, bytes, rest }: Instruction, wave: number): void {
  const share = lanes / wave;
  const cycles = Math.max(1, (lanes * bytes) / (4 * WIDTH));
  c.vector += share;
  if (op === 'dpas') {
    c.matrix++;
    c.matrixFma = 8 * lanes * 16; // eight rows, and halves sixteen deep
    return;
  }
  c.cycles += op === 'math' ? 4 * cycles : cycles;
  if (op === 'math') c.special += share;
  else if (op === 'mad' && /<1>F\b/.test(rest)) c.fma += share;
  else if (op === 'sel' || op === 'csel') c.selections += share;
  else if (op === 'mov') c[/<1>F\s.*HF\b|<1>HF\s.*F\b/.test(rest) ? 'conversions' : 'moves'] += share;
}

function countLine(c: Counts, line: string, wave: number): void {
  const instruction = instructionOf(line);
  if (!instruction) return;
  c.instructions++;
  if (/\$\d+\.dst/.test(line)) c.waits++;
  const { op } = instruction;
  if (op === 'send' || op === 'sends' || op === 'sendc') {
    c.cycles++;
    countMessage(c, instruction);
  } else if (/^(if|else|endif|while|break|cont|jmpi|halt|goto|join)$/.test(op)) c.branches++;
  else if (op === 'sync') c.cycles++;
  else countVector(c, instruction, wave);
}

const LOAD = /\bugm\b.*\bload(?!.*\bss\b)/;

/** `add(16) g21<1>D g21<1,1,0>D 1D` and `cmp.ge.f0.0(16) null<1>UD g21<8,8,1>UD 0x00000040UD`: 64 times. */
function timesOf(lines: readonly string[]): number | undefined {
  for (const line of lines) {
    const [, counter, end] = /^cmp\.(?:ge|l)\S*\s+null\S+\s+(g[\d.]+)<\S+\s+0x([0-9a-f]+)U?D/.exec(line) ?? [];
    if (counter === undefined) continue;
    const step = lines
      .map(other => /^add\(\d+\)\s+(g[\d.]+)<1>U?D\s+(g[\d.]+)<\S+\s+(\d+)U?D/.exec(other))
      .find(f => f?.[1] === counter && f[2] === counter);
    if (step && Number(step[3]) > 0) return Math.ceil(Number.parseInt(end, 16) / Number(step[3]));
  }
  return undefined;
}

/** With the numbers by which loads are waited for, which are used again. */
function dialect(wave: number): Dialect {
  const loading = new Set<string>();
  return {
    label: /^(LABEL\d+):$/,
    jump: /^(?:\([^)]*\)\s*)?while\(\d+\)\s+JIP:\s+(LABEL\d+)/,
    count: (counts, line) => countLine(counts, line, wave),
    loads: line => {
      const number = /\$(\d+)(?![\d.])/.exec(line)?.[1];
      if (!/^(?:\([^)]*\)\s*)?send/.test(line)) return false;
      if (number !== undefined) loading.delete(number);
      if (number !== undefined && LOAD.test(line)) loading.add(number);
      return LOAD.test(line);
    },
    waits: line => {
      const numbers = [...line.matchAll(/\$(\d+)\.dst/g)].map(([, number]) => number);
      return numbers.some(number => loading.has(number)) ? 0 : undefined;
    },
    times: timesOf,
  };
}

/** @param text the driver's assembly */
export function readGen(text: string): Listing {
  const lines = text
    .replace(/\n[ \t]+/g, ' ')
    .split('\n')
    .map(line => line.trim())
    .filter(line => line !== '');
  const widths = lines.flatMap(line => Number(/^(?:\([^)]*\)\s*)?(?:while|endif)\((\d+)\)/.exec(line)?.[1] ?? 0));
  return readLines(lines, dialect(Math.max(...widths, 0) || 16));
}

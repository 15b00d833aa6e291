/** Machine code of NVIDIA's cards as NAK, the compiler of Mesa's NVK, prints it: `r0 = ffma r1 r2 r3 // delay=2 wt=000001 wr:1`. */
import { type Counts, type Listing, type Loop, listingOf, noCounts } from './counts.ts';

interface Instruction {
  readonly op: string;
  readonly suffix: string;
  /** The scoreboard that a load sets when it has loaded. */
  readonly sets: number | undefined;
  /** The scoreboard that it sets when it has read its operands. */
  readonly releases: number | undefined;
  /** Scoreboards that are waited for, the last one first; empty without. */
  readonly waits: string;
}

interface Block {
  readonly id: number;
  readonly lines: string[];
  next: readonly number[];
}

const CONVERSIONS = ['f2f', 'f2fp', 'i2f', 'f2i'];
const PACKED = ['hfma2', 'hadd2', 'hmul2'];
/** Neither arithmetic nor moves of the vector unit. */
const APART = /^(ld|st|ldsm|bar|bra|hmma|imma|ldc|membar|nop|bssy|bsync|bclear)$/;

/** Multiply-adds of a wave in `hmma.m16n8k16`. */
function matrixFmaOf(suffix: string): number {
  const [, m, n, k] = /m(\d+)n(\d+)k(\d+)/.exec(suffix) ?? [];
  return Number(m ?? 16) * Number(n ?? 8) * Number(k ?? 16);
}

function instructionOf(counts: Counts, line: string): Instruction | undefined {
  const [code, note = ''] = line.split('//');
  const found = /^(?:@!?\w+\s+)?(?:[\w., ]+?\s*=\s*)?([a-z][a-z0-9_]*)(\.[\w.]*)?/.exec(code.trim());
  if (!found) return undefined;
  const waits = /wt=([01]+)/.exec(note)?.[1] ?? '';
  counts.cycles += Number(/delay=(\d+)/.exec(note)?.[1] ?? 1);
  if (waits.includes('1')) counts.waits++;
  const scoreboard = (of: RegExp): number | undefined => {
    const id = of.exec(note)?.[1];
    return id === undefined ? undefined : Number(id);
  };
  return { op: found[1], suffix: found[2] ?? '', sets: scoreboard(/wr:(\d)/), releases: scoreboard(/rd:(\d)/), waits };
}

function countMemory(c: Counts, { op, suffix }: Instruction): boolean {
  const bytes = Number(/\.b(\d+)/.exec(suffix)?.[1] ?? /\.u(8|16)\b/.exec(suffix)?.[1] ?? 32) / 8;
  const load = op === 'ld';
  if (op === 'ldsm') {
    c.ldsReads++;
    c.ldsReadBytes += 4 * Number(/x(\d)/.exec(suffix)?.[1] ?? 1);
  } else if (!load && op !== 'st') return false;
  else if (suffix.includes('.local')) c.scratch++;
  else if (suffix.includes('.shared')) {
    c[load ? 'ldsReads' : 'ldsWrites']++;
    c[load ? 'ldsReadBytes' : 'ldsWriteBytes'] += bytes;
  } else if (!load) c.globalStores++;
  else {
    c.globalLoads++;
    c.globalLoadBytes += bytes;
  }
  return true;
}

function countLine(c: Counts, line: string): Instruction | undefined {
  const instruction = instructionOf(c, line);
  if (!instruction) return undefined;
  const { op, suffix } = instruction;
  c.instructions++;
  if (!APART.test(op)) c.vector++;
  if (countMemory(c, instruction)) return instruction;
  if (op === 'ffma') c.fma++;
  else if (PACKED.includes(op)) c.packed++;
  else if (op === 'hmma' || op === 'imma') {
    c.matrix++;
    c.matrixFma = matrixFmaOf(suffix);
  } else if (op === 'bar') c.barriers++;
  else if (op === 'bra') c.branches++;
  else if (CONVERSIONS.includes(op)) c.conversions++;
  else if (op === 'mufu') c.special++;
  else if (op === 'sel' || op === 'imnmx') c.selections++;
  else if (op === 'mov' || op === 'prmt') c.moves++;
  return instruction;
}

/** Registers that a line names: `r48..52 = ld.global.b128 [r8..10]` names 48 to 51, then 8 and 9. */
function registersOf(line: string): number[] {
  const named = line.split('//')[0].matchAll(/\br(\d+)(?:\.\.(\d+))?/g);
  return [...named].flatMap(([, from, to]) =>
    Array.from({ length: to === undefined ? 1 : Number(to) - Number(from) }, (_, i) => Number(from) + i),
  );
}

/**
 * Chains of loads, each of which went out when the one before it had come. What names the register of a load waits for it, and a branch
 * for all that its scoreboards say. Where none of the six scoreboards is left, NAK lets an instruction wait for the oldest and take its
 * place, though nothing asks for the value: counted apart.
 */
class Trips {
  /** The longest chain by what uses values. */
  count = 0;
  /** And by all waits. */
  queued = 0;
  #arrived = 0;
  #queue = 0;
  /** Places in the first chain, by register. */
  readonly #values = new Map<number, number>();
  /** Places in both chains, by scoreboard. */
  readonly #boards = new Map<number, readonly [number, number]>();

  see(instruction: Instruction, line: string): void {
    for (const register of registersOf(line)) {
      this.#arrived = Math.max(this.#arrived, this.#values.get(register) ?? 0);
      this.#values.delete(register);
    }
    this.#wait(instruction);
    const { op, suffix, sets, releases } = instruction;
    if (releases !== undefined) this.#boards.delete(releases);
    if (sets !== undefined) this.#boards.delete(sets);
    if (op === 'ld' && suffix.includes('.global') && sets !== undefined) this.#load(sets, line);
  }

  #wait({ op, waits }: Instruction): void {
    for (const [board, bit] of [...waits].reverse().entries()) {
      const place = bit === '1' ? this.#boards.get(board) : undefined;
      if (!place) continue;
      this.#boards.delete(board);
      if (op === 'bra') this.#arrived = Math.max(this.#arrived, place[0]);
      this.#queue = Math.max(this.#queue, place[1]);
    }
  }

  #load(sets: number, line: string): void {
    const place = [this.#arrived + 1, this.#queue + 1] as const;
    this.#boards.set(sets, place);
    for (const register of registersOf(line.split('=')[0])) this.#values.set(register, place[0]);
    this.count = Math.max(this.count, place[0]);
    this.queued = Math.max(this.queued, place[1]);
  }
}

function countBlocks(blocks: readonly Block[]): Counts {
  const counts = noCounts();
  const trips = new Trips();
  for (const { lines } of blocks) {
    for (const line of lines) {
      const instruction = countLine(counts, line);
      if (instruction) trips.see(instruction, line);
    }
  }
  counts.trips = trips.count;
  counts.queued = trips.queued;
  return counts;
}

function blocksOf(text: string): Block[] {
  const blocks: Block[] = [];
  for (const line of text.split('\n')) {
    const head = /^block(?:\.u)? (\d+)/.exec(line);
    const tail = /^} -> \[([\d, ]*)\]/.exec(line);
    const last = blocks[blocks.length - 1];
    if (head) blocks.push({ id: Number(head[1]), lines: [], next: [] });
    else if (tail && last)
      last.next = tail[1]
        .split(',')
        .filter(id => id.trim())
        .map(Number);
    else if (last && line.trim()) last.lines.push(line);
  }
  return blocks;
}

/** By the block where each begins: all blocks from which its end is reached without passing that one. */
function bodiesOf(blocks: readonly Block[]): Map<number, Set<number>> {
  const places = new Map(blocks.map(({ id }, at) => [id, at]));
  const before = new Map<number, number[]>();
  for (const { id, next } of blocks) for (const to of next) before.set(to, [...(before.get(to) ?? []), id]);
  const bodies = new Map<number, Set<number>>();
  for (const [at, { id, next }] of blocks.entries()) {
    for (const head of next) {
      if ((places.get(head) ?? Number.POSITIVE_INFINITY) > at) continue;
      const body = bodies.get(head) ?? new Set([head]);
      const open = [id];
      for (let one = open.pop(); one !== undefined; one = open.pop()) {
        if (body.has(one)) continue;
        body.add(one);
        open.push(...(before.get(one) ?? []));
      }
      bodies.set(head, body);
    }
  }
  return bodies;
}

/** `ur18 = iadd3 ur18 0x1 rZ` and `up0 = isetp.ge.u32 ur18 0x10`: 16 times. */
function timesOf(lines: readonly string[]): number | undefined {
  for (const line of lines) {
    const [, counter, end] = /= isetp\.(?:ge|lt)\.[ui]32 (u?r\d+) (0x[\da-f]+)\s/.exec(line) ?? [];
    if (counter === undefined) continue;
    const step = lines
      .map(other => /^\s*(u?r\d+)\s*= iadd3? (u?r\d+) (0x[\da-f]+)( rZ)?\s/.exec(other))
      .find(found => found && found[1] === counter && found[2] === counter);
    if (step && Number(step[3]) > 0) return Math.ceil(Number(end) / Number(step[3]));
  }
  return undefined;
}

/** @param text what NAK prints after scheduling */
export function readNak(text: string): Listing {
  const blocks = blocksOf(text);
  const bodies = bodiesOf(blocks);
  const loops = new Map<number, Loop>();
  // The innermost first, so that each finds those inside it.
  for (const [head, body] of [...bodies].sort(([, a], [, b]) => a.size - b.size)) {
    const inside = [...loops.keys()].filter(other => body.has(other));
    const all = blocks.filter(({ id }) => body.has(id));
    const own = all.filter(({ id }) => !inside.some(other => bodies.get(other)?.has(id)));
    loops.set(head, {
      label: `block ${head}`,
      inner: inside.flatMap(other => loops.get(other) ?? []),
      own: countBlocks(own),
      times: timesOf(own.flatMap(({ lines }) => lines)),
      text: all.flatMap(({ id, next, lines }) => [`block ${id} -> ${next.join(', ')}`, ...lines]),
    });
  }
  return listingOf(countBlocks(blocks), [...loops.values()]);
}

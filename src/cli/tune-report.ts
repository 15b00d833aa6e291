/** What `pentimento tune` says: problems before it measures, choices and their gains behind it. */
import { conditionsOf, type Op, type TunedChoice } from '../kernels/op.ts';
import { OPS } from '../kernels/registry.ts';
import type { Heard } from '../tuning/heard.ts';
import { keyOfTable, type MeasuredChoice, type TuningTable } from '../tuning/table.ts';

/** A choice as people and JSON read it. */
export interface ChoiceShown {
  readonly op: string;
  /** The fields that tell its problems from the op's others: `k 320, columns 1280, a.storage f32`. */
  readonly shape: string;
  /** Variant, with tile sizes where they are not its own. */
  readonly choice: string;
  /** Milliseconds that the kernel by rank takes, and the chosen one. */
  readonly defaultMs: number | undefined;
  readonly ms: number | undefined;
  /** Per cent of the time by rank that the choice saves. */
  readonly gain: number | undefined;
  /** Candidates that were timed, and those that were thrown out, each with its reason. */
  readonly candidates: number | undefined;
  readonly refused: Readonly<Record<string, string>> | undefined;
}

/** Problems that one choice serves. */
export interface ProblemsShown {
  readonly op: string;
  readonly shape: string;
  readonly problems: number;
}

/** Choices with their figures, in the order of the table. */
export function figuresIn(choices: readonly MeasuredChoice[]): ChoiceShown[] {
  return choices.map(({ op, where, variant, tiles, figures }) => {
    const cut = Object.entries(tiles ?? {}).map(([name, size]) => `${name}=${size}`);
    const { ms, defaultMs, candidates, refused } = figures ?? {};
    const gain = ms === undefined || !defaultMs ? undefined : 100 * (1 - ms / defaultMs);
    return { op, shape: shapeOf(where), choice: [variant, ...cut].join(' '), defaultMs, ms, gain, candidates, refused };
  });
}

/** What would be measured: a row for all problems that one choice serves. */
export function problemsIn(problems: readonly Heard[]): ProblemsShown[] {
  const rows = new Map<string, ProblemsShown>();
  for (const { op: name, problem } of problems) {
    const op = OPS.find(known => known.name === name) as Op<unknown> | undefined;
    const shape = op ? shapeOf(conditionsOf(op, problem)) : '';
    const key = `${name} ${shape}`;
    rows.set(key, { op: name, shape, problems: (rows.get(key)?.problems ?? 0) + 1 });
  }
  return [...rows.values()];
}

function shapeOf(where: TunedChoice['where'] = {}): string {
  const said = Object.entries(where).flatMap(([field, condition]) => {
    if (condition === false) return [];
    if (typeof condition === 'string' || condition === true)
      return [condition === true ? field : `${field} ${condition}`];
    const [least, most] = condition;
    return [`${field} ${least === most ? least : `${least} to ${most}`}`];
  });
  return said.join(', ');
}

/** What is told at the end. */
export interface Tuned {
  /** As it is kept now. */
  readonly table: TuningTable;
  /** The choices that were measured now. */
  readonly fresh: readonly MeasuredChoice[];
  /** Where it is kept. */
  readonly path: string;
  readonly ms: number;
}

/** Choices that are shown; JSON has all. */
const MOST_ROWS = 20;

/** A table of choices, the largest gains first, and where they are kept. */
export function summary({ table, fresh, path, ms }: Tuned): string {
  const shown = figuresIn(fresh);
  const changed = shown
    .filter(({ gain }) => gain !== undefined && gain > 0)
    .sort((a, b) => (b.gain ?? 0) - (a.gain ?? 0));
  const rows = changed
    .slice(0, MOST_ROWS)
    .map(({ op, shape, choice, defaultMs, ms: own, gain }) => [
      op,
      shape,
      `${defaultMs?.toFixed(3)} -> ${own?.toFixed(3)} ms`,
      `${gain?.toFixed(1)} %`,
      choice,
    ]);
  const measured =
    fresh.length === 0
      ? 'nothing was left to measure'
      : `${fresh.length} measured in ${(ms / 1000).toFixed(1)} s, ${changed.length} other than by rank`;
  return [
    ...(rows.length > 0 ? aligned([['op', 'shape', 'by rank -> chosen', 'gain', 'kernel'], ...rows]) : []),
    ...(changed.length > rows.length ? [`and ${changed.length - rows.length} more; --json shows all`] : []),
    ...refusalsIn(shown),
    `${choices(table.choices.length)} for ${keyOfTable(table)}: ${measured}`,
    path,
    '',
  ].join('\n');
}

/** Candidates that were thrown out, each once, with what was wrong the first time. */
function refusalsIn(shown: readonly ChoiceShown[]): string[] {
  const found = new Map<string, { readonly why: string; count: number }>();
  for (const { op, refused = {} } of shown) {
    for (const [name, why] of Object.entries(refused)) {
      const key = `${op}: ${name}`;
      const known = found.get(key);
      if (known) known.count++;
      else found.set(key, { why, count: 1 });
    }
  }
  const times = (count: number): string => (count === 1 ? '' : ` (and ${count - 1} more)`);
  return [...found].map(([key, { why, count }]) => `not taken for ${key}: ${why}${times(count)}`);
}

/** 1 choice, 2 choices. */
export function choices(count: number): string {
  return count === 1 ? '1 choice' : `${count} choices`;
}

function aligned(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0]?.map((_, i) => Math.max(...rows.map(row => row[i]?.length ?? 0))) ?? [];
  return rows.map(row =>
    row
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}

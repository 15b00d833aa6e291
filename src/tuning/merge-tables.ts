/** Tables of one device together: what was measured for one model, and later for another. */
import { conditionsOf, matches, type Op } from '../kernels/op.ts';
import { OPS } from '../kernels/registry.ts';
import type { Heard } from './heard.ts';
import type { MeasuredChoice, TuningTable } from './table.ts';

/**
 * Both tables in one.
 * @param newer of the same device and kernels; its choices go before those of the older for the same problems
 */
export function mergeTables(newer: TuningTable, older: TuningTable): TuningTable {
  const known = new Set(newer.choices.map(keyOf));
  return { ...newer, choices: [...newer.choices, ...older.choices.filter(choice => !known.has(keyOf(choice)))] };
}

function keyOf({ op, where = {} }: MeasuredChoice): string {
  return JSON.stringify([op, Object.entries(where).sort(([a], [b]) => (a < b ? -1 : 1))]);
}

/** The problems for which a table holds no choice that says all by which choices go. */
export function untuned(table: TuningTable, problems: readonly Heard[]): Heard[] {
  return problems.filter(({ op: name, problem }) => {
    const op = OPS.find(known => known.name === name) as Op<unknown> | undefined;
    const fields = op ? Object.keys(conditionsOf(op, problem)) : [];
    return !table.choices.some(
      ({ op: own, where = {} }) => own === name && fields.every(field => field in where) && matches(where, problem),
    );
  });
}

/** Rows of a family as one figure, each weighed by how often the networks dispatch it. */
import { FAMILIES, type Family, type LabRow } from './rows.ts';

/** A family of kernels in the networks. Means are weighed by dispatches; undefined where no row has the figure. */
export interface Weighed {
  readonly family: Family;
  readonly pipelines: number;
  readonly dispatches: number;
  readonly spills: number;
  /** Pipelines that keep registers or arrays in memory. */
  readonly scratch: number;
  /** The bound: the mean share of the peak. */
  readonly share: number | undefined;
  /** The mean share where what is done once a tile counts too. */
  readonly passShare: number | undefined;
  /** The share of the main loop, weighed by workgroups: nearer to the share of the time, as large grids count more. */
  readonly shareByWorkgroups: number | undefined;
  /** The lowest and the highest share. */
  readonly shares: readonly [number, number] | undefined;
  /** Static cycles for a multiply-add of a lane. */
  readonly cyclesPerFma: number | undefined;
  /** Round trips to global memory in a pass over a tile: the most. */
  readonly trips: number | undefined;
  /** The fewest waves. */
  readonly waves: number | undefined;
  /** The driver's estimate times workgroups, in all: what a whole family costs by it. */
  readonly estimate: number;
}

type Weight = (row: LabRow) => number;

function mean(rows: readonly LabRow[], value: (row: LabRow) => number | undefined, weight: Weight): number | undefined {
  const told = rows.flatMap(row => {
    const v = value(row);
    return v === undefined ? [] : [[v, weight(row)] as const];
  });
  const sum = told.reduce((all, [, w]) => all + w, 0);
  return sum === 0 ? undefined : told.reduce((all, [v, w]) => all + v * w, 0) / sum;
}

function extreme(pick: (...values: number[]) => number, values: readonly (number | undefined)[]): number | undefined {
  const told = values.filter(v => v !== undefined);
  return told.length === 0 ? undefined : pick(...told);
}

function weighFamily(family: Family, all: readonly LabRow[]): Weighed {
  const rows = all.filter(row => row.family === family);
  const total = (value: Weight): number => rows.reduce((sum, row) => sum + value(row), 0);
  // Rows of files that nothing dispatches count alike.
  const counted = rows.some(row => row.dispatches > 0);
  const byDispatches: Weight = row => (counted ? row.dispatches : 1);
  const share = (row: LabRow): number | undefined => row.bound?.share;
  const low = extreme(Math.min, rows.map(share));
  const high = extreme(Math.max, rows.map(share));
  return {
    family,
    pipelines: rows.length,
    dispatches: total(row => row.dispatches),
    spills: total(row => row.spills),
    scratch: rows.filter(row => row.scratch > 0).length,
    share: mean(rows, share, byDispatches),
    passShare: mean(rows, row => row.pass?.bound?.share, byDispatches),
    shareByWorkgroups: mean(rows, share, row => (counted ? row.workgroups : 1)),
    shares: low === undefined || high === undefined ? undefined : [low, high],
    cyclesPerFma: mean(rows, row => row.cyclesPerFma, byDispatches),
    trips: extreme(
      Math.max,
      rows.map(row => row.pass?.trips),
    ),
    waves: extreme(
      Math.min,
      rows.map(row => row.waves),
    ),
    estimate: total(row => (row.estimate ?? 0) * row.workgroups),
  };
}

/** The families that have rows. */
export function weigh(rows: readonly LabRow[]): Weighed[] {
  return FAMILIES.map(family => weighFamily(family, rows)).filter(({ pipelines }) => pipelines > 0);
}

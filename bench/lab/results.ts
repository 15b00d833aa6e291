/** What a run of the laboratory keeps: bench/results/lab-<card>.json, a row a line, so that versions of it can be compared. */
import { existsSync, readFileSync } from 'node:fs';
import { LabError } from './cards.ts';
import type { LabRow } from './rows.ts';
import type { Weighed } from './weigh.ts';

/** One run. */
export interface LabResults {
  readonly card: string;
  /** As the driver calls itself, its version with it. */
  readonly driver: string;
  /** The version of Mesa. */
  readonly mesa: string;
  /** The library's. */
  readonly version: string;
  readonly dtype: string;
  /** Pixels of a side. */
  readonly size: number;
  readonly networks: readonly string[];
  /** The wave that was forced; undefined where the driver chose. */
  readonly wave: number | undefined;
  /** Further switches of Dawn. */
  readonly toggles: readonly string[];
  readonly families: readonly Weighed[];
  readonly rows: readonly LabRow[];
}

/** Shares and cycles to four digits: the rest is no news. */
function short(_: string, value: unknown): unknown {
  return typeof value === 'number' && !Number.isInteger(value) ? Number(value.toPrecision(4)) : value;
}

/** JSON with a line for each family and row. */
export function writeResults({ families, rows, ...head }: LabResults): string {
  const list = (all: readonly unknown[]): string => all.map(one => `\n    ${JSON.stringify(one, short)}`).join(',');
  const text = JSON.stringify(head, null, 2).replace(/\n}$/, '');
  return `${text},\n  "families": [${list(families)}\n  ],\n  "rows": [${list(rows)}\n  ]\n}\n`;
}

/**
 * Reads what `writeResults` wrote.
 * @throws LabError for a file that is not there, or is something else
 */
export function readResults(path: string): LabResults {
  if (!existsSync(path)) throw new LabError(`--against: there is no file ${path}`);
  try {
    const read = JSON.parse(readFileSync(path, 'utf8')) as LabResults;
    if (Array.isArray(read.rows) && Array.isArray(read.families)) return read;
  } catch {
    // no JSON: the same as other JSON
  }
  throw new LabError(`--against: ${path} was not written by the laboratory`);
}

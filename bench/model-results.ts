/** Files of `npm run bench:models`: a run of everything replaces one, a run of some parts replaces their rows of it. */
import { existsSync, readFileSync } from 'node:fs';

/** What stands in a file, as far as runs share it. */
export interface Results {
  /** What the adapter says of itself; its description tells driver and version. */
  readonly adapter: { readonly description: string };
  /** Processor, cores and Node. */
  readonly machine: { readonly cpu?: string | undefined };
  /** By name. */
  readonly rows: readonly NamedRow[];
}

/** A row that is found by its name. */
export interface NamedRow {
  readonly name: string;
}

/** What the file holds; undefined where there is none. */
export function readResults(file: URL): Results | undefined {
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Results) : undefined;
}

/** Why rows of another run cannot stand beside those that a file holds; undefined where they can. */
export function strangers(kept: Results, made: Pick<Results, 'adapter' | 'machine'>): string | undefined {
  const of = ({ adapter, machine }: Pick<Results, 'adapter' | 'machine'>): string =>
    `${adapter.description}, ${machine.cpu}`;
  return of(kept) === of(made) ? undefined : `its rows are of ${of(kept)}, and this is ${of(made)}`;
}

/** What the file holds, with the rows of a run in the places of those of their names, and new ones behind them. */
export function withRows(kept: Results, made: Results): Results {
  return { ...kept, ...made, rows: replaced(kept.rows, made.rows) };
}

function replaced(kept: readonly NamedRow[], made: readonly NamedRow[]): readonly NamedRow[] {
  const anew = new Map(made.map(row => [row.name, row]));
  const places = kept.map(row => anew.get(row.name) ?? row);
  return [...places, ...made.filter(({ name }) => !kept.some(row => row.name === name))];
}

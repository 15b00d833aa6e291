/** Files of `npm run bench:models` as tables. */
import { threeDigits } from '../svg/chart-data.ts';
import { markdownTable } from './markers.ts';

/** A row of such a file. */
interface ModelRow {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  /** Seconds of the processor, or the value by these where it is a rate. */
  readonly cpu?: number | undefined;
}

/** What is read of it. */
export interface ModelsFile {
  readonly adapter: { readonly description: string };
  readonly machine: { readonly cpu?: string | undefined; readonly cores?: number | undefined };
  readonly rows: readonly ModelRow[];
}

const PEER = 'onnxruntime-node: ';

/** Every row with the peer's beside it: time of the processor where it was read, and the clock's where not. */
export function modelsTable({ rows }: ModelsFile): string {
  const bare = (name: string): string => name.replace(/ float(16|32)|, float(16|32)/, '');
  const lines = rows
    .filter(({ name }) => !name.startsWith(PEER))
    .map(row => {
      const peer = rows.find(({ name }) => name === PEER + row.name || name === PEER + bare(row.name));
      return [row.name, told(row), peer && peer.unit === row.unit ? told(peer) : '-'];
    });
  return markdownTable(['', 'pentimento', 'onnxruntime-node'], lines);
}

function told({ value, unit, cpu }: ModelRow): string {
  if (cpu === undefined) return `${threeDigits(value)} ${unit} by the clock`;
  // Rates are by the processor already, times are its seconds.
  return unit === 'ms' ? `${threeDigits(1000 * cpu)} ms` : `${threeDigits(cpu)} ${unit}`;
}

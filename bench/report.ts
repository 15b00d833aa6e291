/** The benchmark's table as text, a line each as they are measured. */
import {
  type BenchFile,
  type BenchHead,
  type BenchPeer,
  type Ceilings,
  type KernelRow,
  type NetworkRow,
  standingOf,
} from './schema.ts';

const BOUND = { fmaF32: 'FMA f32', fmaF16: 'FMA f16', matrix: 'matrix', copy: 'copy' } as const;
const CLOCK = {
  timestamps: "times are the device's own timestamps",
  clock: 'times are of the wall clock',
  processor: 'times are seconds of the processor, all threads added up, and rates those of a core',
} as const;

/** What was measured where, before the first row. */
export function headLines(file: BenchHead): string[] {
  const { adapter, machine, without, clock, samples, tuning } = file;
  const name = adapter.description || [adapter.vendor, adapter.architecture, adapter.device].filter(Boolean).join(' ');
  const lacks = without.length > 0 ? `, without ${without.join(', ')}` : '';
  return [
    `${name || 'unnamed adapter'}${lacks}; ${[machine.cpu, `${machine.cores} cores`, machine.runtime].filter(Boolean).join(', ')}`,
    `${samples} samples a row; ${CLOCK[clock]}${tuning === null ? '' : `; tuned by ${tuning}`}`,
  ];
}

/** The ceilings in a line. */
export function ceilingLine({ fmaF32, fmaF16, matrix, copy, copyBytes }: Ceilings): string {
  const rate = (name: string, value: number | null): string =>
    value === null ? `${name} none` : `${name} ${number(value)}`;
  const all = [rate('FMA f32', fmaF32), rate('FMA f16', fmaF16), rate('matrix units', matrix)].join(', ');
  return `ceilings: ${all} GFLOP/s, copy of ${Math.round(copyBytes / 2 ** 20)} MiB ${number(copy)} GB/s`;
}

/** A table whose lines can be written as they come. */
class Columns {
  readonly #widths: readonly number[];

  constructor(widths: readonly number[]) {
    this.#widths = widths;
  }

  line(cells: readonly string[]): string {
    const padded = cells.map((cell, i) =>
      i === 0 ? cell.padEnd(this.#widths[i] ?? 0) : cell.padStart(this.#widths[i] ?? 0),
    );
    return padded.join('  ').trimEnd();
  }
}

/** Lines of the table of kernels. */
export class KernelTable {
  readonly #columns: Columns;

  /** @param names of all rows to come */
  constructor(names: readonly string[]) {
    const width = Math.max(4, ...names.map(name => name.length));
    this.#columns = new Columns([width, 10, 22, 9, 7, 7, 8, 10, 8]);
  }

  get head(): string {
    const cells = ['kernel', 'median ms', 'min..p90', 'GFLOP/s', 'GB/s', 'share', 'of', 'compile ms', 'error'];
    return `${this.#columns.line(cells)}  variant`;
  }

  line(row: KernelRow): string {
    const { name, gflops, gbs, share, bound, compileMs, error, variant, tiles, wrong } = row;
    const times = wrong ? ['wrong', ''] : timeCells(row);
    const rates = wrong ? ['', '', ''] : [number(gflops), number(gbs), percent(share)];
    const cells = [name, ...times, ...rates, BOUND[bound], compileMs.toFixed(0), exponent(error)];
    const cut = Object.entries(tiles).map(([size, value]) => `${size} ${value}`);
    return `${this.#columns.line(cells)}  ${variant}${cut.length > 0 ? ` (${cut.join(', ')})` : ''}`;
  }
}

/** Lines of the table of networks. */
export class NetworkTable {
  readonly #columns: Columns;

  constructor(names: readonly string[]) {
    this.#columns = new Columns([Math.max(7, ...names.map(name => name.length)), 10, 22, 9, 7, 10, 10]);
  }

  get head(): string {
    return this.#columns.line(['network', 'median ms', 'min..p90', 'GFLOP/s', 'share', 'dispatches', 'MiB']);
  }

  line(row: NetworkRow): string {
    const times = row.wrong ? ['wrong', ''] : timeCells(row);
    const rates = [number(row.gflops), percent(row.share)];
    return this.#columns.line([
      row.name,
      ...times,
      ...rates,
      `${row.dispatches}`,
      (row.peakBytes / 2 ** 20).toFixed(1),
    ]);
  }
}

/** The race: a line a row, ours among the others. */
export function raceLines({ rows, networks, peers }: Pick<BenchFile, 'rows' | 'networks' | 'peers'>): string[] {
  if (peers.length === 0) return [];
  const names = [...rows, ...networks].map(({ name }) => name);
  const width = Math.max(...names.map(({ length }) => length), 4);
  const absent = peers.filter(({ missing }) => missing !== undefined).map(peer => `${peer.name}: ${peer.missing}`);
  const present = peers.filter(({ missing }) => missing === undefined).map(engine);
  const head =
    present.length > 0 ? [`beside ${present.join(', ')}: their medians over ours, above 1 ours is faster`] : [];
  const lines = names.flatMap(name => {
    const theirs = peers.filter(({ rows: all }) => all.some(row => row.name === name));
    if (theirs.length === 0) return [];
    const standing = standingOf({ peers }, name);
    const place = standing ? `place ${standing.place} of ${standing.of}` : 'alone';
    return [`${name.padEnd(width)}  ${place.padStart(12)}  ${theirs.map(peer => cell(peer, name)).join('; ')}`];
  });
  return [...head, ...absent, ...lines];
}

function engine({ name, package: from, version }: BenchPeer): string {
  return `${name} (${[from, version].filter(Boolean).join(' ')})`;
}

function cell({ name: peer, rows }: BenchPeer, name: string): string {
  const row = rows.find(one => one.name === name);
  if (!row) return '';
  if (row.missing !== undefined) return `${peer} missing: ${row.missing}`;
  if (row.wrong) return `${peer} wrong: error ${exponent(row.error)}`;
  const ratio = row.ratio === null ? 'no ratio' : `x ${row.ratio.toFixed(2)}`;
  return `${peer} ${ratio}${row.error === null ? '' : `, error ${exponent(row.error)}`}`;
}

function timeCells({ medianMs, minMs, p90Ms }: Pick<KernelRow, 'medianMs' | 'minMs' | 'p90Ms'>): string[] {
  return [ms(medianMs), `${ms(minMs)}..${ms(p90Ms)}`];
}

function ms(value: number | null): string {
  return value === null ? '' : value.toFixed(value < 10 ? 3 : 1);
}

function number(value: number | null): string {
  return value === null ? '' : value.toFixed(value < 100 ? 1 : 0);
}

function percent(share: number | null): string {
  return share === null ? '' : `${Math.round(100 * share)} %`;
}

function exponent(value: number | null): string {
  return value === null ? 'not finite' : value.toExponential(1);
}

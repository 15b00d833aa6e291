/** Rows as text: the table of pipelines, and the families weighed. */
import type { Bound } from './bound.ts';
import type { LabRow } from './rows.ts';
import type { Weighed } from './weigh.ts';

const HEAD = [
  ...['#', 'kernel', 'variant', 'wave', 'regs', 'LDS', 'spills', 'scratch', 'waves', 'instr', 'estimate'],
  ...['loop', 'fma', 'pk/dot', 'matrix', 'dual', 'cvt', 'sel', 'vector', 'ds read(B)', 'ds write(B)', 'global(B)'],
  ...['waits', 'barriers', 'cycles', 'peak %', 'pass', 'trips', 'queued', 'pass %', 'cyc/FMA', 'dispatches'],
  'workgroups',
];
const LOOP_COLUMNS = 14;
const LEFT = new Set(['kernel', 'variant', 'family']);

const percent = (share: number | undefined): string => (share === undefined ? '-' : (100 * share).toFixed(0));
const fixed = (value: number | undefined, digits: number): string =>
  value === undefined ? '-' : value.toFixed(digits);

/** Cells to lines of equal columns. */
export function columns(head: readonly string[], cells: readonly (readonly unknown[])[]): string {
  const rows = [head, ...cells.map(row => row.map(cell => String(cell ?? '-')))];
  const widths = head.map((_, i) => Math.max(...rows.map(row => row[i].length)));
  const pad = (cell: string, i: number): string =>
    LEFT.has(head[i]) ? cell.padEnd(widths[i]) : cell.padStart(widths[i]);
  return rows.map(row => row.map(pad).join(' ').trimEnd()).join('\n');
}

function bounded(bound: Bound | undefined): string {
  return bound ? `${percent(bound.share)} ${bound.by}` : '-';
}

function cellsOf(row: LabRow, i: number): unknown[] {
  const { loop: l } = row;
  const loop = l && [
    ...[l.instructions, l.fma, `${l.packed}/${l.dot}`, l.matrix, l.dual, l.conversions, l.selections, l.vector],
    ...[`${l.ldsReads}(${l.ldsReadBytes})`, `${l.ldsWrites}(${l.ldsWriteBytes})`],
    ...[`${l.globalLoads}(${l.globalLoadBytes})`, l.waits, l.barriers, l.cycles || undefined],
  ];
  return [
    ...[i + 1, row.kernel, row.variant, row.wave, row.registers, row.lds, row.spills, row.scratch, row.waves],
    ...[row.instructions, row.estimate, ...(loop ?? Array.from({ length: LOOP_COLUMNS }))],
    bounded(row.bound),
    ...[
      row.pass?.instructions,
      row.pass?.trips,
      row.pass?.queued,
      bounded(row.pass?.bound),
      fixed(row.cyclesPerFma, 2),
    ],
    ...[row.dispatches, row.workgroups],
  ];
}

/** A line for each pipeline, in the order of compilation. */
export function pipelineTable(rows: readonly LabRow[]): string {
  return columns(HEAD, rows.map(cellsOf));
}

/** A line for each family. */
export function familyTable(families: readonly Weighed[]): string {
  const head = [
    ...['family', 'pipelines', 'dispatches', 'spills', 'scratch', 'waves', 'trips', 'cyc/FMA'],
    ...['peak %', 'from-to', 'by workgroups', 'pass %', 'estimate'],
  ];
  const cells = families.map(f => [
    ...[f.family, f.pipelines, f.dispatches, f.spills, f.scratch, f.waves, f.trips, fixed(f.cyclesPerFma, 2)],
    ...[
      percent(f.share),
      f.shares?.map(percent).join('-'),
      percent(f.shareByWorkgroups),
      percent(f.passShare),
      f.estimate.toExponential(2),
    ],
  ]);
  return columns(head, cells);
}

/** The table of variants, for the terminal, for files, and for docs/quality.md. */
import type { Measured } from './measures.ts';

/** What is kept of a variant. */
export interface VariantRow extends Measured {
  /** As typed. */
  readonly options: string;
  /** Cases that the means are of. */
  readonly cases: number;
}

/** Rows by the names of their variants. */
export type Table = Readonly<Record<string, VariantRow>>;

/** Tables by the names of their sets of scenes: bench/results/quality.json. */
export type Recorded = Readonly<Record<string, Table>>;

const MARKS = { begin: '<!-- measured: npm run bench:quality -->', end: '<!-- /measured -->' };
const TITLES: Readonly<Record<string, string>> = {
  scenes: 'The scenes of bench/quality/scenes',
  containers: 'Container swaps made of them: backwards, mirrored, both',
  swaps: 'Other swaps of their pictures, half of them of containers, that no setting was chosen by',
};

/** Columns for a terminal. */
export function asText(table: Table): string {
  const head = ['variant', 'cases', 'ok', 'nat', 'outside', 'pasted', 'inside', 'iou', 's an edit'];
  const rows = [head, ...Object.entries(table).map(([name, row]) => cells(name, row, [row.seconds.toFixed(1)]))];
  const widths = head.map((_, i) => Math.max(...rows.map(row => row[i]!.length)));
  const line = (row: readonly string[]): string =>
    row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join('  ');
  return rows.map(line).join('\n');
}

/** A table of Markdown, with the options behind each name. */
function asMarkdown(table: Table): string {
  const head = ['variant', 'cases', 'ok', 'nat', 'PSNR outside', 'pasted back', 'inside', 'IoU', 'options'];
  const rows = Object.entries(table).map(([name, row]) => cells(name, row, [row.options && `\`${row.options}\``]));
  return [head, ['---', ...Array<string>(7).fill('---:'), '---'], ...rows]
    .map(row => `| ${row.join(' | ')} |`)
    .join('\n');
}

function cells(name: string, row: VariantRow, last: readonly string[]): string[] {
  const { cases, ok, nat, bg, pasted, inside, iou } = row;
  const decibels = [bg, pasted, inside].map(value => fixed(value, 1));
  return [name, String(cases), `${Math.round(100 * ok)} %`, nat.toFixed(2), ...decibels, fixed(iou, 2), ...last];
}

/** A number, or what stands for one that was not measured. */
export function fixed(value: number | undefined, digits: number): string {
  return value?.toFixed(digits) ?? '-';
}

/** A document with the measured section made anew; the rest stays. @throws Error for one without the section's marks */
export function withMeasured(document: string, recorded: Recorded): string {
  const [begin, end] = [document.indexOf(MARKS.begin), document.indexOf(MARKS.end)];
  if (begin < 0 || end < begin) throw new Error(`no section between ${MARKS.begin} and ${MARKS.end}`);
  const sections = Object.entries(recorded).map(([set, table]) => `${TITLES[set] ?? set}:\n\n${asMarkdown(table)}\n`);
  return `${document.slice(0, begin)}${MARKS.begin}\n${sections.join('\n')}${document.slice(end)}`;
}

/** What was recorded, with rows of a run in the place of older ones of the same name. */
export function merged(recorded: Recorded, set: string, table: Table, order: readonly string[]): Recorded {
  const rows = { ...recorded[set], ...table };
  const place = (name: string): number => (order.includes(name) ? order.indexOf(name) : order.length);
  const sorted = Object.entries(rows).sort(([a], [b]) => place(a) - place(b));
  return { ...recorded, [set]: Object.fromEntries(sorted) };
}

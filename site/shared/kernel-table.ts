/** The table of kernels, as the command prints it. */
import type { KernelRow } from '../../bench/schema.ts';
import { BOUND_WORDS, errorWords, hasSpeed, percent, rowWords, threeDigits } from '../../bench/svg/chart-data.ts';
import { make } from './elements.ts';

/** Heads, in the order of the cells. */
const HEADS = ['kernel', 'ms', 'GFLOP/s', 'GB/s', 'of ceiling', 'error', 'compile ms', 'variant'];

/** The table in a region that is scrolled sideways where it is wider than its place, by keys too. */
export function kernelTable(rows: readonly KernelRow[], caption: string): HTMLElement {
  const table = make(
    'table',
    {},
    make('caption', {}, caption),
    make('thead', {}, make('tr', {}, ...HEADS.map(text => make('th', { scope: 'col' }, text)))),
    make('tbody', {}, ...rows.map(line)),
  );
  const region = make('div', { className: 'scrolled', tabIndex: 0 }, table);
  region.setAttribute('role', 'region');
  region.setAttribute('aria-label', 'Table of kernels');
  return region;
}

function line(row: KernelRow): HTMLElement {
  const tiles = Object.entries(row.tiles).map(([name, value]) => `${name} ${value}`);
  return make(
    'tr',
    {},
    make('th', { scope: 'row' }, ...named(row)),
    ...(hasSpeed(row) ? speeds(row) : [wrong()]),
    make('td', row.wrong ? { className: 'bad' } : {}, errorWords(row.error)),
    make('td', {}, row.compileMs.toFixed(0)),
    make('td', {}, row.variant, ...(tiles.length > 0 ? [make('small', {}, tiles.join(', '))] : [])),
  );
}

function speeds({ medianMs, minMs, p90Ms, gflops, gbs, share, bound }: KernelRow): HTMLElement[] {
  const digits = (value: number | null): string => threeDigits(value ?? Number.NaN);
  return [
    make('td', {}, digits(medianMs), make('small', {}, `${digits(minMs)} to ${digits(p90Ms)}`)),
    make('td', {}, digits(gflops)),
    make('td', {}, digits(gbs)),
    make('td', {}, percent(share ?? Number.NaN), make('small', {}, BOUND_WORDS[bound])),
  ];
}

/** In the place of all speeds. */
function wrong(): HTMLElement {
  return make('td', { colSpan: 4, className: 'bad' }, 'wrong: no speed');
}

/** The operation, and its shape and storage below. */
function named(row: KernelRow): (Node | string)[] {
  const [, operation = rowWords(row), rest] = /^(group-norm \+ silu|\S+) (.*)$/.exec(rowWords(row)) ?? [];
  return rest === undefined ? [operation] : [operation, make('small', {}, rest)];
}

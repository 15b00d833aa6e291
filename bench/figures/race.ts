/** The benchmark's file in words and tables: ours beside every peer. */
import { type BenchFile, type BenchPeer, type KernelRow, type PeerRow, standingOf } from '../schema.ts';
import {
  BOUND_WORDS,
  CEILING_WORDS,
  errorWords,
  hasSpeed,
  peerWords,
  percent,
  rowWords,
  threeDigits,
} from '../svg/chart-data.ts';
import { markdownTable, wrappedText } from './markers.ts';

const digits = (value: number | null): string => threeDigits(value ?? Number.NaN);

/** Where and how it was measured, in sentences. */
export function conditions({ adapter, machine, clock, samples, made, ceilings, peers }: BenchFile): string {
  const name = adapter.description || [adapter.vendor, adapter.architecture].filter(Boolean).join(' ');
  const where = [name, machine.cpu && `${machine.cores} cores of ${machine.cpu}`, machine.runtime].filter(Boolean);
  const clocks = {
    processor:
      'time of the processor over all threads, which on software is the work itself however busy the machine is',
    timestamps: "the device's own timestamps",
    clock: 'the clock from submission to the end',
  };
  const ran = peers.filter(({ missing }) => missing === undefined);
  const beside = ran.length > 0 ? `, samples of all engines in turn` : '';
  const reached = (['fmaF32', 'fmaF16', 'matrix'] as const).flatMap(bound => {
    const gflops = ceilings[bound];
    return gflops === null ? [] : [`${CEILING_WORDS[bound]} ${digits(gflops)} GFLOP/s`];
  });
  const text = [
    `${where.join(', ')}, ${made.slice(0, 10)}. Medians of ${samples} samples${beside}: ${clocks[clock]}.`,
    `The adapter's own ceilings, measured: ${reached.join(', ')}, memory ${digits(ceilings.copy)} GB/s.`,
  ].join(' ');
  return wrappedText(text);
}

/** Rows that a peer has run: time and speed, share of the ceiling, error, and each peer's time, and that over ours. */
export function raceTable(file: BenchFile, shown: RegExp): string {
  const peers = file.peers.filter(({ missing }) => missing === undefined);
  const head = ['', 'ms', 'GFLOP/s', 'of ceiling', 'error', ...peers.map(titleOf)];
  const rows = file.rows.flatMap(row => {
    if (!shown.test(row.name)) return [];
    const theirs = peers.map(peer => peer.rows.find(({ name }) => name === row.name));
    return theirs.every(one => one === undefined || one.missing !== undefined)
      ? []
      : [[...ownCells(file, row), ...theirs.map(peerCell)]];
  });
  const absent = file.peers.flatMap(peer =>
    peer.missing === undefined ? [] : [`${peerWords(peer)} did not run: ${peer.missing}.`],
  );
  return [markdownTable(head, rows), ...absent].join('\n\n');
}

function titleOf(peer: BenchPeer): string {
  return [peerWords(peer), peer.version].filter(Boolean).join(' ');
}

function ownCells(file: BenchFile, row: KernelRow): string[] {
  const name = rowWords(row);
  if (!hasSpeed(row)) return [name, 'wrong', '', '', errorWords(row.error)];
  const standing = standingOf(file, row.name);
  const behind = standing && standing.place > 1 ? ` (${percent(1 / standing.ratio - 1)} behind)` : '';
  const share = `${percent(row.share ?? Number.NaN)} of ${BOUND_WORDS[row.bound]}`;
  return [name, `${digits(row.medianMs)}${behind}`, digits(row.gflops), share, errorWords(row.error)];
}

function peerCell(row: PeerRow | undefined): string {
  if (row === undefined || row.missing !== undefined) return '-';
  if (row.wrong) return `wrong: ${errorWords(row.error)}`;
  return `${digits(row.medianMs)}, ${digits(row.ratio)} ×`;
}

/** In how many rows ours is first, and where not. */
export function standings(file: BenchFile): string {
  const all = file.rows.flatMap(row => {
    const standing = hasSpeed(row) ? standingOf(file, row.name) : undefined;
    return standing ? [{ row, standing }] : [];
  });
  const behind = all.filter(({ standing }) => standing.place > 1);
  const least = Math.min(...all.map(({ standing }) => standing.ratio));
  const first = `Ours is first in ${all.length - behind.length} of ${all.length} rows`;
  if (all.length === 0) return 'No peer ran.';
  if (behind.length === 0) return `${first}, by ${threeDigits(least)} times at the least.`;
  const rows = behind.map(({ row, standing }) => {
    const peer = file.peers.find(({ name }) => name === standing.fastest);
    return `${rowWords(row)} is ${percent(1 / standing.ratio - 1)} behind ${peer ? peerWords(peer) : standing.fastest}`;
  });
  return wrappedText(`${first}; ${rows.join(', ')}.`);
}

/** The networks, replayed; one that a peer has run too has its time over ours. */
export function networksTable(file: BenchFile): string {
  const ran = file.peers.filter(({ missing }) => missing === undefined);
  const peers = ran.filter(({ rows }) => rows.some(row => file.networks.some(({ name }) => name === row.name)));
  const head = ['', 'ms', 'GFLOP/s', 'of ceiling', 'dispatches', 'MB', ...peers.map(titleOf)];
  const rows = file.networks.map(row => [
    ...[row.name, digits(row.medianMs), digits(row.gflops), row.share === null ? '-' : percent(row.share)],
    ...[String(row.dispatches), (row.peakBytes / 1e6).toFixed(1)],
    ...peers.map(peer => peerCell(peer.rows.find(({ name }) => name === row.name))),
  ]);
  return markdownTable(head, rows);
}

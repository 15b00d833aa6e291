/** Files of results: a run of everything replaces one, a run of some rows replaces those rows of it. */
import { InputError } from '../src/core/errors.ts';
import type { BenchFile, BenchHead, BenchPeer, KernelRow, PeerRow } from './schema.ts';

/** What must agree where rows of two runs stand beside each other, by the names of the file. */
const AGREEING: Readonly<Record<string, (file: BenchHead) => unknown>> = {
  adapter: file => [file.adapter.vendor, file.adapter.architecture, file.adapter.device, file.adapter.description],
  driver: file => file.driver,
  'machine.cpu': file => file.machine.cpu,
  'machine.cores': file => file.machine.cores,
  library: file => file.library,
  kernels: file => file.kernels,
  toggles: file => file.toggles,
  without: file => [...file.without].sort(),
  clock: file => file.clock,
  tuning: file => file.tuning,
};

/**
 * The file that a run leaves where there was one: its own rows in the places of those of their names, new ones behind them.
 *
 * @param kept what the file held
 * @param path of the file, for the message
 * @throws InputError where rows of the two cannot stand beside each other, naming what differs
 */
export function mergedWith(kept: BenchFile, made: BenchFile, path: string): BenchFile {
  refuseStrangers(kept, made, path);
  const rows = replaced(kept.rows, made.rows);
  const networks = replaced(kept.networks, made.networks);
  return { ...made, rows, networks, peers: peersOf(kept.peers, made.peers).map(comparedWith([...rows, ...networks])) };
}

/** @throws InputError where the rows of a file are of another adapter, driver, processor, library, or were taken otherwise */
export function refuseStrangers(kept: BenchHead, made: BenchHead, path: string): void {
  for (const [name, of] of Object.entries(AGREEING)) {
    const [there, here] = [of(kept), of(made)];
    if (JSON.stringify(there) === JSON.stringify(here)) continue;
    throw new InputError({
      op: 'bench',
      problem: `the rows of the file were measured otherwise: another ${name}`,
      expected: here,
      value: there,
      path,
      fix: 'Name another file, or measure everything: a run without --filter, of kernels and networks, replaces the file.',
    });
  }
}

function peersOf(kept: readonly BenchPeer[], made: readonly BenchPeer[]): readonly BenchPeer[] {
  // An engine that could not be started leaves what it measured before; a version's rows are its own.
  const ran = made.filter(({ name, missing }) => missing === undefined || !kept.some(peer => peer.name === name));
  const anew = ran.map(peer => {
    const before = kept.find(({ name, version }) => name === peer.name && version === peer.version);
    return before ? { ...peer, rows: replaced(before.rows, peer.rows) } : peer;
  });
  return replaced(kept, anew);
}

/** Rows of ours that were measured again stand beside those of an engine that was not: ratios are of the medians that the file holds. */
function comparedWith(ours: readonly Pick<KernelRow, 'name' | 'medianMs'>[]): (peer: BenchPeer) => BenchPeer {
  const medians = new Map(ours.map(({ name, medianMs }) => [name, medianMs]));
  const ratioOf = ({ name, medianMs }: PeerRow): number | null => {
    const own = medians.get(name) ?? null;
    return medianMs === null || own === null ? null : medianMs / own;
  };
  return peer => ({ ...peer, rows: peer.rows.map(row => ({ ...row, ratio: ratioOf(row) })) });
}

function replaced<T extends { readonly name: string }>(kept: readonly T[], made: readonly T[]): readonly T[] {
  const anew = new Map(made.map(row => [row.name, row]));
  const places = kept.map(row => anew.get(row.name) ?? row);
  return [...places, ...made.filter(({ name }) => !kept.some(row => row.name === name))];
}

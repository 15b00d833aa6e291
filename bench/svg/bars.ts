/** Bars: every row, ours and each peer's, as long as it is fast beside the fastest of the row. */
import type { BenchPeer, KernelRow, NetworkRow, PeerRow } from '../schema.ts';
import {
  adapterWords,
  type ChartData,
  errorWords,
  hasSpeed,
  peerWords,
  percent,
  rowWords,
  threeDigits,
  versionWords,
} from './chart-data.ts';
import { type ChartOptions, chartDocument, DEFAULT_WIDTH, heading } from './document.ts';
import { node, shortened, widthOf, words } from './elements.ts';
import { engineClass } from './style.ts';

/** A bar, or words in its place. */
interface Bar {
  readonly engine: string;
  readonly index: number;
  /** 0 to 1 of the longest; undefined where there is no speed. */
  readonly length: number | undefined;
  readonly text: string;
  readonly bad?: boolean;
}

/** A row's bars. */
interface Group {
  readonly name: string;
  readonly bars: readonly Bar[];
}

/** Where a column of groups is, and how its bars are cut. */
interface Column {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  /** Pixels of the engines' names; 0 without. */
  readonly label: number;
  /** Pixels of the longest bar. */
  readonly track: number;
  /** Whether the whole track is shown. */
  readonly tracks: boolean;
}

const [BAR, PITCH, HEAD, AFTER] = [11, 16, 19, 14];

/** The chart as SVG text: with peers speeds beside each other, without any the share of the ceiling that binds. */
export function bars(data: ChartData, options: ChartOptions = {}): string {
  const { width = DEFAULT_WIDTH } = options;
  const race = data.peers.some(({ missing }) => missing === undefined);
  const columns = width >= 700 ? 2 : 1;
  const groups = race
    ? raced(data, columns > 1)
    : data.rows.map(row => ({ name: rowWords(row), bars: [ownShare(row)] }));
  const title = race ? 'Speed beside other engines' : 'Speed beside the ceiling';
  const head = heading(title, subtitle(data, race), width);
  const column = columnOf(groups, { y: head.bottom + 27, width: (width - 40 - 32 * (columns - 1)) / columns, race });
  const halves = cut(groups, columns);
  const drawn = halves.map((half, i) => drawColumn(half, { ...column, x: 20 + i * (column.width + 32) }));
  const height = column.y + Math.max(0, ...halves.map(heightOf)) + 6;
  return chartDocument(
    { ...options, id: 'bars', title: `${title}, ${adapterWords(data)}`, description: described(groups), height },
    head.svg,
    ...drawn,
  );
}

function subtitle(data: ChartData, race: boolean): string {
  if (!race) return `Share of the ceiling that binds each kernel; ${adapterWords(data)}`;
  const times = data.clock === 'processor' ? 'time of the processor over all threads' : 'medians';
  return `Longer is faster; ${times}; ${versionWords(data)}; ${adapterWords(data)}`;
}

function columnOf(
  groups: readonly Group[],
  { y, width, race }: { y: number; width: number; race: boolean },
): Omit<Column, 'x'> {
  const all = groups.flatMap(group => group.bars);
  const names = Math.max(0, ...all.map(bar => widthOf(bar.engine, 11)));
  const label = names > 0 ? names + 8 : 0;
  const text = Math.max(0, ...all.map(bar => (bar.length === undefined ? 0 : textWidth(bar) + 8)));
  return { y, width, label, track: Math.max(40, width - label - text), tracks: !race };
}

const textWidth = ({ text, index }: Bar): number => widthOf(text, 11, index === 0);

/** Rows and networks that a peer has run. */
function raced({ rows, networks, peers }: ChartData, named: boolean): Group[] {
  return [...rows, ...networks].flatMap(row => {
    const found = peers.flatMap((peer, index) => {
      const theirs = peer.rows.find(({ name }) => name === row.name);
      return theirs ? [{ peer, index: index + 1, theirs }] : [];
    });
    const ran = found.some(({ theirs }) => theirs.missing === undefined);
    return ran ? [groupOf(row, found, named)] : [];
  });
}

interface Found {
  readonly peer: BenchPeer;
  readonly index: number;
  readonly theirs: PeerRow;
}

const timeOf = (row: KernelRow | NetworkRow | PeerRow): number =>
  hasSpeed(row) ? (row.medianMs ?? Number.NaN) : Number.NaN;

/** @param named whether there is room for the name of the engine that is first */
function groupOf(row: KernelRow | NetworkRow, found: readonly Found[], named: boolean): Group {
  const ours = timeOf(row);
  const best = Math.min(...[ours, ...found.map(({ theirs }) => timeOf(theirs))].filter(ms => ms > 0));
  const first = found.find(({ theirs }) => timeOf(theirs) === best);
  const behind =
    ours > best && first ? `, ${percent(ours / best - 1)} behind${named ? ` ${peerWords(first.peer)}` : ''}` : '';
  const own: Bar = {
    ...{ engine: 'pentimento', index: 0, length: ours > 0 ? best / ours : undefined, bad: !(ours > 0) },
    text: ours > 0 ? `${threeDigits(ours)} ms${behind}` : wrongWords('error' in row ? row.error : null),
  };
  return { name: rowWords(row), bars: [own, ...found.map(one => peerBar(one, ours, best))] };
}

function peerBar({ peer, index, theirs }: Found, ours: number, best: number): Bar {
  const engine = peerWords(peer);
  const ms = timeOf(theirs);
  const bad = theirs.wrong === true;
  if (bad) return { engine, index, length: undefined, bad, text: wrongWords(theirs.error) };
  if (!(ms > 0)) return { engine, index, length: undefined, text: theirs.missing ?? 'not measured' };
  const times = ours > 0 ? `, ${threeDigits(theirs.ratio ?? ms / ours)} × ours` : '';
  return { engine, index, length: best / ms, text: `${threeDigits(ms)} ms${times}` };
}

function ownShare(row: KernelRow): Bar {
  const right = hasSpeed(row);
  const share = row.share ?? 0;
  return {
    ...{ engine: '', index: 0, length: right ? Math.min(1, share) : undefined, bad: !right },
    text: right ? `${percent(share)}, ${threeDigits(timeOf(row))} ms` : wrongWords(row.error),
  };
}

const wrongWords = (error: number | null): string => `wrong: error ${errorWords(error)}`;

const groupHeight = ({ bars: all }: Group): number => HEAD + PITCH * all.length + AFTER;
const heightOf = (groups: readonly Group[]): number => groups.reduce((sum, group) => sum + groupHeight(group), 0);

/** Columns of about the same height, in the order of the rows. */
function cut(groups: readonly Group[], columns: number): Group[][] {
  if (columns === 1) return [[...groups]];
  const half = heightOf(groups) / 2;
  let sum = 0;
  const at = groups.findIndex(group => {
    sum += groupHeight(group);
    return sum >= half;
  });
  return [groups.slice(0, at + 1), groups.slice(at + 1)];
}

function drawColumn(groups: readonly Group[], column: Column): string {
  let { y } = column;
  return groups
    .map(group => {
      const svg = drawGroup(group, { ...column, y });
      y += groupHeight(group);
      return svg;
    })
    .join('');
}

/** Words stand behind their bars: the track leaves room for the longest. */
function drawGroup({ name, bars: all }: Group, { x, y, width, label, track, tracks }: Column): string {
  const from = x + label;
  const lines = all.map((bar, i) => {
    const middle = y + HEAD + i * PITCH;
    const long = bar.length === undefined ? 0 : Math.max(1.5, bar.length * track);
    const text = tracks && long > 0 ? from + track + 8 : from + (long > 0 ? long + 6 : 0);
    const rect = (className: string, wide: number): string =>
      node('rect', { class: className, x: from, y: middle - 5.5, width: wide, height: BAR, rx: 2 });
    return [
      label > 0 ? words(from - 8, middle + 4, bar.engine, { class: 'small soft', 'text-anchor': 'end' }) : '',
      tracks && long > 0 ? rect('track', track) : '',
      long > 0 ? rect(engineClass(bar.index), long) : '',
      words(text, middle + 4, shortened(bar.text, x + width - text + 1, 11, bar.index === 0), {
        class: `small${bar.bad ? ' bad' : ''}${bar.index === 0 ? ' strong' : ''}`,
      }),
    ].join('');
  });
  return [words(x, y + 4, shortened(name, width, 12, true), { class: 'strong' }), ...lines].join('');
}

/** The same in sentences. */
function described(groups: readonly Group[]): string {
  return groups
    .map(
      ({ name, bars: all }) =>
        `${name}: ${all.map(({ engine, text }) => [engine, text].filter(Boolean).join(' ')).join('; ')}.`,
    )
    .join(' ');
}

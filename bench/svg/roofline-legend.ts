/** The legend of a roofline: what colours and shapes mean, then the rows by their numbers. */
import type { Bound, KernelRow } from '../schema.ts';
import {
  BOUND_WORDS,
  CEILING_WORDS,
  type ChartData,
  errorWords,
  fewWords,
  hasSpeed,
  peerWords,
  percent,
  type SpeedUnit,
  speedUnit,
  threeDigits,
} from './chart-data.ts';
import { node, shortened, widthOf, words } from './elements.ts';
import { type Layout, MARK, type Point, peerMark, roofsOf } from './roofline-points.ts';
import { operationOf } from './style.ts';

const LINE = 17;

/** Everything below the plot, from the height `top` on; `bottom` is where it ends. */
export function legendOf(
  data: ChartData,
  points: readonly Point[],
  layout: Layout,
  top: number,
): { svg: string; bottom: number } {
  const { svg: keys, bottom } = keysOf(data, points, layout, top);
  const unit = speedUnit(data);
  const narrow = layout.columns === 1;
  const column = (layout.width - 40 - 24 * (layout.columns - 1)) / layout.columns;
  const each = Math.ceil(data.rows.length / layout.columns);
  const pitch = narrow ? 2 * LINE : LINE;
  const rows = data.rows.map((row, i) => {
    const x = 20 + Math.floor(i / each) * (column + 24);
    return legendRow(row, i + 1, unit, { x, y: bottom + 14 + (i % each) * pitch, width: column, narrow });
  });
  return { svg: [keys, ...rows].join(''), bottom: bottom + 14 + each * pitch };
}

interface Place {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  /** Speeds on a line of their own. */
  readonly narrow: boolean;
}

function legendRow(row: KernelRow, number: number, { factor }: SpeedUnit, { x, y, width, narrow }: Place): string {
  const right = hasSpeed(row);
  const speed = right
    ? `${threeDigits((row.gflops ?? Number.NaN) * factor)} · ${percent(row.share ?? Number.NaN)} of ${BOUND_WORDS[row.bound]}`
    : `wrong: ${errorWords(row.error)}`;
  const room = width - 22 - (narrow ? 0 : widthOf(speed, 12) + 10);
  const place: readonly [number, number] = narrow ? [x + 22, y + 15] : [x + width, y];
  return [
    words(x + 14, y, String(number), { class: 'small strong', 'text-anchor': 'end' }),
    words(x + 22, y, shortened(fewWords(row), room, 12)),
    words(...place, speed, { class: right ? 'soft' : 'bad', 'text-anchor': narrow ? undefined : 'end' }),
  ].join('');
}

/** What colours and shapes mean, and where it is narrow the ceilings, in lines as wide as there is room. */
function keysOf(
  data: ChartData,
  points: readonly Point[],
  layout: Layout,
  top: number,
): { svg: string; bottom: number } {
  const unit = speedUnit(data);
  const kinds = [...new Map(points.map(({ row }) => [operationOf(row.op).name, operationOf(row.op).words]))];
  const drawn = data.peers
    .map((peer, index) => ({ peer, index }))
    .filter(({ peer }) => !peer.missing && peer.rows.length > 0);
  const all = [
    ...kinds.map(([name, text]) => ({
      text,
      mark: (x: number, y: number) => node('circle', { class: `mark ${name}`, cx: x, cy: y, r: MARK }),
    })),
    ...drawn.map(({ peer, index }) => ({
      text: peerWords(peer),
      mark: (x: number, y: number) => peerMark(index, x, y, 'other'),
    })),
    ...(layout.columns === 1
      ? roofsOf(data).map(({ name, gflops }) => ceilingKey(name, `${threeDigits(gflops * unit.factor)} ${unit.name}`))
      : []),
    ...(layout.columns === 1 ? [ceilingKey('copy', `${threeDigits(data.ceilings.copy)} GB/s`)] : []),
  ];
  let [x, y] = [20, top];
  const placed = all.map(({ text, mark }) => {
    const wide = 18 + widthOf(text, 12) + 16;
    if (x > 20 && x + wide > layout.width - 10) [x, y] = [20, y + LINE + 2];
    const svg = mark(x + 6, y - 4) + words(x + 18, y, text);
    x += wide;
    return svg;
  });
  return { svg: placed.join(''), bottom: y + LINE };
}

function ceilingKey(name: Bound, value: string): { text: string; mark: (x: number, y: number) => string } {
  return {
    text: `${CEILING_WORDS[name]}: ${value}`,
    mark: (x, y) => node('line', { class: 'roof', x1: x - 6, x2: x + 6, y1: y, y2: y }),
  };
}

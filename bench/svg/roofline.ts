/** The roofline: what the adapter reaches at best, measured, and below it every row by its arithmetic for a byte of memory. */
import {
  adapterWords,
  CEILING_WORDS,
  type ChartData,
  errorWords,
  hasSpeed,
  percent,
  rowWords,
  speedUnit,
  threeDigits,
  versionWords,
} from './chart-data.ts';
import { type ChartOptions, chartDocument, DEFAULT_WIDTH, heading } from './document.ts';
import { escaped, node, widthOf, words } from './elements.ts';
import { LogAxis, tickWords } from './log-axis.ts';
import { type Box, placeLabels, spreadOut, touches } from './place-labels.ts';
import { legendOf } from './roofline-legend.ts';
import { type Layout, MARK, type Point, path, peerMark, peersOf, roofsOf } from './roofline-points.ts';
import { operationOf } from './style.ts';

/** Rows from which on peers are left to the bars. */
const CROWDED = 24;

/** The chart as SVG text. */
export function roofline(given: ChartData, options: ChartOptions = {}): string {
  const data = given.rows.length > CROWDED ? { ...given, peers: [] } : given;
  const { width = DEFAULT_WIDTH } = options;
  const below = [adapterWords(data), versionWords(data)].filter(Boolean).join('; beside it ');
  const head = heading('Roofline', below, width);
  const layout = layoutOf(width, head.bottom);
  const [x, y] = axesOf(data, layout);
  const points = pointsOf(data, x, y);
  const marked = marksOf(data, points, y);
  const slope = slopeOf(data, x, y);
  const label = slopeLabel(data, slope, marked.boxes);
  const { svg: legend, bottom } = legendOf(data, points, layout, layout.bottom + 58);
  return chartDocument(
    {
      ...options,
      ...{ id: 'roofline', title: `Roofline of ${adapterWords(data)}` },
      ...{ description: described(data), height: bottom + 14 },
    },
    head.svg,
    grid(data, layout, x, y),
    roofs(data, layout, x, y),
    label.svg,
    marked.svg,
    numbers(points, [...marked.boxes, ...label.boxes], [...slope, ...roofBoxes(data, layout, y)], layout),
    legend,
  );
}

function layoutOf(width: number, above: number): Layout {
  const narrow = width < 600;
  const height = Math.min(430, narrow ? 0.8 * width + 40 : 0.5 * width);
  return {
    width,
    left: 56,
    right: width - (narrow ? 16 : 156),
    top: above + 33,
    bottom: above + 33 + height,
    columns: narrow ? 1 : 2,
  };
}

function axesOf(data: ChartData, layout: Layout): readonly [x: LogAxis, y: LogAxis] {
  const rows = data.rows.filter(hasSpeed);
  const tops = roofsOf(data).map(({ gflops }) => gflops);
  const peers = rows.flatMap(({ name }) => peersOf(data, name).map(({ gflops }) => gflops));
  const speeds = [...tops, ...peers, ...rows.flatMap(({ gflops }) => gflops ?? [])];
  const places = [1, ...rows.map(({ intensity }) => intensity), ...tops.map(top => top / data.ceilings.copy)];
  return [
    new LogAxis([Math.min(...places) / 1.8, Math.max(...places) * 1.8], layout.left, layout.right),
    new LogAxis([Math.min(...speeds) / 1.9, Math.max(...speeds) * 1.45], layout.bottom, layout.top),
  ];
}

function pointsOf(data: ChartData, x: LogAxis, y: LogAxis): Point[] {
  return data.rows.flatMap((row, i) =>
    hasSpeed(row) && row.gflops !== null
      ? [{ row, number: i + 1, x: x.at(row.intensity), y: y.at(row.gflops), kind: operationOf(row.op).name }]
      : [],
  );
}

function grid(data: ChartData, { left, right, top, bottom, width }: Layout, x: LogAxis, y: LogAxis): string {
  const unit = speedUnit(data);
  const down = x.ticks(2, width < 600 ? 6 : 12).map(value => {
    const at = x.at(value);
    const line = node('line', { class: 'grid', x1: at, x2: at, y1: top, y2: bottom });
    return line + words(at, bottom + 18, tickWords(value), { class: 'soft', 'text-anchor': 'middle' });
  });
  const across = y.ticks(10, 8).map(value => {
    const at = y.at(value);
    const line = node('line', { class: 'grid', x1: left, x2: right, y1: at, y2: at });
    return line + words(left - 8, at + 4, tickWords(value * unit.factor), { class: 'soft', 'text-anchor': 'end' });
  });
  const middle = (left + right) / 2;
  return [
    ...down,
    ...across,
    node('line', { class: 'axis', x1: left, x2: right, y1: bottom, y2: bottom }),
    words(left, top - 10, unit.name, { class: 'soft' }),
    words(middle, bottom + 36, 'FLOP for a byte of memory', { class: 'soft', 'text-anchor': 'middle' }),
  ].join('');
}

/** Memory's slope up to the highest ceiling, the others as lines of their own from the slope on. */
function roofs(data: ChartData, layout: Layout, x: LogAxis, y: LogAxis): string {
  const tops = roofsOf(data);
  const { copy } = data.ceilings;
  const highest = Math.max(...tops.map(({ gflops }) => gflops));
  const from = Math.max(x.least, y.least / copy);
  const slope = node('path', {
    class: 'roof',
    d: path([x.at(from), y.at(from * copy)], [x.at(highest / copy), y.at(highest)]),
  });
  const lines = tops.map(({ gflops }) => {
    const at = y.at(gflops);
    return node('path', { class: 'roof', d: path([x.at(gflops / copy), at], [layout.right, at]) });
  });
  return [slope, ...lines, ceilingLabels(data, layout, y)].join('');
}

/** The lines of the ceilings as boxes. */
function roofBoxes(data: ChartData, { left, right }: Layout, y: LogAxis): Box[] {
  const middle = (left + right) / 2;
  return roofsOf(data).map(({ gflops }) => ({ x: middle, y: y.at(gflops), width: right - left, height: 2 }));
}

/** Memory's slope as boxes, from its lower end on. */
function slopeOf(data: ChartData, x: LogAxis, y: LogAxis): Box[] {
  const { copy } = data.ceilings;
  const from = Math.max(x.least, y.least / copy);
  const to = Math.max(...roofsOf(data).map(({ gflops }) => gflops)) / copy;
  return Array.from({ length: 101 }, (_, i) => {
    const at = from * (to / from) ** (i / 100);
    return { x: x.at(at), y: y.at(at * copy), width: 5, height: 5 };
  });
}

/** Beside the plot where it is wide; in the legend of narrow ones. */
function ceilingLabels(data: ChartData, layout: Layout, y: LogAxis): string {
  if (layout.columns === 1) return '';
  const tops = roofsOf(data);
  const unit = speedUnit(data);
  const heights = tops.map(({ gflops }) => y.at(gflops));
  const places = spreadOut(heights, 34, layout.top, layout.bottom - 20);
  return tops
    .map(({ name, gflops }, i) => {
      const [at, to] = [heights[i] ?? 0, places[i] ?? 0];
      const lead = node('path', {
        class: 'lead',
        d: path([layout.right + 2, at], [layout.right + 10, to], [layout.right + 14, to]),
      });
      const text = words(layout.right + 18, to + 4, `${threeDigits(gflops * unit.factor)} ${unit.name}`, {
        class: 'strong',
      });
      return lead + text + words(layout.right + 18, to + 18, CEILING_WORDS[name], { class: 'soft small' });
    })
    .join('');
}

/** Along the slope, above it, as low as no mark is in the way; nothing where it is too short. */
function slopeLabel(
  { ceilings: { copy } }: ChartData,
  slope: readonly Box[],
  taken: readonly Box[],
): { readonly svg: string; readonly boxes: readonly Box[] } {
  const [first, last] = [slope[0], slope.at(-1)];
  const text = `${threeDigits(copy)} GB/s, memory`;
  const none = { svg: '', boxes: [] };
  if (!first || !last) return none;
  const [dx, dy] = [last.x - first.x, last.y - first.y];
  const length = Math.hypot(dx, dy);
  const wide = widthOf(text, 12, true);
  const [ux, uy] = [dx / length, dy / length];
  // The middle of the letters lies 12 pixels above the line.
  const boxesAt = (far: number): Box[] =>
    Array.from({ length: 12 }, (_, i) => {
      const along = far + (wide * i) / 11;
      return { x: first.x + ux * along + uy * 12, y: first.y + uy * along - ux * 12, width: 13, height: 13 };
    });
  for (let far = 10; far + wide < length - 10; far += 6) {
    const boxes = boxesAt(far);
    if (boxes.some(box => taken.some(other => touches(box, other)))) continue;
    const place = `translate(${(first.x + ux * far).toFixed(1)} ${(first.y + uy * far).toFixed(1)})`;
    const transform = `${place} rotate(${((Math.atan2(dy, dx) * 180) / Math.PI).toFixed(1)})`;
    return { svg: words(0, -8, text, { class: 'strong halo', transform }), boxes };
  }
  return none;
}

/** Ours filled and numbered, a peer's hollow, in a shape of its own, on the line down from ours. */
function marksOf(data: ChartData, points: readonly Point[], y: LogAxis): { svg: string; boxes: readonly Box[] } {
  const peers = points.flatMap(point =>
    peersOf(data, point.row.name).map(({ index, gflops }) => ({ point, index, y: y.at(gflops) })),
  );
  const gaps = peers.map(({ point, y: at }) =>
    node('line', { class: `gap ${point.kind}`, x1: point.x, x2: point.x, y1: point.y, y2: at }),
  );
  const hollow = peers.map(({ point, index, y: at }) => peerMark(index, point.x, at, point.kind));
  const filled = points.map(({ x, y: at, kind, row, number }) => {
    const text = `${number} ${rowWords(row)}`;
    const mark = node('circle', { class: `mark ${kind}`, cx: x, cy: at, r: MARK });
    return node('g', {}, node('title', {}, escaped(text)), mark);
  });
  const boxes = [...points, ...peers.map(({ point, y: at }) => ({ x: point.x, y: at }))].map(at => ({
    ...{ x: at.x, y: at.y, width: 2 * MARK + 2, height: 2 * MARK + 2 },
  }));
  return { svg: [...gaps, ...hollow, ...filled].join(''), boxes };
}

/** The rows' numbers, each with a line to its mark where it stands apart. */
function numbers(points: readonly Point[], taken: readonly Box[], avoided: readonly Box[], layout: Layout): string {
  const { left, right, top, bottom } = layout;
  const wide = points.map(({ x, y, number }) => ({ x, y, width: widthOf(String(number), 11) + 3 }));
  const within = {
    ...{ x: (left + right) / 2, y: (top + bottom) / 2, width: right - left - 4, height: bottom - top - 4 },
  };
  return placeLabels(wide, 12, taken, avoided, within)
    .map((box, i) => {
      const { x, y, number, kind } = points[i] ?? { x: 0, y: 0, number: 0, kind: 'other' };
      const far = Math.hypot(box.x - x, box.y - y);
      const share = (MARK + 1) / far;
      const lead =
        far > 17
          ? node('line', {
              ...{ class: `gap ${kind}`, x1: x + share * (box.x - x), y1: y + share * (box.y - y) },
              ...{ x2: box.x - (7 / far) * (box.x - x), y2: box.y - (7 / far) * (box.y - y) },
            })
          : '';
      return lead + words(box.x, box.y + 4, String(number), { class: 'small strong halo', 'text-anchor': 'middle' });
    })
    .join('');
}

/** The same in sentences. */
function described(data: ChartData): string {
  const unit = speedUnit(data);
  const speed = (gflops: number | null): string => `${threeDigits((gflops ?? Number.NaN) * unit.factor)} ${unit.name}`;
  const ceilings = roofsOf(data).map(({ name, gflops }) => `${CEILING_WORDS[name]} ${speed(gflops)}`);
  const rows = data.rows.map(row =>
    hasSpeed(row)
      ? `${rowWords(row)}: ${speed(row.gflops)}, ${percent(row.share ?? Number.NaN)} of ${CEILING_WORDS[row.bound]}.`
      : `${rowWords(row)}: wrong, error ${errorWords(row.error)}.`,
  );
  return [`Measured ceilings: ${ceilings.join(', ')}, memory ${threeDigits(data.ceilings.copy)} GB/s.`, ...rows].join(
    ' ',
  );
}

/** The frame of a chart: size, title and description for those who do not see it, style, paper. */
import { escaped, node, words, wrapped } from './elements.ts';
import { CHART_STYLE } from './style.ts';

/** How a chart is made. */
export interface ChartOptions {
  /** Pixels across, 320 or more; default 860. */
  readonly width?: number | undefined;
  /** For a page, which has CHART_STYLE already; default a file that stands alone. */
  readonly inPage?: boolean | undefined;
}

/** What a frame is told. */
export interface Frame extends ChartOptions {
  /** Of this document alone: ids begin with it. */
  readonly id: string;
  readonly title: string;
  /** What the chart shows, in sentences. */
  readonly description: string;
  readonly height: number;
}

/** Width of a chart where nobody asks for one. */
export const DEFAULT_WIDTH = 860;

/** An SVG document; a trailing line break where it is a file. */
export function chartDocument(frame: Frame, ...children: readonly string[]): string {
  const { id, title, description, height, width = DEFAULT_WIDTH, inPage = false } = frame;
  const labels = { role: 'img', 'aria-labelledby': `${id}-title ${id}-description` };
  const size = { width, height, viewBox: `0 0 ${width} ${Math.round(height)}` };
  const document = node(
    'svg',
    { xmlns: 'http://www.w3.org/2000/svg', class: 'chart', ...size, ...labels },
    ...[node('title', { id: `${id}-title` }, escaped(title))],
    ...[node('desc', { id: `${id}-description` }, escaped(description))],
    ...(inPage ? [] : [node('style', {}, escaped(CHART_STYLE)), paper(width, height)]),
    ...children,
  );
  return inPage ? document : `${document.replace(/></g, '>\n<')}\n`;
}

function paper(width: number, height: number): string {
  return node('rect', { class: 'paper', width, height, rx: 8 });
}

/** Title and lines below it; `bottom` is where what follows may begin. */
export function heading(
  title: string,
  below: string,
  width: number,
): { readonly svg: string; readonly bottom: number } {
  const lines = wrapped(below, width - 40, 12);
  const svg = lines.map((line, i) => words(20, 51 + 16 * i, line, { class: 'soft' }));
  return { svg: [words(20, 32, title, { class: 'title' }), ...svg].join(''), bottom: 51 + 16 * (lines.length - 1) };
}

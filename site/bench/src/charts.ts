/** The charts of the benchmark within the page, drawn for its width. */
import { bars } from '../../../bench/svg/bars.ts';
import type { ChartData } from '../../../bench/svg/chart-data.ts';
import { roofline } from '../../../bench/svg/roofline.ts';
import { CHART_STYLE } from '../../../bench/svg/style.ts';
import { box } from '../../shared/elements.ts';

const CHARTS = { 'roofline-out': roofline, 'bars-out': bars } as const;
const [LEAST, MOST] = [320, 1120];

/** Both charts. */
export class Charts {
  #data: ChartData | undefined;
  #width = 0;

  constructor() {
    // The page's policy has no styles within documents: a sheet of its own is none.
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(CHART_STYLE);
    document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
    new ResizeObserver(() => {
      if (widthOf() !== this.#width) this.#draw();
    }).observe(box('charts'));
  }

  /** Other rows. */
  show(data: ChartData | undefined): void {
    this.#data = data;
    box('charts').hidden = data === undefined || data.rows.length === 0;
    this.#draw();
  }

  #draw(): void {
    if (!this.#data || box('charts').hidden) return;
    this.#width = widthOf();
    for (const [id, draw] of Object.entries(CHARTS)) {
      const text = draw(this.#data, { width: this.#width, inPage: true });
      const { documentElement } = new DOMParser().parseFromString(text, 'image/svg+xml');
      box(id).replaceChildren(document.adoptNode(documentElement));
    }
  }
}

function widthOf(): number {
  return Math.min(MOST, Math.max(LEAST, Math.floor(box('charts').clientWidth)));
}

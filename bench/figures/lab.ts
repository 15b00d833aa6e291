/** The laboratory's results of every card as one table. */
import type { LabResults } from '../lab/results.ts';
import { markdownTable } from './markers.ts';

const SHOWN = ['GEMM', 'conv', 'attention'] as const;

/** Share of the peak, or cycles for a multiply-add, by family, with what spills. */
export function labTable(cards: readonly LabResults[]): string {
  const rows = cards.map(({ card, driver, families }) => [
    card,
    driver,
    ...SHOWN.map(name => {
      const { share, cyclesPerFma } = families.find(({ family }) => family === name) ?? {};
      if (share !== undefined) return `${(100 * share).toFixed(0)} %`;
      return cyclesPerFma === undefined ? '-' : `${cyclesPerFma.toFixed(2)} cycles`;
    }),
    String(families.reduce((sum, { spills }) => sum + spills, 0)),
  ]);
  return markdownTable(['card', 'driver', 'GEMM', 'conv', 'attention', 'spills'], rows);
}

/** What `--ranks` keeps of a card: bench/results/lab-ranks-<card>.json, a problem a line. */
import type { Trial } from './candidates.ts';
import type { Card } from './cards.ts';

/** One run. */
export interface RankResults {
  readonly card: string;
  /** The maker by WebGPU's name. */
  readonly vendor: string;
  readonly architecture: string;
  readonly device: string;
  readonly driver: string;
  readonly dtype: string;
  readonly size: number;
  readonly trials: readonly Trial[];
}

/** As adapters tell it. */
export function vendorOf({ maker }: Card): string {
  return maker;
}

/** Clocks to four digits. */
function short(_: string, value: unknown): unknown {
  return typeof value === 'number' && !Number.isInteger(value) ? Number(value.toPrecision(4)) : value;
}

/** JSON with a line for each problem. */
export function writeTrials({ trials, ...head }: RankResults): string {
  const lines = trials.map(trial => `\n    ${JSON.stringify(trial, short)}`).join(',');
  return `${JSON.stringify(head, null, 2).replace(/\n}$/, '')},\n  "trials": [${lines}\n  ]\n}\n`;
}

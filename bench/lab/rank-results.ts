/** What `--ranks` keeps of a card, bench/results/lab-ranks-<card>.json: problems that are alike as one group, a line each. */
import type { TunedChoice } from '../../src/kernels/op.ts';
import type { Candidate, Trial } from './candidates.ts';

/** Conditions of a choice, as tuning has them. */
export type Where = NonNullable<TunedChoice['where']>;

/** Problems of a class that the same variants can run. */
export interface Group {
  readonly op: string;
  readonly where: Where;
  readonly problems: number;
  /** Multiply-adds of all. */
  readonly work: number;
  /** Means by work; spills in all. Each variant's first has the constants that it takes on a card that nobody knows. */
  readonly candidates: readonly Candidate[];
}

/** One run. */
export interface RankResults {
  readonly card: string;
  /** The maker by WebGPU's name. */
  readonly vendor: string;
  /** As WebGPU calls the family of chips. */
  readonly architecture: string;
  /** How the driver calls itself. */
  readonly driver: string;
  readonly dtype: string;
  /** Pixels of a side of the larger edit. */
  readonly size: number;
  readonly groups: readonly Group[];
}

/** Widths of heads that kernels cut alike: held whole by 128 threads, by 256, by one slice of matrix units, and wider ones. */
const HEADS = [
  [4, 64],
  [68, 128],
  [132, 160],
  [164, 4096],
] as const;

/** The class of a problem: what a choice may go by, and what kernels' texts go by. */
function classOf({ op, problem }: Trial): Where {
  if (op === 'linear') return { 'epilogue.geglu': problem['epilogue.geglu'] === true };
  const width = Number(problem['headWidth']);
  const heads = HEADS.find(([least, most]) => width >= least && width <= most);
  return heads ? { headWidth: heads } : {};
}

/** Trials of the same class and variants together. */
export function groupTrials(trials: readonly Trial[]): Group[] {
  const groups = new Map<string, Trial[]>();
  for (const trial of trials) {
    const variants = [...new Set(trial.candidates.map(({ variant }) => variant))];
    const key = JSON.stringify([trial.op, classOf(trial), variants]);
    groups.set(key, [...(groups.get(key) ?? []), trial]);
  }
  return [...groups.values()].map(alike => {
    const [{ op }] = alike;
    const work = alike.reduce((sum, trial) => sum + trial.work, 0);
    return { op, where: classOf(alike[0]), problems: alike.length, work, candidates: merge(alike) };
  });
}

interface Weighed {
  readonly candidate: Candidate;
  readonly work: number;
}

/** Candidates of a variant with the same constants, each weighed by its problem's work. */
function merge(trials: readonly Trial[]): Candidate[] {
  const named = new Map<string, Weighed[]>();
  for (const { candidates, work } of trials) {
    for (const candidate of candidates) {
      const key = `${candidate.variant} ${JSON.stringify(candidate.tiles)}`;
      named.set(key, [...(named.get(key) ?? []), { candidate, work }]);
    }
  }
  return [...named.values()].map(all => {
    const [{ candidate }] = all;
    const { variant, tiles } = candidate;
    const sum = (name: 'spills' | 'scratch'): number => all.reduce((total, one) => total + one.candidate[name], 0);
    const means = (['clocks', 'trips', 'queued', 'waves', 'registers'] as const).map(name => [name, mean(all, name)]);
    return { variant, tiles, ...Object.fromEntries(means), spills: sum('spills'), scratch: sum('scratch') };
  });
}

/** Undefined where one of them lacks it. */
function mean(
  all: readonly Weighed[],
  name: 'clocks' | 'trips' | 'queued' | 'waves' | 'registers',
): number | undefined {
  if (all.some(({ candidate }) => candidate[name] === undefined)) return undefined;
  const work = all.reduce((sum, one) => sum + one.work, 0);
  return all.reduce((sum, one) => sum + (one.candidate[name] ?? 0) * one.work, 0) / work;
}

/** Four digits: the rest is no news. */
function short(_: string, value: unknown): unknown {
  return typeof value === 'number' ? Number(value.toPrecision(4)) : value;
}

/** JSON with a line for each candidate of a group. */
export function writeRankResults({ groups, ...head }: RankResults): string {
  const list = (all: readonly unknown[], indent: string): string =>
    all.map(one => `\n${indent}${JSON.stringify(one, short)}`).join(',');
  const lines = groups.map(({ candidates, ...group }) => {
    const text = JSON.stringify(group, short).replace(/}$/, '');
    return `\n    ${text},"candidates":[${list(candidates, '      ')}]}`;
  });
  return `${JSON.stringify(head, null, 2).replace(/\n}$/, '')},\n  "groups": [${lines.join(',')}\n  ]\n}\n`;
}

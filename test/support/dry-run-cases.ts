import type { DryRunCase } from './dry-run.ts';

/** A device that runs nothing, by the capabilities that make calls different. */
export interface DryRunDevice {
  /** For messages. */
  readonly name: string;
  /** What it grants; the rest is WebGPU's default. */
  readonly caps: Readonly<Record<string, number>>;
}

const LARGE = { maxBindingBytes: 2 ** 31, maxBufferBytes: 2 ** 32 };

/** Default limits, and those of adapters with narrow and wide subgroups. */
export const DRY_RUN_DEVICES: readonly DryRunDevice[] = [
  { name: 'default limits', caps: {} },
  { name: 'large limits, subgroups of 8', caps: { ...LARGE, subgroupSize: 8 } },
  { name: 'large limits, subgroups of 32', caps: { ...LARGE, subgroupSize: 32 } },
];

/** A case on a device. */
export type PlacedCase = DryRunCase & { readonly device: DryRunDevice };

const VALUES = {
  device: DRY_RUN_DEVICES,
  size: [512, 768, 1024],
  dtype: ['float32', 'float16'],
  images: [1, 4, 8],
  guided: [true, false],
  maxBytes: [undefined, 4e9, 2.5e9, 1.6e9, 1.2e9, 1e9],
} as const;

/** Every value with every other. */
export function everyCase(): PlacedCase[] {
  let cases: Record<string, unknown>[] = [{}];
  for (const [name, values] of Object.entries(VALUES))
    cases = cases.flatMap(one => values.map(value => ({ ...one, [name]: value })));
  return cases as unknown as PlacedCase[];
}

/**
 * Few of them: every two values of two kinds meet in one, but that budgets meet only calls whose plans are made quickly: a plan for
 * each saving is tried. The same few each time.
 */
export function coveringCases(): PlacedCase[] {
  const quick = everyCase().filter(one => one.maxBytes === undefined || pixelsOf(one) <= 2 * 768 ** 2);
  return covering(quick, groupsOf(2));
}

/** Of all of them so many that every three values of three kinds meet in one: a tenth. The same each time. */
export function coveringCasesOfThree(): PlacedCase[] {
  return covering(everyCase(), groupsOf(3));
}

/** Few cases in which every group of values meets that meets in all; greedily, the one with the most new groups first. */
function covering(cases: readonly PlacedCase[], groups: (one: PlacedCase) => string[]): PlacedCase[] {
  const all = cases.map(one => ({ one, own: groups(one) }));
  const missing = new Set(all.flatMap(({ own }) => own));
  const chosen: PlacedCase[] = [];
  while (missing.size > 0) {
    const gains = all.map(({ own }) => own.filter(group => missing.has(group)).length);
    const best = all[gains.indexOf(Math.max(...gains))];
    for (const group of best.own) missing.delete(group);
    chosen.push(best.one);
  }
  return chosen;
}

/** Of all pictures, those in float32 twice: what a plan costs grows with it. */
function pixelsOf({ size, images, dtype }: DryRunCase): number {
  return size ** 2 * images * (dtype === 'float32' ? 2 : 1);
}

/** All groups of `size` values of a case, as texts. */
function groupsOf(size: number): (one: PlacedCase) => string[] {
  const names = Object.keys(VALUES);
  const choose = (from: readonly string[], count: number): string[][] =>
    count === 0 ? [[]] : from.flatMap((name, i) => choose(from.slice(i + 1), count - 1).map(rest => [name, ...rest]));
  const groups = choose(names, size);
  return one =>
    groups.map(group =>
      group
        .map(name => {
          const value = one[name as keyof PlacedCase];
          return `${name} ${typeof value === 'object' ? value.name : value}`;
        })
        .join(', '),
    );
}

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
  const all = everyCase()
    .filter(one => one.maxBytes === undefined || pixelsOf(one) <= 2 * 768 ** 2)
    .map(one => ({ one, pairs: pairsOf(one) }));
  const missing = new Set(all.flatMap(({ pairs }) => pairs));
  const chosen: PlacedCase[] = [];
  while (missing.size > 0) {
    const gains = all.map(({ pairs }) => pairs.filter(pair => missing.has(pair)).length);
    const best = all[gains.indexOf(Math.max(...gains))];
    for (const pair of best.pairs) missing.delete(pair);
    chosen.push(best.one);
  }
  return chosen;
}

/** Of all pictures, those in float32 twice: what a plan costs grows with it. */
function pixelsOf({ size, images, dtype }: DryRunCase): number {
  return size ** 2 * images * (dtype === 'float32' ? 2 : 1);
}

function pairsOf(one: PlacedCase): string[] {
  const entries = Object.keys(VALUES).map(name => {
    const value = one[name as keyof PlacedCase];
    return `${name} ${typeof value === 'object' ? value.name : value}`;
  });
  return entries.flatMap((a, i) => entries.slice(i + 1).map(b => `${a}, ${b}`));
}

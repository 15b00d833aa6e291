/**
 * src/kernels/ranks.json out of what `--ranks` kept of each card: for every maker the order of an op's variants and the constants of their
 * texts. What a card that nobody knows would do stays first unless the figures say that something else is ahead by more than 3 %, spills
 * nothing, waits for memory no more often and keeps four fifths of the waves.
 */
import { existsSync, readFileSync } from 'node:fs';
import type { Tiles } from '../../src/kernels/op.ts';
import type { ShippedRank } from '../../src/kernels/shipped-ranks.ts';
import type { Candidate } from './candidates.ts';
import type { Group, RankResults, Where } from './rank-results.ts';

/** Variants of the ops as a card that nobody knows ranks them, the first first. */
const ORDER: Readonly<Record<string, readonly string[]>> = {
  linear: ['gemm-matrix', 'gemm-matrix-panels', 'gemv-tile', 'gemm-tile'],
  conv2d: ['gemm-matrix', 'gemm-matrix-panels', 'gemm-tile', 'conv-tile'],
  attention: ['attention-matrix', 'attention-tile'],
};

/** A gain that is worth another choice than the general one. */
const GAIN = 1.03;

/** What one card says of a class of problems. */
interface Verdict {
  readonly card: RankResults;
  readonly op: string;
  readonly where: Where;
  /** Multiply-adds of the class. */
  readonly work: number;
  readonly order: readonly Placed[];
}

interface Placed {
  readonly variant: string;
  /** Those that are not the general ones. */
  readonly tiles: Tiles | undefined;
  readonly figures: string;
}

/** What a card keeps of its waves where another form or variant takes fewer. */
const WAVES = 0.8;

/** Constants that cost nothing: the same instructions in another order. */
const ORDERS: readonly string[] = ['WEIGHTS_FIRST'];

/**
 * Whether the second may take the first one's place.
 *
 * @param gain by which its clocks must be fewer
 */
function isBetter(now: Candidate, other: Candidate, gain: number): boolean {
  if (now.spills > 0 && other.spills === 0) return true;
  if (other.spills > now.spills) return false;
  const [waits, before] = [other.trips ?? 0, now.trips ?? 0];
  if ((other.waves ?? 0) < WAVES * (now.waves ?? 0) || waits > before) return false;
  if (now.clocks === undefined || other.clocks === undefined) return false;
  // What costs nothing may spare waits too.
  const spares = gain < GAIN && waits < before && other.clocks < GAIN * now.clocks;
  return spares || gain * other.clocks < now.clocks;
}

/** Candidates of a variant in all groups of a class, each weighed by the groups' work. */
function pooled(groups: readonly Group[], variant: string): Candidate[] {
  const own = groups.map(({ work, candidates }) => ({
    work,
    all: formsOf(candidates.filter(one => one.variant === variant)),
  }));
  const able = own.filter(({ all }) => all.length > 0);
  const work = able.reduce((sum, one) => sum + one.work, 0);
  const [first] = able;
  return (first?.all ?? []).map(({ tiles }, i) => {
    const same = able.map(group => ({ share: group.work / work, candidate: group.all[i] }));
    const mean = (name: 'clocks' | 'trips' | 'waves'): number | undefined =>
      same.some(({ candidate }) => candidate[name] === undefined)
        ? undefined
        : same.reduce((sum, { share, candidate }) => sum + share * (candidate[name] ?? 0), 0);
    const sum = (name: 'spills' | 'scratch'): number => same.reduce((all, { candidate }) => all + candidate[name], 0);
    const figures = { clocks: mean('clocks'), trips: mean('trips'), waves: mean('waves') };
    return {
      variant,
      tiles,
      ...figures,
      queued: undefined,
      registers: undefined,
      spills: sum('spills'),
      scratch: sum('scratch'),
    };
  });
}

/** Only sizes and forms that are no tuner's candidates: those go by the number of rows, which no rank may know. */
function formsOf(candidates: readonly Candidate[]): Candidate[] {
  const [general, ...others] = candidates;
  const names = Object.keys(general?.tiles ?? {}).join();
  return [general, ...others.filter(({ tiles }) => Object.keys(tiles).join() === names)].filter(
    one => one !== undefined,
  );
}

/** The best form of a variant's text: from the general one on, one constant after another is changed as long as each change is a gain. */
function bestForm(
  groups: readonly Group[],
  variant: string,
): { best: Candidate; tiles: Tiles | undefined } | undefined {
  const [general, ...others] = pooled(groups, variant);
  if (!general) return undefined;
  const changed = (from: Candidate, to: Candidate): string[] =>
    Object.keys(to.tiles).filter(name => to.tiles[name] !== from.tiles[name]);
  let best = general;
  for (;;) {
    const steps = others.filter(other => {
      const [name, ...more] = changed(best, other);
      return name !== undefined && more.length === 0 && isBetter(best, other, ORDERS.includes(name) ? 1.001 : GAIN);
    });
    const [next] = steps.sort((a, b) => (a.clocks ?? 0) - (b.clocks ?? 0));
    if (!next) break;
    best = next;
  }
  const names = changed(general, best);
  return {
    best,
    tiles: names.length > 0 ? Object.fromEntries(names.map(name => [name, best.tiles[name]])) : undefined,
  };
}

/** Of a variant for which the driver offers no units, or the networks no problem: it stays where the general order has it. */
const ABSENT = 'not compiled';

function figuresOf({ clocks, trips, waves, spills }: Candidate): string {
  const rounded = (value: number, digits: number): string => String(Number(value.toPrecision(digits)));
  const told =
    clocks === undefined ? [] : [`${rounded(clocks, 3)} clocks a multiply-add`, `waits ${rounded(trips ?? 0, 2)}`];
  const kept = clocks === undefined || spills > 0 ? [`spills ${rounded(spills, 2)}`] : [];
  return [...told, ...kept, `waves ${rounded(waves ?? 0, 2)}`].join(', ');
}

/** The order of a class's variants: each goes in front of those that it beats where both can run. */
function orderOf(op: string, groups: readonly Group[]): Placed[] {
  const placed: {
    readonly variant: string;
    readonly tiles: Tiles | undefined;
    readonly best: Candidate | undefined;
  }[] = [];
  for (const variant of ORDER[op] ?? []) {
    const form = bestForm(groups, variant);
    const beats = (other: string): boolean => {
      const both = groups.filter(({ candidates }) =>
        [variant, other].every(name => candidates.some(one => one.variant === name)),
      );
      const [now, mine] = [bestForm(both, other), bestForm(both, variant)];
      return now !== undefined && mine !== undefined && isBetter(now.best, mine.best, GAIN);
    };
    let at = placed.length;
    while (at > 0 && beats(placed[at - 1].variant)) at--;
    placed.splice(at, 0, { variant, tiles: form?.tiles, best: form?.best });
  }
  return placed.map(({ variant, tiles, best }) => ({ variant, tiles, figures: best ? figuresOf(best) : ABSENT }));
}

function verdictsOf(card: RankResults): Verdict[] {
  const classes = new Map<string, Group[]>();
  for (const group of card.groups) {
    const key = JSON.stringify([group.op, group.where]);
    classes.set(key, [...(classes.get(key) ?? []), group]);
  }
  return [...classes.values()].flatMap(groups => {
    const [{ op, where }] = groups;
    const work = groups.reduce((sum, group) => sum + group.work, 0);
    return op in ORDER ? [{ card, op, where, work, order: orderOf(op, groups) }] : [];
  });
}

/** What of a verdict a row says. */
function decision({ order }: Verdict): string {
  return JSON.stringify(order.map(({ variant, tiles }) => [variant, tiles]));
}

function by<T>(all: readonly T[], key: (one: T) => string): T[][] {
  const groups = new Map<string, T[]>();
  for (const one of all) groups.set(key(one), [...(groups.get(key(one)) ?? []), one]);
  return [...groups.values()];
}

/** The rows of cards of one maker that say the same of a class. */
function rowsOf(same: readonly Verdict[], everyCard: boolean): ShippedRank[] {
  const [{ op, where, order, card }] = same;
  const cards = same.map(one => one.card);
  const architectures = [...new Set(cards.map(one => one.architecture))];
  const names = cards.map(one => one.card);
  return order.map(({ variant, tiles }, i) => ({
    cards: { vendor: card.vendor, ...(everyCard ? {} : { architectures }) },
    op,
    ...(Object.keys(where).length > 0 ? { where } : {}),
    variant,
    ...(tiles ? { tiles } : {}),
    source: {
      card: names.join(', '),
      driver: [...new Set(cards.map(one => one.driver))].join('; '),
      figures: same.map(one => one.order[i].figures).join('; '),
      file: names.map(name => `bench/results/lab-ranks-${name}.json`).join(', '),
    },
  }));
}

/** Classes between which none of the cards makes a difference are one, told of by the one with most work. */
function withoutIdle(verdicts: readonly Verdict[]): Verdict[] {
  return by(verdicts, ({ op }) => op).flatMap(ofOp => {
    const ofCards = by(ofOp, ({ card }) => card.card);
    if (ofCards.some(own => new Set(own.map(decision)).size > 1)) return ofOp;
    return ofCards.map(own => ({ ...own.reduce((most, one) => (one.work > most.work ? one : most)), where: {} }));
  });
}

/** The rows, makers in the order of the results. */
export function ranksFrom(results: readonly RankResults[]): ShippedRank[] {
  return by(results, card => card.vendor).flatMap(cards => {
    const classes = by(withoutIdle(cards.flatMap(verdictsOf)), ({ op, where }) => JSON.stringify([op, where]));
    return classes.flatMap(verdicts =>
      by(verdicts, decision).flatMap(same => rowsOf(same, same.length === cards.length)),
    );
  });
}

/** The cards whose results make ranks, in the order of the rows; none that only Mesa of Debian unstable knows. */
const RANKED = ['navi31', 'gfx1201', 'navi21', 'vega10', 'ampere', 'm1', 'bmg', 'adreno740'] as const;

/**
 * The text of src/kernels/ranks.json, a row a line.
 *
 * @param folder bench/results
 */
export function ranksText(folder: URL): string {
  const files = RANKED.map(card => new URL(`lab-ranks-${card}.json`, folder)).filter(file => existsSync(file));
  const rows = ranksFrom(files.map(file => JSON.parse(readFileSync(file, 'utf8')) as RankResults));
  return `{\n  "version": 1,\n  "ranks": [${rows.map(row => `\n    ${JSON.stringify(row)}`).join(',')}\n  ]\n}\n`;
}

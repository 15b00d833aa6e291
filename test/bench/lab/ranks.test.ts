/** Ranks are what the committed results of the laboratory give, and what makes one go in front of another. */
import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { Candidate, Trial } from '../../../bench/lab/candidates.ts';
import { type Group, groupTrials, type RankResults } from '../../../bench/lab/rank-results.ts';
import { ranksFrom, ranksText } from '../../../bench/lab/ranks.ts';

const ROOT = new URL('../../../', import.meta.url);

function candidate(variant: string, part: Partial<Candidate> = {}): Candidate {
  const none = { tiles: {}, clocks: 1, trips: 1, queued: 1, waves: 8, registers: 64, spills: 0, scratch: 0 };
  return { variant, ...none, ...part };
}

function group(candidates: readonly Candidate[], part: Partial<Group> = {}): Group {
  return { op: 'conv2d', where: {}, problems: 1, work: 1, candidates, ...part };
}

function results(groups: readonly Group[], part: Partial<RankResults> = {}): RankResults {
  const head = { card: 'x1', vendor: 'maker', architecture: 'one', driver: 'driver 1', dtype: 'float16', size: 768 };
  return { ...head, groups, ...part };
}

/** Variants in the order that comes out, those that were compiled. */
function order(groups: readonly Group[]): string[] {
  const rows = ranksFrom([results(groups)]);
  return rows.filter(({ source }) => !source?.figures.startsWith('not compiled')).map(({ variant }) => variant);
}

describe('ranks.json', () => {
  it('names results that are there', () => {
    const { ranks } = JSON.parse(readFileSync(new URL('src/kernels/ranks.json', ROOT), 'utf8')) as {
      readonly ranks: readonly { readonly source?: { readonly file: string } }[];
    };
    const files = ranks.flatMap(({ source }) => source?.file.split(', ') ?? []);
    const results = files.filter(file => file.startsWith('bench/'));
    expect(results.length).toBeGreaterThan(0);
    for (const file of results) expect(existsSync(new URL(file, ROOT)), file).toBe(true);
  });

  it('is what the committed results give', () => {
    const text = readFileSync(new URL('src/kernels/ranks.json', ROOT), 'utf8');
    expect(text).toBe(ranksText(new URL('bench/results/', ROOT)));
  });
});

describe('one variant goes in front of another', () => {
  const tile = candidate('gemm-tile');
  const against = (part: Partial<Candidate>) => order([group([tile, candidate('conv-tile', part)])]);

  it.each<readonly [Partial<Candidate>, string]>([
    [{ clocks: 0.98 }, 'gains of 3 % and less'],
    [{ clocks: 0.5, spills: 1 }, 'registers in memory'],
    [{ clocks: 0.5, trips: 2 }, 'more waits for memory'],
    [{ clocks: 0.5, waves: 6 }, 'fewer waves'],
    [{ clocks: undefined }, 'no figures'],
  ])('not with %j: %s', (part, _) => expect(against(part)).toEqual(['gemm-tile', 'conv-tile']));

  it('with more, and where it spares registers in memory', () => {
    expect(against({ clocks: 0.96 })).toEqual(['conv-tile', 'gemm-tile']);
    const spilling = group([{ ...tile, spills: 9 }, candidate('conv-tile', { clocks: 2 })]);
    expect(order([spilling])).toEqual(['conv-tile', 'gemm-tile']);
  });

  it('by the problems that both can run, each by its work', () => {
    const slow = candidate('gemm-tile', { clocks: 9 });
    const alone = group([slow], { work: 50 });
    const faster = candidate('conv-tile', { clocks: 0.9 });
    const slower = candidate('conv-tile', { clocks: 1.1 });
    expect(order([alone, group([tile, faster], { work: 2 }), group([tile, slower], { work: 5 })])[0]).toBe('gemm-tile');
    expect(order([alone, group([tile, faster], { work: 5 }), group([tile, slower], { work: 1 })])[0]).toBe('conv-tile');
  });
});

describe('constants of a text', () => {
  const form = (tiles: Candidate['tiles'], part: Partial<Candidate> = {}) =>
    candidate('attention-tile', { tiles, ...part });
  const chosen = (all: readonly Candidate[]) =>
    ranksFrom([results([group(all, { op: 'attention' })])]).find(({ variant }) => variant === 'attention-tile')?.tiles;

  it('are changed one after another as long as each is a gain', () => {
    const all = [
      form({ PAIRED: 0, KEYS: 64 }),
      form({ PAIRED: 0, KEYS: 32 }, { clocks: 0.99 }),
      form({ PAIRED: 1, KEYS: 64 }, { clocks: 0.9 }),
      form({ PAIRED: 1, KEYS: 32 }, { clocks: 0.89 }),
    ];
    expect(chosen(all)).toEqual({ PAIRED: 1 });
  });

  it('spare a wait where they are an order of the same instructions', () => {
    const waits = (name: string) => chosen([form({ [name]: 0 }, { trips: 2 }), form({ [name]: 1 }, { clocks: 1.01 })]);
    expect(waits('WEIGHTS_FIRST')).toEqual({ WEIGHTS_FIRST: 1 });
    expect(waits('KEYS')).toBeUndefined();
  });

  it('are none where the general ones are best, or what a tuner measures', () => {
    expect(chosen([form({ PAIRED: 0 }), form({ PAIRED: 1 })])).toBeUndefined();
    expect(chosen([form({ PAIRED: 0 }), form({ ROWS: 32 }, { clocks: 0.5 })])).toBeUndefined();
  });
});

describe('cards of one maker', () => {
  const one = [group([candidate('gemm-tile'), candidate('conv-tile')])];
  const other = [group([candidate('gemm-tile'), candidate('conv-tile', { clocks: 0.5 })])];
  const cards = (second: readonly Group[]) =>
    ranksFrom([results(one), results(second, { card: 'x2', architecture: 'two' })]);

  it('share rows where they agree, with the figures of both', () => {
    const rows = cards(one);
    expect(new Set(rows.map(row => JSON.stringify(row.cards)))).toEqual(new Set(['{"vendor":"maker"}']));
    expect(rows[0].source?.card).toBe('x1, x2');
    expect(rows[0].source?.file).toBe('bench/results/lab-ranks-x1.json, bench/results/lab-ranks-x2.json');
  });

  it('have rows of their own where they do not', () => {
    const first = cards(other).filter(({ variant }) => variant === 'conv-tile');
    expect(first.map(row => row.cards.architectures)).toEqual([['one'], ['two']]);
  });
});

describe('trials', () => {
  const trial = (problem: Trial['problem'], work: number, part: Partial<Candidate> = {}): Trial => ({
    ...{ op: 'attention', problem, work },
    candidates: [candidate('attention-tile', part)],
  });

  it('of a class are one group, by work', () => {
    const groups = groupTrials([
      trial({ headWidth: 40 }, 1, { clocks: 1, spills: 2 }),
      trial({ headWidth: 64 }, 3, { clocks: 2, spills: 1 }),
      trial({ headWidth: 512 }, 1),
    ]);
    expect(groups.map(({ where, problems }) => [where, problems])).toEqual([
      [{ headWidth: [4, 64] }, 2],
      [{ headWidth: [164, 4096] }, 1],
    ]);
    expect(groups[0].candidates).toMatchObject([{ clocks: 1.75, spills: 3 }]);
  });
});

/** What is to be measured: problems that one choice serves, and the candidates for it. */
import type { Caps } from '../gpu/caps.ts';
import {
  CheckedTuning,
  candidatesOf,
  chosen,
  conditionsOf,
  fieldOf,
  nameOf,
  type Op,
  sameTiles,
  type Tiles,
  type Variant,
} from '../kernels/op.ts';
import { costOfProblem } from './contender.ts';

/** A variant in one of its cuts. */
export interface Candidate<P> {
  readonly variant: Variant<P>;
  /** Left out where each problem gets the variant's own. */
  readonly tiles?: Tiles | undefined;
  /** For messages: `gemm-tile ROWS=64 COLUMNS=64`. */
  readonly name: string;
}

/** Problems of one op that differ only in what no choice goes by. */
export interface Task<P> {
  readonly op: Op<P>;
  /** Which fields they share: the op's name and JSON of conditions. */
  readonly key: string;
  /** Each once; the one with the most work first. */
  readonly members: readonly P[];
  /** How often its problems were heard. */
  readonly times: number;
}

/** A problem and how often it was heard. */
export interface Counted<P> {
  readonly problem: P;
  readonly times: number;
}

/** Groups the problems of an op by what choices go by, in the order in which they came. */
export function tasksOf<P>(op: Op<P>, caps: Caps, heard: readonly Counted<P>[]): Task<P>[] {
  const groups = new Map<string, { members: Map<string, P>; times: number }>();
  for (const { problem, times } of heard) {
    const key = `${op.name} ${JSON.stringify(conditionsOf(op, problem))}`;
    const group = groups.get(key) ?? { members: new Map(), times: 0 };
    group.members.set(JSON.stringify(problem), problem);
    group.times += times;
    groups.set(key, group);
  }
  const work = (problem: P): number => costOfProblem(op, caps, problem);
  return [...groups].map(([key, { members, times }]) => {
    const sorted = [...members.values()].sort((a, b) => work(b) - work(a));
    return { op, key, members: sorted, times };
  });
}

/** What a device takes without a table. */
export function defaultOf<P>(op: Op<P>, caps: Caps, problem: P): Candidate<P> {
  const variant = chosen(op, caps, problem, new CheckedTuning({}));
  return { variant, name: nameOf(variant) };
}

/** All variants and cuts that serve every problem of a task: what a member wants beside its result, they can too. */
export function candidatesFor<P>(task: Task<P>, caps: Caps, planted: readonly Variant<P>[] = []): Candidate<P>[] {
  const { op, members } = task;
  const [first] = members;
  if (first === undefined) return [];
  const layout = op.packed?.(first);
  const variants = [...op.variants, ...planted].filter(
    v => (layout === undefined || v.weights === layout) && members.every(problem => v.fits(caps, problem)),
  );
  return variants.flatMap(variant => {
    const own = variant.tiles(caps, first);
    return candidatesOf(variant, caps, first)
      .map((tiles): Candidate<P> => {
        const asIs = sameTiles(tiles, own);
        return { variant, tiles: asIs ? undefined : tiles, name: candidateName(variant, asIs ? undefined : tiles) };
      })
      .filter(candidate => members.every(problem => serves(caps, candidate, problem)));
  });
}

/** A name that no other candidate of a task has. */
export function candidateName(variant: Pick<Variant<never>, 'stem' | 'name'>, tiles?: Tiles): string {
  const sizes = Object.entries(tiles ?? {}).map(([name, size]) => `${name}=${size}`);
  return [nameOf(variant), ...sizes].join(' ');
}

/** Whether a candidate runs a problem, and measures for it where that is asked. */
export function serves<P>(caps: Caps, { variant, tiles }: Candidate<P>, problem: P): boolean {
  if (!variant.fits(caps, problem) || variant.fitsAnyBatch?.(problem) === false) return false;
  if (tiles && !candidatesOf(variant, caps, problem).some(own => sameTiles(own, tiles))) return false;
  return fieldOf(problem, 'moments') !== true || (variant.measures?.(caps, problem, tiles) ?? false);
}

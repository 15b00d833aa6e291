/** What a kernel does over and over: one pass of its outermost loop, with the loops inside it as often as its sizes say. */
import type { KernelCall } from '../../src/kernels/kernel.ts';
import { LEAST } from './bound.ts';
import { type Counts, type Listing, type Loop, multiplyAdds, noCounts } from './listing/counts.ts';

/** Multiply-adds of a lane in a step, by the loops that make them, in the order of the text. */
type Parts = readonly number[];

/** Scores and values of attention, of all keys of a step. */
function attentionParts({ kernel, values, params }: KernelCall): Parts {
  const of = (name: string): number => Number(values[name] ?? 1);
  const head = 4 * (params['head4'] ?? 0);
  if (kernel === 'attention-tile') {
    const each = (64 * of('KEYS')) / of('THREADS');
    return [each * head, (each * of('THREADS') * of('BLOCKS')) / 2];
  }
  const each = (of('SIDE_M') * of('KEYS')) / of('LANES');
  return [each * Math.ceil(head / of('CHUNK')) * of('CHUNK'), each * of('WIDE') * of('SIDE_N')];
}

/** Undefined for kernels whose loop over a tile is the pass that listings tell of. */
function partsOf(call: KernelCall): Parts | undefined {
  if (/^attention-(tile|matrix)$/.test(call.kernel)) return attentionParts(call);
  // Eight channels, nine taps, 8 x 8 sums a thread.
  return call.kernel === 'conv-tile' ? [8 * 9 * 64] : undefined;
}

/**
 * The counts of a step.
 * @param lanes of a wave
 * @returns the pass that the listing tells of where that is all of it, or where its loops are not those that the sizes speak of
 */
export function stepOf(call: KernelCall, listing: Listing, lanes: number): Counts | undefined {
  const parts = partsOf(call);
  const { main, loops, pass } = listing;
  if (!parts || !main) return pass;
  const [step] = loops
    .filter(loop => loop === main || loop.inner.includes(main))
    .sort((a, b) => b.inner.length - a.inner.length);
  if (!step) return pass;
  const inner = loops.filter(loop => step.inner.includes(loop));
  const work = inner.filter(loop => multiplyAdds(loop.own, lanes) >= LEAST);
  const own = multiplyAdds(step.own, lanes) >= LEAST;
  const [asked, rest = 0] = parts;
  if (work.length === 0) return total(step, inner, () => 1);
  // A loop of its own for each part; or one, and the last part is written out; or one for all.
  if (work.length > 2 || (own && work.length > 1)) return undefined;
  const share =
    work.length === 2 ? [asked, rest] : [own && rest > 0 ? asked : asked + rest - multiplyAdds(step.own, lanes)];
  const times = new Map(
    work.map((loop, i) => [loop, Math.ceil(share[i] / multiplyAdds(loop.own, lanes) / around(loop, inner) - 0.01)]),
  );
  return total(step, inner, loop => times.get(loop) ?? loop.times ?? 1);
}

/** How often the known loops between a step and a loop inside it are run. */
function around(loop: Loop, inner: readonly Loop[]): number {
  return inner.filter(one => one.inner.includes(loop)).reduce((product, one) => product * (one.times ?? 1), 1);
}

function total(step: Loop, inner: readonly Loop[], timesOf: (loop: Loop) => number): Counts {
  const counts: Counts = { ...noCounts(), ...step.own };
  for (const loop of inner) {
    const times = timesOf(loop) * around(loop, inner);
    for (const key of Object.keys(counts) as (keyof Counts)[]) {
      if (key === 'matrixFma') counts[key] ||= loop.own[key];
      else counts[key] += times * loop.own[key];
    }
  }
  return counts;
}

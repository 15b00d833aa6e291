/** Weights are packed once for all problems that read them: which layouts a task may be measured in, and which one is settled. */
import type { Conv2dProblem } from '../kernels/conv2d.ts';
import type { GemmProblem } from '../kernels/gemm.ts';
import type { PackedLayout } from '../kernels/op.ts';

/** Layouts of packed weights. */
const LAYOUTS: readonly PackedLayout[] = ['panels', 'rows'];

/** The weight that a problem reads, by what `layoutOfWeight` knows of it beside storage forms; undefined where it reads none that is packed. */
export function weightOf(op: string, problem: unknown): string | undefined {
  if (op === 'linear') {
    const { k, b, y, epilogue } = problem as GemmProblem;
    if (b.layout === 'plain') return undefined;
    return JSON.stringify(['linear', b.kTotal ?? k, y.pitch, epilogue?.geglu === true]);
  }
  if (op !== 'conv2d') return undefined;
  const { channels, outChannels, kernel, phases } = problem as Conv2dProblem;
  // The small kernels of a doubling are made of one of 3 x 3.
  const taps = phases ? 9 : kernel[0] * kernel[1];
  return JSON.stringify(
    taps === 1 ? ['linear', channels, outChannels, false] : ['conv2d', channels, outChannels, taps],
  );
}

/**
 * Whether the weight of a problem has to lie as it does: a doubling is recorded in other steps for weights in other layouts, and a
 * convolution of single pixels is laid out as a matrix.
 */
export function isLayoutFixed(op: string, problem: unknown): boolean {
  if (op !== 'conv2d') return false;
  const { phases, upsample, kernel } = problem as Conv2dProblem;
  return phases !== undefined || upsample === true || kernel[0] * kernel[1] === 1;
}

/** The problem with its weights in another layout. */
export function inLayout<P>(op: string, problem: P, layout: PackedLayout): P {
  if (op === 'linear') {
    const { b } = problem as unknown as GemmProblem;
    return { ...problem, b: { ...b, layout } };
  }
  return { ...problem, layout };
}

/** The layouts beside one. */
export function otherLayouts(layout: PackedLayout): PackedLayout[] {
  return LAYOUTS.filter(other => other !== layout);
}

/** Share of all time that another layout must save to be taken. */
const LEAST_SAVED = 0.03;

/** Times of a weight's problems in a layout, one a problem; undefined for those that no candidate serves. */
export type LayoutTimes = ReadonlyMap<PackedLayout, readonly (number | undefined)[]>;

/** The layout in which a weight's problems take the least time in all, of those that serve each of them; the first unless another saves 3 %. */
export function settledLayout(first: PackedLayout, times: LayoutTimes): PackedLayout {
  const sum = (layout: PackedLayout): number =>
    (times.get(layout) ?? [undefined]).reduce<number>((all, ms) => all + (ms ?? Number.POSITIVE_INFINITY), 0);
  let best = first;
  for (const layout of times.keys()) {
    const limit = best === first ? (1 - LEAST_SAVED) * sum(first) : sum(best);
    if (sum(layout) < limit) best = layout;
  }
  return best;
}

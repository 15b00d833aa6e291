/** What a row of the fuzz gives: a call of the library's, and the buffers that it promises to index only inside of. */
import type { Caps } from '../../../src/gpu/caps.ts';
import type { KernelCall, Storage } from '../../../src/kernels/kernel.ts';
import { nameOf, type Op, type Tiles, type Variant } from '../../../src/kernels/op.ts';
import type { Draw } from './draw.ts';

/** A call with a buffer for each of its bindings, each exactly as long as the shapes say. */
export interface Problem {
  readonly call: KernelCall;
  /** Contents at the start, of outputs too: what a kernel leaves alone stays as it is. */
  readonly buffers: Readonly<Record<string, Uint32Array>>;
  /** The problem in a few words, for messages. */
  readonly about: object;
}

/** Where problems run. */
export interface Where {
  readonly caps: Caps;
  /** Forms of activations on the device. */
  readonly storages: readonly Storage[];
}

/** Problems of one size after another that share a text: compiling one takes longer than running hundreds. */
export type Sizes = (draw: Draw) => Problem;

/** A kernel or a variant of an op: draws what is compiled in, and gives what draws the rest; undefined where the device cannot run it. */
export interface Row {
  /** The stem of the kernel, or `op/variant`. */
  readonly name: string;
  /** Stem of the WGSL file. */
  readonly kernel: string;
  forms(draw: Draw, where: Where): Sizes | undefined;
}

/** The row of a kernel of which there is one. */
export function row(kernel: string, forms: (draw: Draw, where: Where) => Sizes): Row {
  return { name: kernel, kernel, forms };
}

/** A problem of an op, before it is a call. */
export interface OpProblem<P> {
  readonly problem: P;
  readonly buffers: Readonly<Record<string, Uint32Array>>;
}

const TRIES = 60;

/**
 * Texts that are cut as where the problem is so many times larger, too: small ones, and software, take few of their cuts. Other texts cut
 * for a card would compile for minutes.
 */
const LARGER: Readonly<Record<string, readonly (number | undefined)[]>> = {
  'gemm-tile': [undefined, 1000, 100, undefined, 1],
  'attention-tile': [undefined, 1000, 100, undefined, 1],
  'gemm-broadcast': [undefined, 1e6],
};

/** How a row's batch cuts its problems. */
export function cutsOf<P, T extends Tiles>(draw: Draw, variant: Variant<P, T>): (caps: Caps, problem: P) => T {
  const times = draw.turn(LARGER[variant.stem] ?? [undefined]);
  return (caps, problem) =>
    times === undefined ? variant.tiles(caps, problem) : tilesOfCards(variant, caps, problem, times);
}

/**
 * A row for each variant of an op. A problem that a variant does not take is drawn anew.
 * @param forms draws problems for a variant, whose `weights` say how weights lie
 */
export function rowsOf<P>(
  op: Op<P>,
  forms: (draw: Draw, where: Where, variant: Variant<P>) => ((draw: Draw) => OpProblem<P>) | undefined,
): Row[] {
  return op.variants.map(variant => ({
    name: `${op.name}/${nameOf(variant)}`,
    kernel: variant.stem,
    forms: (draw, where) => {
      const next = forms(draw, where, variant);
      if (!next) return undefined;
      const cut = cutsOf(draw, variant);
      return own => {
        for (let i = 0; i < TRIES; i++) {
          const { problem, buffers } = next(own);
          op.check(problem);
          const packed = op.packed?.(problem);
          if ((packed !== undefined && packed !== variant.weights) || !variant.fits(where.caps, problem)) continue;
          if (measured(problem) && !variant.measures?.({ ...where.caps, software: false }, problem)) continue;
          return {
            call: variant.call(where.caps, problem, cut(where.caps, problem)),
            buffers,
            about: problem as object,
          };
        }
        throw new Error(`${op.name}/${nameOf(variant)}: ${TRIES} problems, and it takes none of them`);
      };
    },
  }));
}

/** Whether a product measures what it stores. On software only large ones gain by it, but all must stay in range. */
function measured(problem: unknown): boolean {
  return (problem as { readonly moments?: boolean }).moments === true;
}

/**
 * Tiles as a card would cut them, where the problem was as many times larger: no bit depends on them. Products that are written out are
 * the same indices as in a loop, and ten seconds of compiling.
 */
function tilesOfCards<P, T extends Tiles>(variant: Variant<P, T>, caps: Caps, problem: P, times: number): T {
  const numbers = problem as { readonly batch?: number; readonly images?: number };
  const larger = Object.fromEntries(
    Object.entries({ batch: numbers.batch, images: numbers.images }).flatMap(([name, count]) => {
      return count === undefined ? [] : [[name, count * times]];
    }),
  );
  const tiles = variant.tiles({ ...caps, software: false }, { ...problem, ...larger });
  return 'UNROLL' in tiles ? { ...tiles, UNROLL: 1 } : tiles;
}

/** A pitch that holds `width`, sometimes with room behind. */
export function pitchFor(draw: Draw, width: number, step = 8): number {
  return Math.ceil(width / step) * step + (draw.chance(3) ? step * draw.int(1, 2) : 0);
}

/** What is bound where a call reads nothing. */
export function nothing(draw: Draw): Uint32Array {
  return draw.words(4);
}

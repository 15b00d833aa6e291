/**
 * Operations as data: an op checks a problem and lists its variants, a variant says what it can run, which packed weights it
 * reads, its tile sizes and its call; one function chooses. Nothing here knows a kernel.
 */
import { DeviceError, InputError } from '../core/errors.ts';
import { checkNames, namesOf } from '../core/known-names.ts';
import type { Caps } from '../gpu/caps.ts';
import type { KernelCall } from './kernel.ts';

/** How packed weights lie: `panels` [N/32][taps * K][32], or `rows` [N][K] (src/kernels/pack-weight.ts). */
export type PackedLayout = 'panels' | 'rows';

/** Sizes of a tile by the names of the `const` lines in the variant's text; whole numbers. */
export type Tiles = Readonly<Record<string, number>>;

/** One way to run an op: a text with its tile sizes. */
export interface Variant<P, T extends Tiles = Tiles> {
  /** Stem of the WGSL file. */
  readonly stem: string;
  /** What tuning calls it, where several variants share a text; default the stem. */
  readonly name?: string | undefined;
  /** The layout of packed weights that it reads; left out by variants that read none. */
  readonly weights?: PackedLayout | undefined;
  /** Whether it can run the problem on a device at all. */
  fits(caps: Caps, problem: P): boolean;
  /** Place in the choice where nothing is forced or tuned: the lowest is taken, of equals the first listed. Default 0. */
  rank?(caps: Caps, problem: P): number;
  /** Whether it can also measure what it stores, as `GemmProblem.moments` asks, and gains by it; default no. */
  measures?(caps: Caps, problem: P): boolean;
  /** Whether it can also normalise what it reads, as `GemmProblem.normalize` asks, and gains by it; default no. */
  normalizes?(caps: Caps, problem: P): boolean;
  /** Constants of the text for a problem that fits. */
  tiles(caps: Caps, problem: P): T;
  /** The call of a problem that fits, cut by `tiles`. */
  call(caps: Caps, problem: P, tiles: T): KernelCall;
  /** The two calls that take its place where they are better; left out where they never are. */
  split?(caps: Caps, problem: P): Split | undefined;
}

/** A product in two calls: sums of parts of its K axis, and what adds them up. */
export interface Split {
  /** Writes the sums of the parts as its `y`. Its epilogue reads nothing. */
  readonly partials: KernelCall;
  /** Reads them as `partials`. */
  readonly sum: KernelCall;
  /** The floats between the two, rows without padding. */
  readonly scratch: {
    /** Of all parts. */
    readonly rows: number;
    /** Floats of a row. */
    readonly width: number;
  };
}

/** An operation that a device may run in several ways. */
export interface Op<P> {
  /** What tuning and messages call it. */
  readonly name: string;
  /** @throws ShapeError, DTypeError or InputError for a problem that makes no sense on any device */
  check(problem: P): void;
  /** The layout in which the problem's weights are packed already; undefined where it has none. */
  packed?(problem: P): PackedLayout | undefined;
  /** In the order of equal ranks. */
  readonly variants: readonly Variant<P>[];
}

/** A measured choice: for problems whose numbers lie in the bounds, this variant. */
export interface TunedChoice {
  /** Name of an op, as `OPS` lists them. */
  readonly op: string;
  /** Bounds, both included, on numeric fields of the problem, by their names: `{ rows: [1, 8] }`. Default none. */
  readonly where?: Readonly<Record<string, readonly [least: number, most: number]>> | undefined;
  /** Name of one of its variants, as `nameOf` gives it. */
  readonly variant: string;
}

/** What a caller says about the choice of variants: plain data, so that it may come from a file. */
export interface Tuning {
  /** Variants by op: taken, or an InputError where they cannot run a problem. */
  readonly force?: Readonly<Record<string, string>> | undefined;
  /** The first that matches a problem and can run it is taken, where nothing is forced. */
  readonly table?: readonly TunedChoice[] | undefined;
}

const TUNING = namesOf<Tuning>({ force: 1, table: 1 });
const CHOICE = namesOf<TunedChoice>({ op: 1, where: 1, variant: 1 });

/** Tuning whose fields are known, as it was when it was checked: made once a plan, then handed to every choice. */
export class CheckedTuning implements Tuning {
  readonly force: Tuning['force'];
  readonly table: Tuning['table'];

  /** @throws InputError for a field that there is not, naming the nearest that there is */
  constructor(tuning: Tuning) {
    checkNames('tuning', tuning, TUNING);
    for (const choice of tuning.table ?? []) checkNames('tuning.table', choice, CHOICE);
    this.force = tuning.force && { ...tuning.force };
    this.table = tuning.table && [...tuning.table];
  }
}

const NO_TUNING = new CheckedTuning({});

/** What tuning calls a variant. */
export function nameOf(variant: Pick<Variant<never>, 'stem' | 'name'>): string {
  return variant.name ?? variant.stem;
}

/**
 * The variant that a problem gets on a device: the forced one, else the first tuned one that fits, else the lowest rank that fits.
 * Variants that read another layout than the one in which the problem's weights lie are no candidates.
 *
 * @throws InputError for a forced variant that is not there or cannot run the problem, DeviceError where none can
 */
export function choose<P>(op: Op<P>, caps: Caps, problem: P, asked: Tuning = NO_TUNING): Variant<P> {
  const tuning = asked instanceof CheckedTuning ? asked : new CheckedTuning(asked);
  const packed = op.packed?.(problem);
  const able = op.variants.filter(v => (packed === undefined || v.weights === packed) && v.fits(caps, problem));
  return forced(op, able, tuning) ?? tuned(op, able, problem, tuning) ?? ranked(op, able, caps, problem);
}

/** Whether the variant that a problem gets can also measure what it stores. @throws as choose */
export function measures<P>(op: Op<P>, caps: Caps, problem: P, tuning?: Tuning): boolean {
  return choose(op, caps, problem, tuning).measures?.(caps, problem) ?? false;
}

/** Whether the variant that a problem gets can also normalise what it reads, and gains by it. @throws as choose */
export function normalizes<P>(op: Op<P>, caps: Caps, problem: P, tuning?: Tuning): boolean {
  return choose(op, caps, problem, tuning).normalizes?.(caps, problem) ?? false;
}

/**
 * The call that a problem becomes on a device.
 *
 * @throws as the op's check and as choose
 */
export function callOf<P>(op: Op<P>, caps: Caps, problem: P, tuning?: Tuning): KernelCall {
  op.check(problem);
  const variant = choose(op, caps, problem, tuning);
  return variant.call(caps, problem, variant.tiles(caps, problem));
}

/**
 * What a problem becomes on a device where memory for partial sums is at hand: one call, or two.
 *
 * @throws as the op's check and as choose
 */
export function callsOf<P>(op: Op<P>, caps: Caps, problem: P, tuning?: Tuning): KernelCall | Split {
  op.check(problem);
  const variant = choose(op, caps, problem, tuning);
  return variant.split?.(caps, problem) ?? variant.call(caps, problem, variant.tiles(caps, problem));
}

/** A variant of one op for the problems of another that become its problems. */
export function through<P, Q, T extends Tiles>(variant: Variant<Q, T>, become: (problem: P) => Q): Variant<P, T> {
  const { normalizes: able } = variant;
  return {
    ...(able ? { normalizes: (caps: Caps, problem: P) => able(caps, become(problem)) } : {}),
    stem: variant.stem,
    name: variant.name,
    weights: variant.weights,
    fits: (caps, problem) => variant.fits(caps, become(problem)),
    rank: (caps, problem) => variant.rank?.(caps, become(problem)) ?? 0,
    measures: (caps, problem) => variant.measures?.(caps, become(problem)) ?? false,
    tiles: (caps, problem) => variant.tiles(caps, become(problem)),
    call: (caps, problem, tiles) => variant.call(caps, become(problem), tiles),
    split: (caps, problem) => variant.split?.(caps, become(problem)),
  };
}

function forced<P>(op: Op<P>, able: readonly Variant<P>[], tuning: Tuning): Variant<P> | undefined {
  const name = tuning.force?.[op.name];
  if (name === undefined) return undefined;
  const variant = able.find(v => nameOf(v) === name);
  if (variant) return variant;
  const known = op.variants.some(v => nameOf(v) === name);
  throw new InputError({
    op: op.name,
    problem: known ? 'the forced variant cannot run this problem on this device' : 'there is no such variant',
    expected: (known ? able : op.variants).map(nameOf),
    value: name,
    path: `tuning.force.${op.name}`,
    fix: 'Force one of these, or leave it out.',
  });
}

function tuned<P>(op: Op<P>, able: readonly Variant<P>[], problem: P, tuning: Tuning): Variant<P> | undefined {
  const numbers = problem as Readonly<Record<string, unknown>>;
  const within = (field: string, [least, most]: readonly [number, number]) => {
    const value = numbers[field];
    return typeof value === 'number' && value >= least && value <= most;
  };
  for (const { op: name, where = {}, variant } of tuning.table ?? []) {
    if (name !== op.name || !Object.entries(where).every(([field, bounds]) => within(field, bounds))) continue;
    const found = able.find(v => nameOf(v) === variant);
    if (found) return found;
  }
  return undefined;
}

function ranked<P>(op: Op<P>, able: readonly Variant<P>[], caps: Caps, problem: P): Variant<P> {
  const rank = (variant: Variant<P>) => variant.rank?.(caps, problem) ?? 0;
  const [first, ...others] = able;
  if (!first) {
    throw new DeviceError({
      op: op.name,
      problem: 'no variant can run this problem on this device',
      expected: op.variants.map(nameOf),
      received: caps.description || caps.device,
      fix: 'Use another adapter, or weights packed in another layout.',
    });
  }
  return others.reduce((best, v) => (rank(v) < rank(best) ? v : best), first);
}

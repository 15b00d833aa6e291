/**
 * Operations as data: an op checks a problem and lists its variants, a variant says what it can run, which packed weights it
 * reads, its tile sizes and its call; one function chooses. Nothing here knows a kernel.
 */
import { DeviceError, InputError } from '../core/errors.ts';
import { checkByName, checkNames, namesOf } from '../core/known-names.ts';
import type { Caps } from '../gpu/caps.ts';
import { type KernelCall, RANK } from './kernel.ts';
import { ranksOf } from './shipped-ranks.ts';

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
  /**
   * Whether it also runs the problem with any number of pictures beside each other: a measured choice takes no other, so that parts of a batch
   * are never made by another variant than the whole. Default true.
   */
  fitsAnyBatch?(problem: P): boolean;
  /** Place in the choice where nothing is forced or tuned: the lowest is taken, of equals the first listed. Default 0. */
  rank?(caps: Caps, problem: P): number;
  /**
   * Whether it can also measure what it stores, as `GemmProblem.moments` asks, and gains by it; default no.
   * @param tiles those of its call, where they are not its own
   */
  measures?(caps: Caps, problem: P, tiles?: T): boolean;
  /** Whether it can also normalise what it reads, as `GemmProblem.normalize` asks, and gains by it; default no. */
  normalizes?(caps: Caps, problem: P): boolean;
  /** Constants of the text for a problem that fits. */
  tiles(caps: Caps, problem: P): T;
  /**
   * Other tile sizes worth measuring, all legal on the device for the problem; default none beside `tiles`. Which they are never goes by
   * how many pictures or rows stand beside each other, nor do the bits of any of them.
   */
  candidates?(caps: Caps, problem: P): readonly T[];
  /** The call of a problem that fits, cut by `tiles`. */
  call(caps: Caps, problem: P, tiles: T): KernelCall;
  /**
   * The two calls that take its place where they are better; left out where they never are.
   * @param tiles cut the first of them; default its own
   */
  split?(caps: Caps, problem: P, tiles?: T): Split | undefined;
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
  /**
   * Fields of a problem by which a measured choice may go, dotted (`a.storage`): never how many pictures or rows stand beside each other,
   * how columns are windowed, or what is done beside the op, so that whatever is cut gives the bits of the whole.
   */
  readonly tunedBy: readonly string[];
  /** In the order of equal ranks. */
  readonly variants: readonly Variant<P>[];
}

/** What a field of a problem must be: within bounds, both included; a text; or there (true) or not (false). */
export type Condition = readonly [least: number, most: number] | string | boolean;

/** A measured choice: for problems whose fields are as said, this variant. */
export interface TunedChoice {
  /** Name of an op, as `OPS` lists them. */
  readonly op: string;
  /** Conditions by dotted fields of the problem: `{ k: [64, 64], 'a.storage': 'f16' }`. Default none. */
  readonly where?: Readonly<Record<string, Condition>> | undefined;
  /** Name of one of its variants, as `nameOf` gives it. */
  readonly variant: string;
  /** Tile sizes, all of them; the choice is passed over where they are none of the variant's candidates. Default the variant's own. */
  readonly tiles?: Tiles | undefined;
}

/** What a caller says about the choice of variants: plain data, so that it may come from a file. */
export interface Tuning {
  /** Variants by op: taken, or an InputError where they cannot run a problem. */
  readonly force?: Readonly<Record<string, string>> | undefined;
  /** The first that matches a problem and can run it is taken, where nothing is forced. */
  readonly table?: readonly TunedChoice[] | undefined;
}

const TUNING = namesOf<Tuning>({ force: 1, table: 1 });
const CHOICE = namesOf<TunedChoice>({ op: 1, where: 1, variant: 1, tiles: 1 });

/** Told of a problem whose variant is chosen. */
export type HearProblem = <P>(op: Op<P>, problem: P) => void;

/** Tuning whose fields are known, as it was when it was checked: made once a plan, then handed to every choice. */
export class CheckedTuning implements Tuning {
  readonly force: Tuning['force'];
  readonly table: Tuning['table'];
  /** @internal */
  readonly heard: HearProblem | undefined;

  /**
   * @param tuning checked already, it is taken with its listener
   * @param heard told of every problem, by `choose`
   * @throws InputError for a field that there is not, naming the nearest that there is
   */
  constructor(tuning: Tuning, heard?: HearProblem) {
    const checked = tuning instanceof CheckedTuning ? tuning : undefined;
    if (!checked) {
      checkNames('tuning', tuning, TUNING);
      const { force = {}, table = [] } = tuning;
      checkByName('tuning.force', force);
      if (!Array.isArray(table)) {
        throw new InputError({ op: 'tuning', problem: 'no list of choices', value: table, path: 'tuning.table' });
      }
      for (const [i, choice] of table.entries()) checkChoice(choice, i);
    }
    this.force = tuning.force && { ...tuning.force };
    this.table = checked ? tuning.table : tuning.table?.map(copyOf);
    this.heard = heard ?? checked?.heard;
  }
}

function checkChoice(choice: TunedChoice, i: number): void {
  checkByName('tuning.table', choice);
  checkNames('tuning.table', choice, CHOICE);
  const { where = {}, tiles = {} } = choice;
  for (const [name, own] of Object.entries({ where, tiles })) checkByName(`tuning.table[${i}].${name}`, own);
}

function copyOf({ where, tiles, ...choice }: TunedChoice): TunedChoice {
  const conditions = Object.entries(where ?? {}).map(([field, condition]) => [
    field,
    Array.isArray(condition) ? [...condition] : condition,
  ]);
  return { ...choice, ...(where && { where: Object.fromEntries(conditions) }), ...(tiles && { tiles: { ...tiles } }) };
}

const NO_TUNING = new CheckedTuning({});

/** What tuning calls a variant. */
export function nameOf(variant: Pick<Variant<never>, 'stem' | 'name'>): string {
  return variant.name ?? variant.stem;
}

/**
 * The variant that a problem gets on a device: the forced one, else the first tuned one that fits, else the first that
 * ranks.json has for the card and that is meant for the problem, else the lowest rank that fits.
 * Variants that read another layout than the one in which the problem's weights lie are no candidates.
 *
 * @throws InputError for a forced variant that is not there or cannot run the problem, DeviceError where none can
 */
export function choose<P>(op: Op<P>, caps: Caps, problem: P, asked: Tuning = NO_TUNING): Variant<P> {
  const tuning = asked instanceof CheckedTuning ? asked : new CheckedTuning(asked);
  tuning.heard?.(op, problem);
  return chosen(op, caps, problem, tuning);
}

/** The same, which tells nobody. @throws as choose */
export function chosen<P>(op: Op<P>, caps: Caps, problem: P, tuning: Tuning): Variant<P> {
  const packed = op.packed?.(problem);
  const able = op.variants.filter(v => (packed === undefined || v.weights === packed) && v.fits(caps, problem));
  return (
    forced(op, able, tuning) ??
    tuned(op, able, caps, problem, tuning) ??
    shipped(op, able, caps, problem) ??
    ranked(op, able, caps, problem)
  );
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
    fitsAnyBatch: problem => variant.fitsAnyBatch?.(become(problem)) ?? true,
    rank: (caps, problem) => variant.rank?.(caps, become(problem)) ?? 0,
    measures: (caps, problem, tiles) => variant.measures?.(caps, become(problem), tiles) ?? false,
    tiles: (caps, problem) => variant.tiles(caps, become(problem)),
    candidates: (caps, problem) => variant.candidates?.(caps, become(problem)) ?? [],
    call: (caps, problem, tiles) => variant.call(caps, become(problem), tiles),
    split: (caps, problem, tiles) => variant.split?.(caps, become(problem), tiles),
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

function tuned<P>(
  op: Op<P>,
  able: readonly Variant<P>[],
  caps: Caps,
  problem: P,
  tuning: Tuning,
): Variant<P> | undefined {
  for (const { op: name, where = {}, variant, tiles } of tuning.table ?? []) {
    if (name !== op.name || !matches(where, problem)) continue;
    const found = able.find(v => nameOf(v) === variant && (v.fitsAnyBatch?.(problem) ?? true));
    if (found && !tiles) return found;
    if (found && tiles && isCandidate(found, caps, problem, tiles)) return cut(found, tiles);
  }
  return undefined;
}

/** Variants that fit and are not meant for a problem are passed over, as if the row were not there. */
function shipped<P>(op: Op<P>, able: readonly Variant<P>[], caps: Caps, problem: P): Variant<P> | undefined {
  for (const { op: name, where = {}, variant } of ranksOf(caps)) {
    if (name !== op.name || !matches(where, problem)) continue;
    const found = able.find(v => nameOf(v) === variant && (v.rank?.(caps, problem) ?? 0) < RANK.unsuited);
    if (found) return found;
  }
  return undefined;
}

/**
 * Constants that a variant's text has on a card because ranks.json says so, whoever chose it.
 *
 * @param name of the op
 * @param variant as `nameOf` gives it
 */
export function shippedTiles(name: string, variant: string, caps: Caps, problem: unknown): Tiles {
  const own = ranksOf(caps).filter(row => row.op === name && row.variant === variant);
  return own.find(({ where = {} }) => matches(where, problem))?.tiles ?? {};
}

/** Whether a problem is as the conditions say. */
export function matches(where: NonNullable<TunedChoice['where']>, problem: unknown): boolean {
  return Object.entries(where).every(([field, condition]) => holds(condition, fieldOf(problem, field)));
}

/** Whether a value of a problem is as a condition says. */
export function holds(condition: Condition, value: unknown): boolean {
  if (typeof condition === 'string') return value === condition;
  if (typeof condition === 'boolean') return (value !== undefined && value !== false) === condition;
  const [least, most] = condition;
  return typeof value === 'number' && value >= least && value <= most;
}

/** The value of a dotted field; undefined where there is none. */
export function fieldOf(problem: unknown, field: string): unknown {
  let value = problem;
  for (const name of field.split('.')) value = (Object(value) as Readonly<Record<string, unknown>>)[name];
  return value;
}

/** Conditions that hold for a problem, and for no problem whose fields of `tunedBy` are others. */
export function conditionsOf<P>(op: Op<P>, problem: P): Record<string, Condition> {
  const conditionOf = (value: unknown): Condition => {
    if (typeof value === 'number') return [value, value];
    return typeof value === 'string' ? value : value !== undefined && value !== false;
  };
  return Object.fromEntries(op.tunedBy.map(field => [field, conditionOf(fieldOf(problem, field))]));
}

/** All tile sizes that a variant takes for a problem that fits, its own first, each once. */
export function candidatesOf<P, T extends Tiles>(variant: Variant<P, T>, caps: Caps, problem: P): readonly T[] {
  const all = [variant.tiles(caps, problem), ...(variant.candidates?.(caps, problem) ?? [])];
  return all.filter((tiles, i) => all.findIndex(other => sameTiles(other, tiles)) === i);
}

/** Whether two cuts are one. */
export function sameTiles(a: Tiles, b: Tiles): boolean {
  const names = Object.keys(a);
  return names.length === Object.keys(b).length && names.every(name => a[name] === b[name]);
}

function isCandidate<P>(variant: Variant<P>, caps: Caps, problem: P, tiles: Tiles): boolean {
  return candidatesOf(variant, caps, problem).some(own => sameTiles(own, tiles));
}

/** A variant in another cut. */
function cut<P, T extends Tiles>(variant: Variant<P, T>, tiles: T): Variant<P, T> {
  return {
    ...variant,
    tiles: () => tiles,
    measures: (caps, problem) => variant.measures?.(caps, problem, tiles) ?? false,
    split: (caps, problem) => variant.split?.(caps, problem, tiles),
  };
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

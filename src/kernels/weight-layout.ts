/**
 * In which layout a weight is packed: chosen with the variants that will read it, before it is packed, from the row counts that
 * its layer will see. One layout serves them all, so that a weight is packed once and held once.
 */
import { DeviceError } from '../core/errors.ts';
import type { Caps } from '../gpu/caps.ts';
import { CONV2D } from './conv2d.ts';
import { PANEL } from './gemm-problem.ts';
import type { Storage } from './kernel.ts';
import { LINEAR } from './linear.ts';
import {
  CheckedTuning,
  type Condition,
  chosen,
  holds,
  nameOf,
  type Op,
  type PackedLayout,
  type TunedChoice,
  type Tuning,
} from './op.ts';

/** Row counts of a layer that nobody has said anything of: many, and one at a time. The first is the more important. */
export const ROW_COUNTS: readonly number[] = [64, 1];

/**
 * The layout in which an op's weight is packed: of those that some variant reads at every row count, the one whose variant is
 * chosen for the first row count.
 *
 * @param rowCounts rows of the problems that the weight will meet, the most important first
 * @param problemOf the problem of one row count, with its weights in a layout
 * @throws DeviceError where no layout serves all row counts, InputError as choose
 */
export function weightLayout<P>(
  op: Op<P>,
  caps: Caps,
  rowCounts: readonly number[],
  problemOf: (rows: number, layout: PackedLayout) => P,
  tuning?: Tuning,
): PackedLayout {
  return layoutBy(op, caps, rowCounts, problemOf, tuning);
}

/** The same; what is `known` of the weight decides first, where a measured choice agrees with it. */
function layoutBy<P>(
  op: Op<P>,
  caps: Caps,
  rowCounts: readonly number[],
  problemOf: (rows: number, layout: PackedLayout) => P,
  tuning?: Tuning,
  known?: KnownFields,
): PackedLayout {
  const readers = op.variants.flatMap(v => (v.weights ? [{ ...v, weights: v.weights }] : []));
  const able = (rows: number) => readers.filter(v => v.fits(caps, problemOf(rows, v.weights)));
  const serving = new Set(readers.map(v => v.weights));
  for (const rows of rowCounts) {
    const here = new Set(able(rows).map(v => v.weights));
    for (const layout of serving) if (!here.has(layout)) serving.delete(layout);
  }
  const [rows = 1] = rowCounts;
  const [first] = serving;
  if (!first) {
    throw new DeviceError({
      op: op.name,
      problem: 'no layout of the weights serves every number of rows on this device',
      expected: readers.map(v => `${nameOf(v)}: ${v.weights}`),
      received: rowCounts,
      fix: 'Use another adapter, or other tuning.',
    });
  }
  const measured = tuning?.force?.[op.name] === undefined && known && measuredLayout(op, tuning, known);
  if (measured && serving.has(measured)) return measured;
  // Each sees the problem with the weights in its own layout.
  const variants = able(rows).map(v => {
    const own = problemOf(rows, v.weights);
    return { ...v, fits: () => serving.has(v.weights), rank: () => v.rank?.(caps, own) ?? 0 };
  });
  const candidates: Op<P> = { name: op.name, check: () => {}, tunedBy: op.tunedBy, variants };
  return chosen(candidates, caps, problemOf(rows, first), new CheckedTuning(tuning ?? {})).weights ?? first;
}

/** Whether a choice's condition on a field may hold for problems that read a weight; fields that the weight does not tell are left out. */
type KnownFields = Readonly<
  Record<string, (condition: Condition, where: NonNullable<TunedChoice['where']>) => boolean>
>;

/** The layout that the first choice reads which agrees with all that is known. */
function measuredLayout<P>(op: Op<P>, tuning: Tuning | undefined, known: KnownFields): PackedLayout | undefined {
  for (const { op: name, where = {}, variant } of tuning?.table ?? []) {
    const agrees = Object.entries(where).every(([field, condition]) => known[field]?.(condition, where) ?? true);
    const found = name === op.name && agrees ? op.variants.find(v => nameOf(v) === variant) : undefined;
    if (found?.weights) return found.weights;
  }
  return undefined;
}

/** A weight before it is packed: padded sizes, and how its elements are stored. */
export interface UnpackedWeight {
  /** Padded outputs. */
  readonly columns: number;
  /** Inputs of one tap. */
  readonly k: number;
  /** Kernel height times width of a convolution; 1 for linear layers. */
  readonly taps: number;
  /** Form in memory. */
  readonly storage: Storage;
  /** Form of the activations that it meets; default f32. */
  readonly input?: Storage | undefined;
  /** Whether panels alternate values and gates. */
  readonly geglu: boolean;
}

/** What was decided for a device and a tuning that cannot change: plans of a network ask for every weight anew. */
const decided = new WeakMap<Caps, WeakMap<object, Map<string, PackedLayout>>>();
const UNTUNED = {};

/** The layout of a linear layer's or convolution's weight. @throws as weightLayout */
export function layoutOfWeight(
  caps: Caps,
  weight: UnpackedWeight,
  rowCounts: readonly number[] = ROW_COUNTS,
  tuning?: Tuning,
): PackedLayout {
  // A caller's own tuning may be changed between two questions, and a listener is told of each.
  const lasting = tuning === undefined || (tuning instanceof CheckedTuning && !tuning.heard);
  if (!lasting) return layoutFor(caps, weight, rowCounts, tuning);
  const ofDevice = decided.get(caps) ?? new WeakMap<object, Map<string, PackedLayout>>();
  decided.set(caps, ofDevice);
  const by = tuning ?? UNTUNED;
  const known = ofDevice.get(by) ?? new Map<string, PackedLayout>();
  ofDevice.set(by, known);
  const { columns, k, taps, storage, geglu, input } = weight;
  const key = `${columns} ${k} ${taps} ${storage} ${geglu} ${input} ${rowCounts}`;
  const found = known.get(key) ?? layoutFor(caps, weight, rowCounts, tuning);
  known.set(key, found);
  return found;
}

function layoutFor(
  caps: Caps,
  weight: UnpackedWeight,
  rowCounts: readonly number[],
  tuning: Tuning | undefined,
): PackedLayout {
  const { columns, k, taps, storage, geglu, input = 'f32' } = weight;
  if (taps > 1) {
    const padding = { top: 0, right: 0, bottom: 0, left: 0 };
    const column = {
      images: 1,
      width: 1,
      channels: k,
      outChannels: columns,
      kernel: [taps, 1],
      stride: 1,
      padding,
    } as const;
    const storages = { input, weight: storage, output: input } as const;
    const problemOf = (rows: number, layout: PackedLayout) => ({
      ...column,
      ...storages,
      layout,
      height: rows + taps - 1,
    });
    return layoutBy(CONV2D, caps, rowCounts, problemOf, tuning, kernelFields(weight));
  }
  const sides = { a: { pitch: k, storage: input }, y: { pitch: columns, storage: input } } as const;
  const sizes = { batch: 1, columns, k, epilogue: { geglu } };
  const problemOf = (rows: number, layout: PackedLayout) => ({ ...sizes, ...sides, rows, b: { layout, storage } });
  return layoutBy(LINEAR, caps, rowCounts, problemOf, tuning, matrixFields(weight, rowCounts));
}

/** Of a convolution's kernel: its taps are known, and not how they lie. */
function kernelFields({ columns, k, taps, storage, input = 'f32' }: UnpackedWeight): KnownFields {
  const side = (condition: Condition | undefined): number => (Array.isArray(condition) ? condition[0] : Number.NaN);
  return {
    channels: condition => holds(condition, k),
    outChannels: condition => holds(condition, columns),
    weight: condition => holds(condition, storage),
    input: condition => holds(condition, input),
    'kernel.0': (condition, where) => side(condition) * side(where['kernel.1']) === taps,
  };
}

/** Of a linear layer's matrix, of whose K axis a problem may read a part. */
function matrixFields(weight: UnpackedWeight, [rows = 1]: readonly number[]): KnownFields {
  const { columns, k, storage, geglu, input = 'f32' } = weight;
  return {
    rows: condition => holds(condition, rows),
    k: (condition, where) => Array.isArray(where['b.kTotal']) || holds(condition, k),
    'b.kTotal': condition => condition === false || holds(condition, k),
    'y.pitch': condition => (geglu ? holdsHalf(condition, columns) : holds(condition, columns)),
    'a.storage': condition => holds(condition, input),
    'b.storage': condition => holds(condition, storage),
    'epilogue.geglu': condition => holds(condition, geglu),
  };
}

/** Whether rows of y may be what panels of values and gates make, which may be wider. */
function holdsHalf(condition: Condition, columns: number): boolean {
  if (!Array.isArray(condition)) return false;
  const [least, most] = condition;
  return most > columns / 2 - PANEL && least <= columns / 2;
}

/**
 * Weights that do not lie on the device all at once: which of them share memory, and when a plan has to bring which. Pure
 * numbers and lists, tested without a GPU.
 */
import { DeviceError } from '../core/errors.ts';
import type { StreamableWeight, WeightReads } from './weight-stream.ts';

/** Where a weight lies while it is on the device. */
export interface Seat {
  /** Weights of one group lie there together. */
  readonly group: number;
  /** Groups of one slot replace each other. */
  readonly slot: number;
  /** First byte in the slot. */
  readonly offset: number;
  /** Of the weight. */
  readonly bytes: number;
}

/** Seats, and the bytes of the slots that they need. */
export interface Seating {
  /** In the order of the sizes. */
  readonly seats: readonly Seat[];
  /** Bytes of each slot: its largest group. */
  readonly slotBytes: readonly number[];
}

/** Slots that groups take in turn: one is read while the other is filled. */
const SLOTS = 2;

/**
 * Cuts weights into groups, in their order: each as large as `slotBytes` allow, or one weight that is larger.
 * @param sizes in bytes, multiples of what places are aligned to
 */
export function seatWeights(sizes: readonly number[], slotBytes: number): Seating {
  const seats: Seat[] = [];
  const largest: number[] = [];
  let [group, filled] = [0, 0];
  for (const bytes of sizes) {
    if (filled > 0 && filled + bytes > slotBytes) [group, filled] = [group + 1, 0];
    const slot = group % SLOTS;
    seats.push({ group, slot, offset: filled, bytes });
    filled += bytes;
    largest[slot] = Math.max(largest[slot] ?? 0, filled);
  }
  return { seats, slotBytes: largest };
}

/**
 * Which weights are to stay on the device where `bytes` of them may: spread evenly over all, so that what has to be brought is
 * spread over a run too.
 * @returns one answer for each size
 */
export function residents(sizes: readonly number[], bytes: number): boolean[] {
  const total = sizes.reduce((sum, size) => sum + size, 0);
  let [seen, kept] = [0, 0];
  return sizes.map(size => {
    seen += size;
    const stays = kept + size <= Math.min(bytes, (bytes * seen) / total);
    if (stays) kept += size;
    return stays;
  });
}

/** Dispatches that run one after the other, and what has to be there before them. */
export interface Stretch {
  /** Of all that is brought; undefined where nothing is. */
  readonly group: number | undefined;
  /** Brought before the first dispatch; they stay until another group takes their slot. */
  readonly weights: readonly StreamableWeight[];
  /** First dispatch. */
  readonly from: number;
  /** Behind the last. */
  readonly to: number;
}

/** The time that a group has its slot. */
interface Stay {
  readonly group: number;
  readonly weights: Set<StreamableWeight>;
}

/**
 * When a plan has to bring which weights: each before its first dispatch, small ones together, so that the device works on the
 * ones while the others are read. Any order of reads is served; a weight comes again where another group took its slot before
 * the last read.
 * @param reads of the plan, in its order
 * @param dispatches of the plan
 * @param seatOf undefined for weights that are always there
 * @param most bytes of weights that come together, unless one has more
 * @throws DeviceError for a dispatch that reads two weights which cannot be on the device at once
 */
export function stretchesOf(
  reads: readonly WeightReads[],
  dispatches: number,
  seatOf: (weight: StreamableWeight) => Seat | undefined,
  most: number,
): Stretch[] {
  const opened: { stay?: Stay; weights: StreamableWeight[]; bytes: number; from: number }[] = [
    { weights: [], bytes: most, from: 0 },
  ];
  const stays: Stay[] = [];
  for (const { weights, first } of reads) {
    const seated = weights.flatMap(weight => {
      const seat = seatOf(weight);
      return seat ? [{ weight, ...seat }] : [];
    });
    refuseRivals(seated);
    for (const { weight, group, slot, bytes } of seated) {
      let stay = stays[slot];
      if (stay?.group !== group) stays[slot] = stay = { group, weights: new Set() };
      if (stay.weights.has(weight)) continue;
      stay.weights.add(weight);
      const last = opened.at(-1);
      if (last?.stay === stay && last.bytes + bytes <= most) {
        last.weights.push(weight);
        last.bytes += bytes;
      } else {
        opened.push({ stay, weights: [weight], bytes, from: first });
      }
    }
  }
  return opened
    .map(({ stay, weights, from }, i) => ({
      ...{ group: stay?.group, weights, from },
      to: opened[i + 1]?.from ?? dispatches,
    }))
    .filter(({ weights, from, to }) => weights.length > 0 || to > from);
}

function refuseRivals(seated: readonly (Seat & { readonly weight: StreamableWeight })[]): void {
  for (const a of seated) {
    const b = seated.find(other => other.slot === a.slot && other.group !== a.group);
    if (!b) continue;
    throw new DeviceError({
      op: 'streaming',
      problem: 'one operation reads two weights that take each other’s place on the device',
      received: [a.weight.path, b.weight.path],
      fix: 'Stream with larger slots, or keep the weights on the device.',
    });
  }
}

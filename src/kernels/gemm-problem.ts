/** The problem that matmul, linear and conv2d share: what is multiplied, and what follows a sum. */
import { ShapeError } from '../core/errors.ts';
import type { ConvGeometry } from './conv-pixels.ts';
import type { Storage } from './kernel.ts';
import type { Activation } from './libs.ts';
import type { PackedLayout } from './op.ts';

/** What happens to a sum before it is stored, in this order: bias, activation, channelAdd, residual (added or multiplied). */
export interface Epilogue {
  /** Adds one value a column; default true. */
  readonly bias?: boolean | undefined;
  /** Function of the sum; default none. */
  readonly activation?: Activation | undefined;
  /** Adds [images, N], one row for each `rowsPerImage` rows; `pitch` in elements. */
  readonly channelAdd?:
    | {
        /** Neighbouring rows of y that share a row of it. */
        readonly rowsPerImage: number;
        /** Elements from one of its rows to the next, a multiple of 4. */
        readonly pitch: number;
        /** Element of a row that meets column 0 of y, a multiple of 4; default 0. */
        readonly offset?: number | undefined;
      }
    | undefined;
  /** Adds a tensor of y's own layout, or multiplies by it. */
  readonly residual?: boolean | 'multiply' | undefined;
  /** Panels alternate value and gate; y = value * gelu(gate). */
  readonly geglu?: boolean | undefined;
}

/** y = act(A B + bias) and what follows it: A [batch, rows, k], B packed or plain, y [batch, rows, columns]. */
export interface GemmProblem {
  /** Products; 1 for linear layers and convolutions. */
  readonly batch: number;
  /** Rows of A and y in one product. */
  readonly rows: number;
  /**
   * How many of them belong to one picture or sequence; default 1. Where it is more, no variant for few rows is chosen, so that the
   * choice, and with it every bit, is the same for any number of pictures.
   */
  readonly itemRows?: number | undefined;
  /** Columns of y with padding: a multiple of 8. */
  readonly columns: number;
  /** Length of the K axis within one tap, with padding: a multiple of 8. */
  readonly k: number;
  /** Elements. `batch` is the distance between batches; offset and pitch multiples of 4. */
  readonly a: {
    /** Elements from one row to the next. */
    readonly pitch: number;
    /** Element where row 0 begins; default 0. */
    readonly offset?: number;
    /** Elements from one product to the next; default `rows` rows. */
    readonly batch?: number;
    /** Form of A. */
    readonly storage: Storage;
  };
  /**
   * `panels`: packed weights [N/32][taps * K][32], of which one tap's K may be a part: `kOffset` of `kTotal` (where the rows of A
   * are the halves of a concatenation). `plain`: a matrix [K][pitch] per batch, no weight.
   */
  readonly b: {
    /** How B lies: packed, or as a plain matrix. */
    readonly layout: PackedLayout | 'plain';
    /** Form of B; also bf16-packed. */
    readonly storage: Storage;
    /** Elements from one row of a plain matrix to the next, a multiple of 8. */
    readonly pitch?: number;
    /** Elements from one plain matrix to the next; 0 where one serves all, default `k` rows. */
    readonly batch?: number;
    /** Length of the K axis in packed B; default `k`. */
    readonly kTotal?: number;
    /** Where on it the part begins that A meets; default 0. */
    readonly kOffset?: number;
  };
  /** Elements of the result; offset and distances multiples of 4, the pitch of 8. */
  readonly y: {
    /** Elements from one row to the next. */
    readonly pitch: number;
    /** Element where row 0 begins; default 0. */
    readonly offset?: number;
    /** Elements from one product to the next; default `rows` rows. */
    readonly batch?: number;
    /** Form of y, channelAdd and residual. */
    readonly storage: Storage;
  };
  /**
   * Whether K is cut: product i of `batch` sums part i of it, `k` values or, of a convolution, a line of taps, and A and B are those of
   * all parts. The sums of a row of y lie one part behind another.
   */
  readonly split?: boolean | undefined;
  /** Multiplies the sum, before the bias; default 1. */
  readonly scale?: number | undefined;
  /** Makes rows of A out of pixels. */
  readonly conv?: ConvGeometry | undefined;
  /** What follows a sum; default a bias. */
  readonly epilogue?: Epilogue | undefined;
  /**
   * Measures y for a group norm that reads it next: one more binding, `moments` [rows of all y / MOMENT_ROWS, momentsPitch(y.pitch)]
   * f32, laid out as wgsl/lib/moments.wgsl tells. Only where the variant says that it `measures` the problem; default false.
   */
  readonly moments?: boolean | undefined;
  /**
   * Reads A as act(A * scale + shift), the end of a group norm, with zeros around a map behind it: one more binding, `scale_shift`
   * [images, 2, k] f32, as group-norm-finalize makes it. Only where the variant says that it `normalizes` the problem;
   * default A as it lies.
   */
  readonly normalize?: NormalizedInput | undefined;
}

/** What a convolution does to each value of its input as it loads it. */
export interface NormalizedInput {
  /** Function of the normalised value; default none. */
  readonly activation?: Activation | undefined;
}

/** Panel width of packed weights, in columns. */
export const PANEL = 32;

/**
 * Values of K in one chain of f32 sums. Two blocks of Flan-T5 xl (K up to 5120), error against float64 over torch's: 4.0 as one chain,
 * 1.5 in blocks of 512, 1.0 in blocks of 128; for one row on lavapipe the ends of blocks cost 2 % with 512 and 6 % with 128.
 */
const BLOCK = 512;

/**
 * Values of K in one chain of sums; the chains of an output are added in turn. K alone decides, never the rows. Where A is of halves its
 * own rounding is a hundred times that of any chain, and convolutions meet their bounds: both stay one chain.
 */
export function blockOf({ k, conv, a }: GemmProblem): number {
  return conv || a.storage !== 'f32' ? k : BLOCK;
}

/** Taps of a convolution's kernel; 1 for other products. */
export function tapsOf(conv: ConvGeometry | undefined): number {
  return conv ? conv.kernelHeight * conv.kernelWidth : 1;
}

/** Taps that one product sums. */
export function ownTaps({ batch, conv, split }: GemmProblem): number {
  return tapsOf(conv) / (conv && split ? batch : 1);
}

/** Products that share their rows of A: those of a doubling, and those of parts of K. */
export function phasesOf({ batch, conv, split }: GemmProblem): number {
  return conv?.phases || split ? batch : 1;
}

/** The layout in which the weights of a product lie: none where b is a tensor of activations. */
export function packedOf({ b }: GemmProblem): PackedLayout | undefined {
  return b.layout === 'plain' ? undefined : b.layout;
}

/** @throws ShapeError for sizes that are no positive integers, and pitches, offsets or K off their multiples */
export function checkGemm(op: string, p: GemmProblem): void {
  const eights: Record<string, number> = {
    k: p.k,
    columns: p.columns,
    'y.pitch': p.y.pitch,
    'b.pitch': p.b.pitch ?? 0,
  };
  const fours: Record<string, number> = {
    'a.pitch': p.a.pitch,
    'a.offset': p.a.offset ?? 0,
    'a.batch': p.a.batch ?? 0,
    'b.batch': p.b.batch ?? 0,
    'y.offset': p.y.offset ?? 0,
    'y.batch': p.y.batch ?? 0,
    'channelAdd.offset': p.epilogue?.channelAdd?.offset ?? 0,
  };
  for (const [name, value] of Object.entries(eights)) mustDivide(op, name, value, 8);
  for (const [name, value] of Object.entries(fours)) mustDivide(op, name, value, 4);
  for (const [name, value] of Object.entries({ batch: p.batch, rows: p.rows, columns: p.columns, k: p.k })) {
    if (!(Number.isInteger(value) && value > 0)) {
      throw new ShapeError({ op, problem: 'a size must be a positive integer', value, path: name });
    }
  }
  if (p.normalize && !p.conv) {
    const fix = 'Leave it out, and use group-norm-apply.';
    throw new ShapeError({ op, problem: 'only a convolution normalises what it reads', path: 'normalize', fix });
  }
}

function mustDivide(op: string, name: string, value: number, step: number): void {
  if (value % step !== 0) {
    throw new ShapeError({
      op,
      problem: `must be a multiple of ${step}`,
      value,
      path: name,
      fix: 'Pad the rows.',
    });
  }
}

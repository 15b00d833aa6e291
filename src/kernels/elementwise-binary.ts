/** Arithmetic of two tensors, the second of which may be repeated over rows. */
import source from '../../wgsl/elementwise-binary.wgsl';
import { ShapeError } from '../core/errors.ts';
import { ceilDiv } from '../core/shape.ts';
import { type KernelCall, type RowLayout, type Storage, storageBytes } from './kernel.ts';
import { inputLib, outputLib, weightLib } from './libs.ts';
import { FLAT_TILE, flatRows, type RowRange, requirePitch, requireSizes, rowBinding } from './rows.ts';

/** Arithmetic of two operands. */
export type BinaryOperation = 'add' | 'subtract' | 'multiply' | 'divide';
const OPERATION: Readonly<Record<BinaryOperation, number>> = { add: 0, subtract: 0, multiply: 1, divide: 2 };

/** Which row of b meets row r of a: row `floor(r / divide) % rows`. */
export interface Broadcast {
  /** Rows that b has. */
  readonly rows: number;
  /** Neighbouring rows of a that share a row of b: H * W for [N, 1, C]. Default 1. */
  readonly divide?: number | undefined;
  /** Lane 0 of b's row stands for the whole row: [N, 1, 1]. */
  readonly scalar?: boolean | undefined;
}

/** Two operands [rows, pitch]; the second may be one row, or one row for several. */
export interface ElementwiseBinaryProblem {
  /** What joins the operands. */
  readonly operation: BinaryOperation;
  /** Rows of a and y. */
  readonly rows: number;
  /** True length of a row of a and y. */
  readonly width: number;
  /** Rows of the first operand. */
  readonly a: RowLayout;
  /** Also bf16-packed. Same shape as a unless `broadcast` is given. */
  readonly b: {
    /** Elements from one row to the next, a multiple of 8. */
    readonly pitch: number;
    /** Form of the second operand; also bf16-packed. */
    readonly storage: Storage;
    /** How its rows are repeated; default not at all. */
    readonly broadcast?: Broadcast | undefined;
  };
  /** Rows of the result. */
  readonly y: RowLayout;
  /** Factor of a; default 1. */
  readonly alpha?: number | undefined;
  /** For add and subtract only; default 1. */
  readonly beta?: number | undefined;
}

/**
 * y = alpha * a ± beta * b, alpha * a * b or alpha * a / b. Bindings: a, b, y.
 *
 * @throws ShapeError for bad sizes or pitches, and for a broadcast that does not come out even
 */
export function elementwiseBinary(problem: ElementwiseBinaryProblem): KernelCall {
  const { rows, width, a, b, y, operation } = problem;
  const op = 'elementwise-binary';
  const { rows: bRows, divide = 1, scalar = false } = b.broadcast ?? { rows };
  requireSizes(op, { rows, width, 'b.broadcast.rows': bRows, 'b.broadcast.divide': divide });
  requirePitch(op, 'a', { width, pitch: a.pitch });
  requirePitch(op, 'b', { width: scalar ? 1 : width, pitch: b.pitch });
  requirePitch(op, 'y', { width, pitch: y.pitch });
  if (rows % (bRows * divide) !== 0) {
    throw new ShapeError({
      op,
      problem: 'the rows of b must repeat a whole number of times',
      expected: `a divisor of ${rows} rows`,
      received: `${bRows} rows for ${divide} each`,
    });
  }
  const columns = y.pitch / 4;
  const count = rows * columns;
  const range = flatRows(rows, columns);
  const beta = (problem.beta ?? 1) * (operation === 'subtract' ? -1 : 1);
  const sameRows = bRows === rows && divide === 1;
  const repeated: RowRange = (first, end) => {
    const [from, to] = range(first, end);
    const [a, z] = [Math.floor(from / divide), Math.floor((to - 1) / divide)];
    const round = Math.floor(a / bRows) !== Math.floor(z / bRows);
    return round ? [0, bRows] : [a % bRows, (z % bRows) + 1];
  };
  return {
    kernel: 'elementwise-binary',
    source,
    libs: [inputLib(a.storage), weightLib(b.storage), outputLib(y.storage)],
    values: { OPERATION: OPERATION[operation], BROADCAST: !sameRows, SCALAR: scalar },
    bindings: [
      rowBinding('a', 'read', a, 'a_base', range),
      rowBinding('b', 'read', b, 'b_base', sameRows ? range : repeated),
      rowBinding('y', 'write', y, 'y_base', range),
    ],
    params: {
      ...{ count, width, a_pitch: a.pitch / 4, b_pitch: b.pitch / 4, y_pitch: columns },
      ...{ b_divide: divide, b_modulo: bRows },
      ...{ alpha: problem.alpha ?? 1, beta },
    },
    tiles: ceilDiv(count, FLAT_TILE),
    cost: {
      flops: rows * width * 3,
      bytes:
        rows * (a.pitch * storageBytes(a.storage) + y.pitch * storageBytes(y.storage)) +
        bRows * b.pitch * storageBytes(b.storage),
    },
  };
}

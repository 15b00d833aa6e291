import source from '../../wgsl/pack-weight.wgsl';
import { DTypeError } from '../core/errors.ts';
import { ceilDiv } from '../core/shape.ts';
import { PANEL } from './gemm.ts';
import type { KernelCall, Storage } from './kernel.ts';

/** Head widths of one side of a projection: `width` in the file, `padded` (a multiple of 8) in memory. */
export interface HeadSpread {
  /** Elements of a head in the file. */
  readonly width: number;
  /** Elements that it takes in memory. */
  readonly padded: number;
}

/** One tensor of a checkpoint on its way into packed form. */
export interface PackProblem {
  /** Type in the file: F32, F16 or BF16. */
  readonly from: 'F32' | 'F16' | 'BF16';
  /** Storage in device memory. */
  readonly to: Storage;
  /** Order in device memory: panels or rows. */
  readonly layout: 'panels' | 'rows';
  /** Sizes in the file: [outputs, inputs, taps]. */
  readonly outputs: number;
  /** Inputs of one tap in the file. */
  readonly inputs: number;
  /** Kernel height times width; 1 for matrices. */
  readonly taps: number;
  /** Rows [first, end) of outputs that the source buffer holds, from its element 0 on. */
  readonly rows: readonly [first: number, end: number];
  /** Padded inputs of one tap (panels) or pitch (rows). */
  readonly k: number;
  /** First column, and how many padded columns the tensor spans: multiples of 8. */
  readonly columnFirst?: number;
  /** Padded columns that the tensor spans; default the outputs. */
  readonly columns?: number;
  /** Spreads the outputs of a projection head by head. */
  readonly outHeads?: HeadSpread | undefined;
  /** Spreads the inputs likewise. */
  readonly inHeads?: HeadSpread | undefined;
  /** Panels alternate values and gates, which lie behind each other in the file. */
  readonly geglu?: boolean | undefined;
}

const SOURCE = { F32: 0, F16: 1, BF16: 2 } as const;
const TARGET: Record<Storage, number> = { f32: 0, f16: 1, 'f16-packed': 1, 'bf16-packed': 2 };

/**
 * Moves one tensor into panels [N/32][taps * k][32] or padded rows, converting its element type (f32 to f16 rounds to nearest
 * even). Padding is not written: the target starts as zeros. Bindings (u32 words): source, packed; for rows, packed starts
 * at the first row of `rows`, so that tables larger than a binding are filled piece by piece.
 *
 * @throws DTypeError for conversions that lose range: only bf16 becomes bf16
 */
export function packWeight(p: PackProblem): KernelCall {
  if (p.to === 'bf16-packed' && p.from !== 'BF16') {
    throw new DTypeError({
      op: 'packWeight',
      problem: 'only BF16 is kept as bfloat16',
      expected: 'BF16',
      received: p.from,
    });
  }
  const panels = p.layout === 'panels';
  const columns = p.columns ?? p.outputs;
  const elements = panels ? columns * p.taps * p.k : (p.rows[1] - p.rows[0]) * p.k;
  const words = p.to === 'f32' ? elements : ceilDiv(elements, 2);
  return {
    kernel: 'pack-weight',
    source,
    libs: [],
    values: { SOURCE: SOURCE[p.from], TARGET: TARGET[p.to], PANELS: panels },
    bindings: [
      { name: 'source', access: 'read' },
      { name: 'packed', access: 'update' },
    ],
    params: {
      ...{ words, source_base: 0, row_first: p.rows[0], row_end: p.rows[1] },
      ...{ outputs: p.outputs, inputs: p.inputs, taps: p.taps, k: p.k },
      ...{ column_first: p.columnFirst ?? 0, columns },
      ...{ out_true: p.outHeads?.width ?? 0, out_padded: p.outHeads?.padded ?? 0 },
      ...{ in_true: p.inHeads?.width ?? 0, in_padded: p.inHeads?.padded ?? 0 },
      ...{ geglu_half: p.geglu ? p.outputs / 2 : 0, pitch: p.k },
    },
    tiles: ceilDiv(words, 64),
    cost: { flops: 0, bytes: elements * 6 },
  };
}

/** Columns of memory that `outputs` take: heads spread out, or panels of values and gates. A multiple of 8. */
export function packedColumns(outputs: number, outHeads?: HeadSpread, geglu?: boolean): number {
  if (geglu) return ceilDiv(outputs / 2, PANEL) * 2 * PANEL;
  const spread = outHeads ? (outputs / outHeads.width) * outHeads.padded : outputs;
  return ceilDiv(spread, 8) * 8;
}

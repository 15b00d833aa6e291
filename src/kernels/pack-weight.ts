import source from '../../wgsl/pack-weight.wgsl';
import { DTypeError } from '../core/errors.ts';
import { ceilDiv } from '../core/shape.ts';
import { PANEL } from './gemm.ts';
import type { KernelCall, Storage } from './kernel.ts';
import type { PackedLayout } from './op.ts';

/** Head widths of one side of a projection: `width` in the file, `padded` (a multiple of 8) in memory. */
export interface HeadSpread {
  /** Elements of a head in the file. */
  readonly width: number;
  /** Elements that it takes in memory. */
  readonly padded: number;
}

/** Whole rows of a checkpoint on their way into whole panels, or into rows whose taps follow each other. */
export interface PackProblem {
  /** Type in the file: F32, F16 or BF16. */
  readonly from: 'F32' | 'F16' | 'BF16';
  /** Storage in device memory; bf16-packed only from BF16. */
  readonly to: Storage;
  /** Element of the source at which the first row starts. */
  readonly base: number;
  /** Rows; what they leave of the panels becomes zeros. */
  readonly rows: number;
  /** Inputs of one tap, in the file as in memory. */
  readonly k: number;
  /** Kernel height times width; 1 for matrices. */
  readonly taps: number;
  /** First panel, counted from the start of the bound target. */
  readonly panel: number;
  /** From one panel to the next: 2 where values and gates alternate. */
  readonly step: number;
  /** How many panels are written. */
  readonly panels: number;
  /** `rows`: [taps * k] each, 32 of them where a panel would lie; `k` is even then. Default panels. */
  readonly layout?: PackedLayout | undefined;
  /** Where it lies in rows: how many the target has, from its start on; default whole panels. */
  readonly columns?: number | undefined;
}

const SOURCE = { F32: 0, F16: 1, BF16: 2 } as const;
const TARGET: Record<Storage, number> = { f32: 0, f16: 1, 'f16-packed': 1, 'bf16-packed': 2 };
/** Elements of 32 rows that one workgroup moves, or inputs of four; as in the text. */
const BLOCK = 64;
const FOUR = 4;

/**
 * Moves rows [rows][k][taps] into panels [32 columns][taps * k][32], through workgroup memory so that memory is read and written in
 * order; or into rows [columns][taps * k]. f32 becomes f16 to nearest even. Bindings (u32 words): source, packed.
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
  const length = p.k * p.taps;
  const along = p.layout === 'rows';
  const blocks = ceilDiv(along ? p.k : length, BLOCK);
  return {
    kernel: 'pack-weight',
    source,
    libs: [],
    values: { SOURCE: SOURCE[p.from], TARGET: TARGET[p.to], ALONG: along },
    bindings: [
      { name: 'source', access: 'read' },
      { name: 'packed', access: 'update' },
    ],
    params: {
      ...{ source_base: p.base, rows: p.rows, length, taps: p.taps, k: p.k },
      ...{ panel_first: p.panel, panel_step: p.step, blocks },
      columns: p.columns ?? (p.panel + p.panels * p.step) * PANEL,
    },
    tiles: p.panels * blocks * (along ? PANEL / FOUR : 1),
    cost: { flops: 0, bytes: p.panels * PANEL * length * (p.to === 'f32' ? 8 : 4) },
  };
}

/** Columns of memory that `outputs` take: heads spread out, or panels of values and gates. A multiple of 8. */
export function packedColumns(outputs: number, outHeads?: HeadSpread, geglu?: boolean): number {
  if (geglu) return ceilDiv(outputs / 2, PANEL) * 2 * PANEL;
  const spread = outHeads ? (outputs / outHeads.width) * outHeads.padded : outputs;
  return ceilDiv(spread, 8) * 8;
}

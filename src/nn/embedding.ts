import type { DType } from '../core/dtype.ts';
import { embed } from '../tensor/ops/embedding.ts';
import type { Parameter } from '../tensor/parameter.ts';
import type { Recorder, Tensor } from '../tensor/tensor.ts';
import { Module } from './module.ts';
import type { Weights } from './weights.ts';

/**
 * Rows of a table by number.
 *
 * @see torch.nn.Embedding
 */
export class Embedding extends Module {
  readonly table: Parameter;
  readonly count: number;
  readonly width: number;

  /** `name` is the table's tensor under the cursor, 'weight' in torch. */
  constructor(w: Weights, o: { readonly count: number; readonly width: number; readonly name?: string }) {
    super(w);
    this.table = w.table(o.name ?? 'weight', o.count, o.width);
    this.count = o.count;
    this.width = o.width;
  }

  /** ids uint32 [N, L] -> [N, L, D]; ids beyond the table give zeros. */
  forward(ids: Tensor, dtype?: DType): Tensor {
    return embed(ids, { table: this.table, count: this.count, width: this.width }, dtype);
  }

  /** Rows [start, start + count) of the table, as for positions -> [1, count, D] */
  rows(graph: Recorder, start: number, count: number): Tensor {
    const ids = graph.constant(
      Array.from({ length: count }, (_, i) => start + i),
      [1, count],
      'uint32',
    );
    return this.forward(ids);
  }
}

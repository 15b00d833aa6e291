import type { DType } from '../core/dtype.ts';
import { embed } from '../tensor/ops/embedding.ts';
import type { Parameter } from '../tensor/parameter.ts';
import type { Recorder, Tensor } from '../tensor/tensor.ts';
import { Module } from './module.ts';
import type { Weights } from './weights.ts';

/** What an Embedding is made of. */
export interface EmbeddingOptions {
  /** V: rows of the table. */
  readonly count: number;
  /** D: channels of a row. */
  readonly width: number;
  /** The table's tensor under the cursor; default 'weight', as in torch. */
  readonly name?: string | undefined;
  /** The same [V, D] as the matrix of a linear layer, which then lies on the device once, for both. */
  readonly tied?: Parameter | undefined;
}

/**
 * Rows of a table by number.
 *
 * @see torch.nn.Embedding
 */
export class Embedding extends Module {
  readonly table: Parameter;
  readonly count: number;
  readonly width: number;

  constructor(w: Weights, o: EmbeddingOptions) {
    super(w);
    this.table = o.tied ?? w.table(o.name ?? 'weight', o.count, o.width);
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

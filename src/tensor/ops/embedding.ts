/** Rows of a table by number, as a recorded node; tables larger than a binding are read window by window. */
import type { DType } from '../../core/dtype.ts';
import { embedding, embeddingWindows } from '../../kernels/embedding.ts';
import { gatherColumns } from '../../kernels/gather-columns.ts';
import type { Parameter } from '../parameter.ts';
import type { Lowering, Node, Tensor } from '../tensor.ts';

export interface EmbeddingOptions {
  readonly table: Parameter;
  readonly count: number;
  readonly width: number;
}

class EmbeddingNode implements Node {
  readonly kind = 'embedding';
  readonly output: Tensor;
  readonly #ids: Tensor;
  readonly #options: EmbeddingOptions;

  constructor(ids: Tensor, options: EmbeddingOptions, dtype: DType) {
    this.#ids = ids;
    this.#options = options;
    this.output = ids.graph.allocate([...ids.shape, options.width], dtype);
  }

  inputs(): readonly Tensor[] {
    return [this.#ids];
  }

  lower(l: Lowering): void {
    const { table, count, width } = this.#options;
    const { k: pitch, storage, layout } = table;
    const rows = { rows: count, pitch, storage, layout };
    const ids = this.#ids;
    for (const window of embeddingWindows(l.caps, rows)) {
      const call = embedding({
        items: ids.rows,
        length: ids.width,
        idsPitch: ids.pitch,
        width,
        table: rows,
        window,
        output: l.storage(this.output.dtype),
      });
      const { buffer, offset } = table.slice;
      const bound = { slice: { buffer, offset: offset + window.offset, size: window.size }, parameter: table };
      l.emit(call, { ids, table: bound, y: this.output });
    }
  }
}

/** ids uint32 [N, L] -> [N, L, width] in `dtype`, the graph's by default; ids beyond the table give zeros. */
export function embed(ids: Tensor, options: EmbeddingOptions, dtype: DType = ids.graph.dtype): Tensor {
  return ids.graph.push(new EmbeddingNode(ids, options, dtype));
}

class EmbeddingColumnsNode implements Node {
  readonly kind = 'embedding-columns';
  readonly output: Tensor;
  readonly #ids: Tensor;
  readonly #options: EmbeddingOptions;

  constructor(ids: Tensor, options: EmbeddingOptions) {
    this.#ids = ids;
    this.#options = options;
    this.output = ids.graph.allocate([options.width, ids.width], 'float32');
  }

  inputs(): readonly Tensor[] {
    return [this.#ids];
  }

  lower(l: Lowering): void {
    const { table, count, width } = this.#options;
    const rows = { rows: count, pitch: table.k, storage: table.storage };
    l.emit(gatherColumns({ n: this.#ids.width, width, table: rows }), { ids: this.#ids, table, y: this.output });
  }
}

/** ids uint32 [1, n] -> f32 [width, n]: the rows of a table as columns, as an attention bias by distance wants them. */
export function embedColumns(ids: Tensor, options: EmbeddingOptions): Tensor {
  return ids.graph.push(new EmbeddingColumnsNode(ids, options));
}

/** Attention as a recorded node; the kernel never stores the scores. */
import { ShapeError } from '../../core/errors.ts';
import { type AttentionBias, type AttentionProblem, attention as attentionCall } from '../../kernels/attention.ts';
import type { Lowering, Node, Tensor } from '../tensor.ts';

/** Heads side by side in the rows of a tensor, from channel `offset` on. */
export interface HeadRows {
  readonly tensor: Tensor;
  readonly offset: number;
}

export interface Heads {
  readonly heads: number;
  /** Stored width of a head, a multiple of 8. */
  readonly headWidth: number;
  readonly scale: number;
}

export interface AttentionMasks {
  /** Position i sees positions 0 to i. */
  readonly causal?: boolean | undefined;
  /**
   * f32 [heads or 1, positions, S], added to the scores, row = absolute position of the query; or [heads or 1, 2 n - 1], where
   * element n - 1 + d is for keys d positions behind (before, where negative) the query: n at least S and all positions.
   */
  readonly bias?: Tensor | undefined;
  /** f32 [N, S], added to the scores: 0 or a large negative number. */
  readonly keyMask?: Tensor | undefined;
  /** uint32 [1, 2]: key count and position of the first query, read at run time (decoding with a cache). */
  readonly lengths?: Tensor | undefined;
  /** Position of the first query among the keys. */
  readonly queryStart?: number | undefined;
}

class AttentionNode implements Node {
  readonly kind = 'attention';
  readonly output: Tensor;
  readonly #q: HeadRows;
  readonly #k: HeadRows;
  readonly #v: HeadRows;
  readonly #heads: Heads;
  readonly #masks: AttentionMasks;

  constructor(q: HeadRows, k: HeadRows, v: HeadRows, heads: Heads, masks: AttentionMasks) {
    this.#q = q;
    this.#k = k;
    this.#v = v;
    this.#heads = heads;
    this.#masks = masks;
    const { graph, shape } = q.tensor;
    this.output = graph.allocate([...shape.slice(0, -1), heads.heads * heads.headWidth], graph.dtype);
  }

  inputs(): readonly Tensor[] {
    const { bias, keyMask, lengths } = this.#masks;
    return [this.#q.tensor, this.#k.tensor, this.#v.tensor, bias, keyMask, lengths].filter(t => t !== undefined);
  }

  lower(l: Lowering): void {
    const { bias, keyMask, lengths, causal, queryStart } = this.#masks;
    const q = this.#q.tensor;
    const rows = (h: HeadRows) => ({ pitch: h.tensor.pitch, offset: h.offset, storage: l.storage(h.tensor.dtype) });
    const problem: AttentionProblem = {
      batch: q.dim(0),
      queries: q.dim(1),
      keys: this.#k.tensor.dim(1),
      kvBatch: this.#k.tensor.dim(0),
      ...this.#heads,
      q: rows(this.#q),
      k: rows(this.#k),
      v: rows(this.#v),
      out: rows({ tensor: this.output, offset: 0 }),
      causal,
      queryStart,
      bias: bias && biasOf(bias),
      keyMask: keyMask && { pitch: keyMask.pitch },
      dynamicLength: lengths !== undefined,
    };
    l.emit(attentionCall(l.caps, problem, l.tuning), {
      q,
      k: this.#k.tensor,
      v: this.#v.tensor,
      bias: bias ?? q,
      key_mask: keyMask ?? q,
      lengths: lengths ?? q,
      out: this.output,
    });
  }
}

function biasOf(bias: Tensor): AttentionBias {
  const [heads, pitch] = [bias.dim(0), bias.pitch];
  if (bias.shape.length === 2) return { heads, pitch, headPitch: pitch, origin: (bias.width - 1) / 2 };
  return { heads, pitch, headPitch: bias.dim(1) * pitch };
}

/** softmax(scale q k^T + masks) v: q [N, L, ...], k and v [N or a divisor, S, ...] -> [N, L, heads * headWidth]. */
export function attention(q: HeadRows, k: HeadRows, v: HeadRows, heads: Heads, masks: AttentionMasks = {}): Tensor {
  if (q.tensor.shape.length !== 3 || k.tensor.shape.length !== 3 || q.tensor.dim(0) % k.tensor.dim(0) !== 0) {
    throw new ShapeError({
      op: 'attention',
      problem: 'queries and keys are tokens, and the batch of keys divides the batch of queries',
      received: { q: q.tensor.shape, k: k.tensor.shape },
      fix: 'Repeat or slice the context.',
    });
  }
  return q.tensor.graph.push(new AttentionNode(q, k, v, heads, masks));
}

/**
 * Flash attention: out = softmax(scale * q k^T + bias + mask) v per batch and head. This file checks one description,
 * picks attention-broadcast or attention-tile, and fills in their shared uniform words.
 */
import broadcast from '../../wgsl/attention-broadcast.wgsl';
import tile from '../../wgsl/attention-tile.wgsl';
import { ceilDiv } from '../core/shape.ts';
import type { Caps } from '../gpu/caps.ts';
import { type AttentionProblem, checkAttention } from './attention-problem.ts';
import { chooseFamily, type Family, type KernelCall, storageBytes } from './kernel.ts';
import { inputLib, outputLib, weightLib } from './libs.ts';

export type { AttentionBias, AttentionProblem, AttentionRows } from './attention-problem.ts';

/**
 * Attention that never stores the scores; sums and statistics in f32.
 *
 *     out[n, i, h] = sum_j w_ij v[n, j, h],   w_i = softmax_j(scale * q[n, i, h] . k[n, j, h] + bias[h, i, j] + mask[n, j])
 *
 * Additive terms below -1e30 count as -1e30, so a row whose every key is masked so averages them; a row that sees no key
 * at all (causality, a key count of 0) is zero.
 * Bindings: q, k, v, bias, key_mask, lengths, out; bind q where the problem has no bias, key_mask or lengths.
 *
 * @returns a call of batch * heads * ceil(queries / rows) * slices tiles
 * @throws ShapeError for sizes that are no positive integers, widths, pitches or offsets that are no multiples of 4, heads
 * past the end of a row, and batches that kvBatch does not divide
 * @see Dao et al. 2022, FlashAttention, https://arxiv.org/abs/2205.14135; torch scaled_dot_product_attention
 */
export function attention(caps: Caps, problem: AttentionProblem): KernelCall {
  checkAttention(problem);
  const family = chooseFamily(caps, problem.family);
  const { batch, heads, queries, keys, headWidth } = problem;
  const plan = attentionTiles(family, caps, queries, headWidth);
  const rowTiles = ceilDiv(queries, plan.rows);
  const { kvBatch = batch } = problem;
  const bytes =
    batch * queries * heads * headWidth * (storageBytes(problem.q.storage) + storageBytes(problem.out.storage)) +
    2 * kvBatch * keys * heads * headWidth * storageBytes(problem.k.storage);
  return {
    kernel: family === 'broadcast' ? 'attention-broadcast' : 'attention-tile',
    source: family === 'broadcast' ? broadcast : tile,
    libs: [inputLib(problem.q.storage), weightLib(problem.k.storage), outputLib(problem.out.storage)],
    values: {
      ...(family === 'broadcast' ? { LANES: caps.subgroupSize, SINGLE: queries === 1 } : {}),
      BLOCKS: plan.blocks,
      ADDITIVE: problem.bias !== undefined || problem.keyMask !== undefined,
    },
    bindings: [
      ...(['q', 'k', 'v', 'bias', 'key_mask', 'lengths'] as const).map(name => ({ name, access: 'read' as const })),
      { name: 'out', access: 'write' },
    ],
    params: words(problem, rowTiles, plan.slices),
    tiles: batch * heads * rowTiles * plan.slices,
    cost: { flops: 4 * batch * heads * queries * keys * headWidth, bytes },
  };
}

/** How one problem is cut: queries of a tile, blocks of columns that an invocation sums, slices of a head. */
export interface AttentionTiles {
  readonly rows: number;
  readonly blocks: number;
  readonly slices: number;
}

/**
 * The cut of a head of `headWidth` elements. A head wider than the most blocks takes slices, which repeat its scores: on
 * lavapipe a head of 512 in 4 slices runs at 7 GFLOP/s where one of 160 in a single slice runs at 25. Software that must
 * run the tile family takes one block, because its compiler needs 2 s for one block with barriers and 5 s for three.
 */
export function attentionTiles(
  family: Family,
  caps: Pick<Caps, 'software' | 'subgroupSize'>,
  queries: number,
  headWidth: number,
): AttentionTiles {
  const lanes = family === 'broadcast' ? caps.subgroupSize : 16;
  const most = family === 'broadcast' ? 5 : caps.software ? 1 : 4;
  const needed = ceilDiv(headWidth / 4, lanes);
  const slices = ceilDiv(needed, most);
  const rows = family === 'tile' ? 64 : Math.min(lanes, 8);
  return { rows: family === 'broadcast' && queries === 1 ? 1 : rows, blocks: ceilDiv(needed, slices), slices };
}

function words(p: AttentionProblem, rowTiles: number, slices: number): KernelCall['params'] {
  const { q, k, v, out, batch, kvBatch = batch } = p;
  return {
    ...{ queries: p.queries, keys: p.keys, heads: p.heads, head4: p.headWidth / 4 },
    ...{ row_tiles: rowTiles, slices },
    ...{ q_pitch: q.pitch / 4, q_offset: (q.offset ?? 0) / 4 },
    ...{ k_pitch: k.pitch / 4, k_offset: (k.offset ?? 0) / 4 },
    ...{ v_pitch: v.pitch / 4, v_offset: (v.offset ?? 0) / 4 },
    ...{ out_pitch: out.pitch / 4, out_offset: (out.offset ?? 0) / 4 },
    kv_rows: p.kvPitchRows ?? p.keys,
    kv_divide: p.kvRepeat === 'interleaved' ? 1 : batch / kvBatch,
    kv_batches: kvBatch,
    query_start: p.queryStart ?? 0,
    ...{ causal: p.causal ? 1 : 0, dynamic: p.dynamicLength ? 1 : 0 },
    ...{ has_bias: p.bias ? 1 : 0, has_mask: p.keyMask ? 1 : 0 },
    bias_head: p.bias && p.bias.heads > 1 ? p.bias.headPitch : 0,
    bias_pitch: p.bias?.origin === undefined ? (p.bias?.pitch ?? 0) : 0xffffffff, // -1: one position on, one distance less
    ...{ bias_first: p.bias?.origin ?? 0, mask_pitch: p.keyMask?.pitch ?? 0 },
    scale: p.scale * Math.LOG2E,
  };
}

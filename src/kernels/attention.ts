/**
 * Flash attention: out = softmax(scale * q k^T + bias + mask) v per batch and head. This file lists the variants and fills in
 * the uniform words that they share.
 */
import tileSource from '../../wgsl/attention-tile.wgsl';
import sharedLib from '../../wgsl/lib/attention.wgsl';
import { alignUp, ceilDiv } from '../core/shape.ts';
import type { Caps } from '../gpu/caps.ts';
import { attentionMatrix } from './attention-matrix.ts';
import { type AttentionProblem, checkAttention, isAdditive } from './attention-problem.ts';
import { attentionBindings } from './attention-windows.ts';
import { familyText } from './family-texts.ts';
import { canBroadcast, type KernelCall, pinned, RANK, storageBytes } from './kernel.ts';
import { outputLib, pairedLibs } from './libs.ts';
import { callOf, type Op, type Tuning, type Variant } from './op.ts';

export type { AttentionBias, AttentionProblem, AttentionRows } from './attention-problem.ts';

/** Invocations along the columns of a head in a workgroup of attention-tile. */
function columnsOf(threads: number): number {
  return threads / 8;
}

/**
 * Blocks of columns that an invocation sums, where `lanes` of them share a head of `headWidth` elements and one holds `most`. A
 * head wider than that takes slices, which repeat its scores: on lavapipe a head of 512 in 4 slices runs at 7 GFLOP/s where one
 * of 160 in a single slice runs at 25.
 */
function blocksOf(headWidth: number, lanes: number, most: number): number {
  const needed = ceilDiv(headWidth / 4, lanes);
  return ceilDiv(needed, ceilDiv(needed, most));
}

const broadcast: Variant<AttentionProblem, { readonly LANES: number; readonly BLOCKS: number }> = {
  stem: 'attention-broadcast',
  fits: canBroadcast,
  rank: RANK.broadcast,
  tiles: ({ subgroupSize }, { headWidth }) => ({ LANES: subgroupSize, BLOCKS: blocksOf(headWidth, subgroupSize, 5) }),
  candidates: ({ subgroupSize }, { headWidth }) =>
    [1, 2, 3, 4, 5].map(most => ({ LANES: subgroupSize, BLOCKS: blocksOf(headWidth, subgroupSize, most) })),
  call: (_, problem, tiles) => {
    const single = problem.queries === 1;
    const cut = { rows: single ? 1 : Math.min(tiles.LANES, 8), columns: tiles.LANES * tiles.BLOCKS };
    const program = { kernel: 'attention-broadcast', source: familyText('attention-broadcast') };
    return attentionCall(program, problem, { ...tiles, SINGLE: single, ADDITIVE: isAdditive(problem) }, cut);
  },
};

/** Scores from which the wide tiles of attention-broadcast-wide repay their compilation: three to six times the narrow text's. */
const MANY_SCORES = 2 ** 17;

/** Columns of a head above which a lane takes two queries: LLVM 15 needs a minute for the sums of four. */
const WIDE_HEAD = 256;

const wide: Variant<AttentionProblem, { readonly LANES: number; readonly QUERIES: number; readonly COLUMNS: number }> =
  {
    stem: 'attention-broadcast-wide',
    // Its text leaves additive terms to the narrow one.
    fits: (caps, { bias, keyMask }) => canBroadcast(caps) && caps.subgroupSize <= 8 && !bias && !keyMask,
    // Never the rows of a cut batch, but those of one sequence: cutting changes no bit.
    rank: (caps, { queries, keys }) => RANK.broadcast(caps) + (queries * keys >= MANY_SCORES ? -0.5 : 0.5),
    tiles: ({ subgroupSize }, { headWidth }) => ({
      ...{ LANES: subgroupSize, QUERIES: headWidth > WIDE_HEAD ? 2 : 4, COLUMNS: alignUp(headWidth / 4, 16) },
    }),
    candidates: ({ subgroupSize }, { headWidth }) =>
      (headWidth > WIDE_HEAD ? [2] : [2, 4]).map(QUERIES => {
        return { LANES: subgroupSize, QUERIES, COLUMNS: alignUp(headWidth / 4, 16) };
      }),
    call: (_, problem, tiles) => {
      const program = { kernel: 'attention-broadcast-wide', source: familyText('attention-broadcast-wide') };
      return attentionCall(program, problem, tiles, { rows: tiles.LANES * tiles.QUERIES, columns: tiles.COLUMNS });
    },
  };

/** By Metal's name of the maker, or by that of the card where a driver of others' tells it. */
function isApple({ vendor, device }: Caps): boolean {
  return /apple/i.test(`${vendor} ${device}`);
}

/** Whose compiler takes two blocks of sums as fast as one; slices repeat scores. */
function isSwiftShader({ architecture, description }: Caps): boolean {
  return /swiftshader/i.test(`${architecture} ${description}`);
}

/** How attention-tile cuts a head. */
type AttentionTile = { readonly THREADS: number; readonly KEYS: number; readonly BLOCKS: number };

/** All cuts that the text and the device take; software compiles all but the smallest for seconds. */
function tileCandidates(caps: Caps, { headWidth }: AttentionProblem): AttentionTile[] {
  if (caps.software) return [{ THREADS: 128, KEYS: 32, BLOCKS: 1 }];
  const threads = [128, 256].filter(count => count <= caps.maxInvocations);
  return threads.flatMap(THREADS =>
    (THREADS === 128 ? [32, 64] : [64]).flatMap(KEYS =>
      [1, 2].map(most => ({ THREADS, KEYS, BLOCKS: blocksOf(headWidth, columnsOf(THREADS), most) })),
    ),
  );
}

const tile: Variant<AttentionProblem, AttentionTile> = {
  stem: 'attention-tile',
  fits: () => true,
  rank: RANK.tile,
  // Lavapipe takes the fewest sums an invocation, because its compiler needs seconds for more; the M1 spills more of them.
  tiles: (caps, { headWidth }) => {
    const few = caps.software || isApple(caps);
    const THREADS = headWidth > 4 * columnsOf(128) && !caps.software && caps.maxInvocations >= 256 ? 256 : 128;
    const KEYS = few && THREADS === 128 ? 32 : 64;
    const most = few && !isSwiftShader(caps) ? 1 : 2;
    return { THREADS, KEYS, BLOCKS: blocksOf(headWidth, columnsOf(THREADS), most) };
  },
  candidates: tileCandidates,
  call: (caps, problem, tiles) => {
    const program = { kernel: 'attention-tile', source: pinned(caps, tileSource) };
    const PAIRED = caps.pins32 === true && /^rdna-[3-9]/.test(caps.architecture);
    const values = { ...tiles, ADDITIVE: isAdditive(problem), PAIRED };
    return attentionCall(program, problem, values, { rows: 64, columns: columnsOf(tiles.THREADS) * tiles.BLOCKS });
  },
};

/** Attention that never stores the scores. */
export const ATTENTION: Op<AttentionProblem> = {
  name: 'attention',
  check: checkAttention,
  tunedBy: [
    ...['heads', 'queries', 'keys', 'headWidth', 'q.storage', 'k.storage', 'out.storage'],
    ...['causal', 'bias', 'keyMask', 'dynamicLength'],
  ],
  variants: [broadcast, wide, tile, attentionMatrix(attentionCall)],
};

/**
 * Attention that never stores the scores; sums and statistics in f32.
 *
 *     out[n, i, h] = sum_j w_ij v[n, j, h],   w_i = softmax_j(scale * q[n, i, h] . k[n, j, h] + bias[h, i, j] + mask[n, j])
 *
 * Additive terms below -1e30 count as -1e30, so a row whose every key is masked so averages them; a row that sees no key
 * at all (causality, a key count of 0) is zero.
 * Bindings: q, k, v, bias, key_mask, lengths, out; bind q where the problem has no bias, key_mask or lengths.
 *
 * @throws ShapeError for sizes that are no positive integers, widths, pitches or offsets that are no multiples of 4, heads
 * past the end of a row, and batches that kvBatch does not divide
 * @see Dao et al. 2022, FlashAttention, https://arxiv.org/abs/2205.14135; torch scaled_dot_product_attention
 */
export function attention(caps: Caps, problem: AttentionProblem, tuning?: Tuning): KernelCall {
  return callOf(ATTENTION, caps, problem, tuning);
}

/** The call of one of the texts; `cut` is a tile: queries by vec4 columns of a head. */
function attentionCall(
  program: Pick<KernelCall, 'kernel' | 'source'>,
  problem: AttentionProblem,
  values: KernelCall['values'],
  cut: { readonly rows: number; readonly columns: number },
): KernelCall {
  const { batch, heads, queries, keys, headWidth, kvBatch = batch } = problem;
  const rowTiles = ceilDiv(queries, cut.rows);
  const slices = ceilDiv(headWidth / 4, cut.columns);
  const bytes =
    batch * queries * heads * headWidth * (storageBytes(problem.q.storage) + storageBytes(problem.out.storage)) +
    2 * kvBatch * keys * heads * headWidth * storageBytes(problem.k.storage);
  return {
    ...program,
    libs: [...pairedLibs(problem.q.storage, problem.k.storage), outputLib(problem.out.storage), sharedLib],
    values,
    bindings: attentionBindings(problem, { rows: cut.rows, rowTiles, slices }),
    params: words(problem, rowTiles, slices),
    tiles: batch * heads * rowTiles * slices,
    cost: { flops: 4 * batch * heads * queries * keys * headWidth, bytes },
  };
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
    // The dispatcher fills the starts of windows; what the call does without starts at 0.
    ...(p.bias ? {} : { bias_base: 0 }),
    ...(p.keyMask ? {} : { mask_base: 0 }),
  };
}

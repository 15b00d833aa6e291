/**
 * Which part of each operand a range of attention's tiles touches, so that operands larger than one binding are bound in windows:
 * rows of q and out, whole batches of k and v, heads of the bias, batches of the mask.
 */
import type { AttentionProblem, AttentionRows } from './attention-problem.ts';
import { type KernelBinding, unread } from './kernel.ts';
import { rowBinding, wordBinding } from './rows.ts';

/** How tiles count: slices fastest, then tiles of rows, heads and batches. */
export interface AttentionCut {
  /** Queries of a tile. */
  readonly rows: number;
  /** Tiles that the queries of a batch take. */
  readonly rowTiles: number;
  /** Tiles that the columns of a head take. */
  readonly slices: number;
}

type Span = readonly [first: number, end: number];

/** The heads of a range of tiles, counted over all batches. */
function headsOf(cut: AttentionCut, first: number, end: number): Span {
  const tiles = cut.rowTiles * cut.slices;
  return [Math.floor(first / tiles), Math.floor((end - 1) / tiles) + 1];
}

/** The batches of a range of tiles. */
function batchesOf(p: AttentionProblem, cut: AttentionCut, first: number, end: number): Span {
  const [from, to] = headsOf(cut, first, end);
  return [Math.floor(from / p.heads), Math.floor((to - 1) / p.heads) + 1];
}

/** Rows of q and out: some of a batch within one head, else all of its batches. */
function queriesOf(p: AttentionProblem, cut: AttentionCut, first: number, end: number): Span {
  const [from, to] = headsOf(cut, first, end);
  const [batch, last] = batchesOf(p, cut, first, end);
  if (to - from > 1) return [batch * p.queries, last * p.queries];
  const row = (tile: number) => (Math.floor(tile / cut.slices) % cut.rowTiles) * cut.rows;
  const begin = batch * p.queries;
  return [begin + row(first), begin + Math.min(row(end - 1) + cut.rows, p.queries)];
}

/** Batches of k and v; all where those of the queries go round. */
function contextsOf(p: AttentionProblem, cut: AttentionCut, first: number, end: number): Span {
  const { batch, kvBatch = batch } = p;
  const [from, to] = batchesOf(p, cut, first, end);
  const of = (n: number) => (p.kvRepeat === 'interleaved' ? n % kvBatch : Math.floor((n * kvBatch) / batch));
  const [begin, last] = [of(from), of(to - 1)];
  const round = p.kvRepeat === 'interleaved' && (last < begin || to - from > kvBatch);
  return round ? [0, kvBatch] : [begin, last + 1];
}

/** A tile sees all keys and values of its batch. */
function shrinksOf({ storage }: AttentionRows): string {
  return storage === 'f32'
    ? 'a smaller picture or a shorter text, dtype float16'
    : 'a smaller picture or a shorter text';
}

/** The bindings of a call, in windows where they are larger than one binding. */
export function attentionBindings(p: AttentionProblem, cut: AttentionCut): KernelBinding[] {
  const { bias, keyMask, dynamicLength, keys, kvPitchRows = keys } = p;
  const queries = (first: number, end: number) => queriesOf(p, cut, first, end);
  const contexts = (first: number, end: number): Span => {
    const [from, to] = contextsOf(p, cut, first, end);
    return [from * kvPitchRows, to * kvPitchRows];
  };
  return [
    rowBinding('q', 'read', p.q, 'q_base', queries),
    { ...rowBinding('k', 'read', p.k, 'k_base', contexts), shrinks: shrinksOf(p.k) },
    { ...rowBinding('v', 'read', p.v, 'v_base', contexts), shrinks: shrinksOf(p.v) },
    bias
      ? wordBinding('bias', 'read', 'bias_base', (a, b) => biasOf(p, bias.heads, bias.headPitch, headsOf(cut, a, b)))
      : unread('bias'),
    keyMask
      ? wordBinding('key_mask', 'read', 'mask_base', (a, b) => {
          const [from, to] = batchesOf(p, cut, a, b);
          return [from * keyMask.pitch, to * keyMask.pitch];
        })
      : unread('key_mask'),
    dynamicLength ? { name: 'lengths', access: 'read' } : unread('lengths'),
    rowBinding('out', 'write', p.out, 'out_base', queries),
  ];
}

/** Elements of the bias that heads [first, end), counted over all batches, add. */
function biasOf(p: AttentionProblem, heads: number, headPitch: number, [first, end]: Span): Span {
  if (heads === 1) return [0, headPitch];
  const [from, to] = [first % p.heads, ((end - 1) % p.heads) + 1];
  const oneBatch = Math.floor(first / p.heads) === Math.floor((end - 1) / p.heads);
  return oneBatch ? [from * headPitch, to * headPitch] : [0, heads * headPitch];
}

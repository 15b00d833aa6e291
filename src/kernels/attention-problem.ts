/** What an attention problem says, and what it must satisfy before any GPU work. */
import { DTypeError, ShapeError } from '../core/errors.ts';
import type { Storage } from './kernel.ts';

/** Where rows lie in a buffer, in elements: row r of batch n, head h at (n * rows + r) * pitch + offset + h * E. */
export interface AttentionRows {
  /** Elements from one row to the next, a multiple of 4 that holds all heads. */
  readonly pitch: number;
  /** Element of a row at which head 0 begins, a multiple of 4; default 0. */
  readonly offset?: number | undefined;
  /** Form of the elements; keys and values also bf16-packed. */
  readonly storage: Storage;
}

/**
 * [heads, positions, pitch], row = absolute query position; or, with `origin`, [heads, distances]: the bias of a key depends on
 * key position - query position alone, and element `origin` of a head is that of distance 0.
 */
export interface AttentionBias {
  /** Heads that the bias has: 1, which serves all, or as many as the problem. */
  readonly heads: number;
  /** Elements from one position to the next; of no account with `origin`. */
  readonly pitch: number;
  /** Elements from one head to the next. */
  readonly headPitch: number;
  /** Element of a head that stands for distance 0; left out where the bias goes by position. */
  readonly origin?: number | undefined;
}

/** Queries [N * L, pitch] against keys and values [B * S, pitch], heads side by side in a row. */
export interface AttentionProblem {
  /** N: sequences of queries. */
  readonly batch: number;
  /** A: heads side by side in a row. */
  readonly heads: number;
  /** Rows of q and out in a batch. */
  readonly queries: number;
  /** Rows of k and v that count, in a batch; with `dynamicLength` their upper bound. */
  readonly keys: number;
  /** E: stored width of a head, a multiple of 4. Columns past the true width hold zero. */
  readonly headWidth: number;
  /** Rows of the queries. */
  readonly q: AttentionRows;
  /** Rows of the keys. */
  readonly k: AttentionRows;
  /** In k's storage. */
  readonly v: AttentionRows;
  /** Columns right of the last head, up to the pitch, are written zero. */
  readonly out: AttentionRows;
  /** Multiplies q k^T; usually 1 / sqrt(true head width). */
  readonly scale: number;
  /** Distinct batches of keys and values, a divisor of `batch`; default `batch`. */
  readonly kvBatch?: number | undefined;
  /** Which of them batch n reads: floor(n * kvBatch / batch) (default) or n % kvBatch. */
  readonly kvRepeat?: 'consecutive' | 'interleaved' | undefined;
  /** Rows from one batch of k and v to the next; default `keys`. A cache's capacity. */
  readonly kvPitchRows?: number | undefined;
  /** Query at position i sees keys 0 to i. */
  readonly causal?: boolean | undefined;
  /** Position of query row 0 among the keys; default 0. */
  readonly queryStart?: number | undefined;
  /** Additive f32, one head serves all. */
  readonly bias?: AttentionBias | undefined;
  /** Additive f32 [batch, pitch]. */
  readonly keyMask?:
    | {
        /** Elements from one batch to the next, at least `keys`. */
        readonly pitch: number;
      }
    | undefined;
  /** The binding `lengths` holds [key count, query start] as u32, read at run time in place of `keys` and `queryStart`. */
  readonly dynamicLength?: boolean | undefined;
}

/** @throws ShapeError or DTypeError with the name of the field that does not fit */
export function checkAttention(p: AttentionProblem): void {
  const { batch, heads, queries, keys, headWidth, kvBatch = batch, kvPitchRows = keys, queryStart = 0 } = p;
  for (const [path, value] of Object.entries({ batch, heads, queries, keys, headWidth, kvBatch, kvPitchRows })) {
    if (!(Number.isInteger(value) && value > 0)) fail('a size must be a positive integer', value, path);
  }
  if (!(Number.isInteger(queryStart) && queryStart >= 0))
    fail('must be an integer from 0 on', queryStart, 'queryStart');
  if (headWidth % 4 !== 0) fail('must be a multiple of 4', headWidth, 'headWidth', 'Pad each head with zero columns.');
  for (const name of ['q', 'k', 'v', 'out'] as const) checkRows(p, name);
  if (p.v.storage !== p.k.storage) {
    throw new DTypeError({
      op: 'attention',
      problem: 'keys and values must have one storage form',
      expected: p.k.storage,
      received: p.v.storage,
      path: 'v.storage',
      fix: 'Convert one of them.',
    });
  }
  if (batch % kvBatch !== 0) {
    fail(`must divide the batch ${batch}`, kvBatch, 'kvBatch', 'Repeat the keys, or leave kvBatch out.');
  }
  if (kvPitchRows < keys) fail(`must hold ${keys} keys`, kvPitchRows, 'kvPitchRows', 'Enlarge the cache.');
  if (!Number.isFinite(p.scale)) fail('must be finite', p.scale, 'scale');
  checkAdditive(p);
}

function checkRows(p: AttentionProblem, name: 'q' | 'k' | 'v' | 'out'): void {
  const { pitch, offset = 0 } = p[name];
  if (!(Number.isInteger(pitch) && pitch > 0 && pitch % 4 === 0)) {
    fail('must be a positive multiple of 4', pitch, `${name}.pitch`, 'Pad the rows.');
  }
  if (!(Number.isInteger(offset) && offset >= 0 && offset % 4 === 0)) {
    fail('must be a multiple of 4', offset, `${name}.offset`, 'Start the heads on a whole vec4.');
  }
  const end = offset + p.heads * p.headWidth;
  if (end > pitch) {
    fail(
      `its ${p.heads} heads of ${p.headWidth} end at ${end}, past the row`,
      pitch,
      `${name}.pitch`,
      'Widen the rows.',
    );
  }
}

function checkAdditive(p: AttentionProblem): void {
  const { bias, keyMask } = p;
  if (bias) {
    if (bias.heads !== 1 && bias.heads !== p.heads) fail(`must be 1 or ${p.heads}`, bias.heads, 'bias.heads');
    if (bias.origin !== undefined) checkDistances(p, bias, bias.origin);
    else checkPositions(p, bias);
  }
  if (keyMask && !(Number.isInteger(keyMask.pitch) && keyMask.pitch >= p.keys)) {
    fail(`must be an integer and hold ${p.keys} keys`, keyMask.pitch, 'keyMask.pitch');
  }
}

function checkPositions(p: AttentionProblem, bias: AttentionBias): void {
  if (!(Number.isInteger(bias.pitch) && bias.pitch >= p.keys)) {
    fail(`must be an integer and hold ${p.keys} keys`, bias.pitch, 'bias.pitch');
  }
  const rows = (p.queryStart ?? 0) + p.queries;
  if (!(Number.isInteger(bias.headPitch) && bias.headPitch >= (p.dynamicLength ? p.queries : rows) * bias.pitch)) {
    fail(`must be an integer and hold ${rows} rows of ${bias.pitch}`, bias.headPitch, 'bias.headPitch');
  }
}

function checkDistances(p: AttentionProblem, bias: AttentionBias, origin: number): void {
  const last = (p.dynamicLength ? p.keys : (p.queryStart ?? 0) + p.queries) - 1;
  if (!(Number.isInteger(origin) && origin >= last)) {
    fail(`must be an integer and hold ${last} keys before it`, origin, 'bias.origin');
  }
  if (!(Number.isInteger(bias.headPitch) && bias.headPitch >= origin + p.keys)) {
    fail(`must be an integer and hold ${origin + p.keys} distances`, bias.headPitch, 'bias.headPitch');
  }
}

function fail(problem: string, received: number, path: string, fix = 'Correct the sizes of the call.'): never {
  throw new ShapeError({ op: 'attention', problem, received, path, fix });
}

/** Whether anything is added to scores: texts without it are shorter. */
export function isAdditive({ bias, keyMask }: AttentionProblem): boolean {
  return bias !== undefined || keyMask !== undefined;
}

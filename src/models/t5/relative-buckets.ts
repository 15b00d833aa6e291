/** Distance classes of T5's attention bias. Raffel et al. 2019, https://arxiv.org/abs/1910.10683, section 2.1. */

const { fround } = Math;

export interface BucketOptions {
  /** Keys behind the query count too, in the upper half of the classes; otherwise they share class 0 with the query. */
  readonly bidirectional: boolean;
  readonly buckets: number;
  readonly maxDistance: number;
}

/**
 * The class of a key: small distances have one each, larger ones share classes of logarithmic width.
 *
 *     b = d                                                     for d < n / 2
 *     b = min(n - 1, n / 2 + floor(log(d / (n / 2)) / log(maxDistance / (n / 2)) * n / 2))
 *
 * with d = max(0, -offset) and n = buckets; bidirectional: d = |offset|, n = buckets / 2, plus n for offset > 0.
 *
 * @param offset key position - query position
 * @returns 0 to buckets - 1
 * @see transformers T5Attention._relative_position_bucket
 */
export function relativeBucket(offset: number, { bidirectional, buckets, maxDistance }: BucketOptions): number {
  const n = bidirectional ? buckets / 2 : buckets;
  const base = bidirectional && offset > 0 ? n : 0;
  const distance = bidirectional ? Math.abs(offset) : Math.max(0, -offset);
  const exact = n / 2;
  if (distance < exact) return base + distance;
  // Single precision step by step, as the reference: at exact powers another rounding would choose another class.
  const ratio = fround(fround(Math.log(fround(distance / exact))) / fround(Math.log(maxDistance / exact)));
  return base + Math.min(n - 1, exact + Math.trunc(fround(ratio * (n - exact))));
}

/**
 * Classes of all distances between two of `length` positions.
 * @returns [2 length - 1], from key - query = 1 - length to length - 1
 */
export function bucketsByDistance(length: number, options: BucketOptions): number[] {
  return Array.from({ length: 2 * length - 1 }, (_, i) => relativeBucket(i - (length - 1), options));
}

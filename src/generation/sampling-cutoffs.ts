/** Processors of sampling: temperature and the cut-offs that leave only likely tokens. */
import { kthLargest, logSoftmax, maximum, softmax, sortedIndices, topIndices } from './numerics.ts';
import { ban, banWhere, eachRow, type LogitsProcessor } from './processor.ts';

const f32 = Math.fround;

/** s / T. @param value T > 0; below 1 sharpens @see transformers temperature */
export function temperature(value: number): LogitsProcessor {
  const divisor = f32(value);
  return eachRow(row => {
    for (let i = 0; i < row.length; i++) row[i] = (row[i] ?? 0) / divisor;
  });
}

/**
 * Bans what lies strictly below the k-th largest score: ties at the threshold survive, so more than k may remain.
 * @param k >= 1
 * @param keep fewest tokens to leave
 * @see transformers top_k
 */
export function topK(k: number, keep = 1): LogitsProcessor {
  return eachRow(row => {
    const threshold = kthLargest(row, Math.max(k, keep));
    banWhere(row, x => x < threshold);
  });
}

/**
 * Bans the least likely tokens whose probabilities sum up to 1 - p. Of equally likely tokens at the border those with
 * the lower ids go first (torch sorts unstably on processors with AVX, so there any of them may go).
 * @param p 0 to 1
 * @param keep fewest tokens to leave
 * @see Holtzman et al. 2020, https://arxiv.org/abs/1904.09751; transformers top_p
 */
export function topP(p: number, keep = 1): LogitsProcessor {
  const limit = f32(1 - p);
  return eachRow(row => {
    const ascending = row.slice().sort();
    const cumulative = cumulativeSum(softmax(ascending));
    let removed = 0;
    while (removed < row.length - keep && (cumulative[removed] ?? 0) <= limit) removed++;
    if (removed === 0) return;
    const border = ascending[removed - 1] ?? 0;
    let ties = removed - ascending.indexOf(border);
    banWhere(row, x => x < border || (x === border && ties-- > 0));
  });
}

/**
 * Bans tokens whose probability is below minP times the largest one.
 * @param minP 0 to 1
 * @param keep fewest tokens to leave
 * @see Nguyen et al. 2024, https://arxiv.org/abs/2407.01082; transformers min_p
 */
export function minP(minP: number, keep = 1): LogitsProcessor {
  return eachRow(row => {
    const probabilities = softmax(row);
    const threshold = f32(f32(minP) * maximum(probabilities));
    const kept = topIndices(row, keep);
    banWhere(row, (_, id) => (probabilities[id] ?? 0) < threshold && !kept.includes(id));
  });
}

/**
 * Keeps the tokens whose surprise is nearest to the entropy, until their probabilities reach the mass.
 * @param mass 0 to 1, both excluded
 * @param keep fewest tokens to leave
 * @see Meister et al. 2023, https://arxiv.org/abs/2202.00666; transformers typical_p
 */
export function typicalP(mass: number, keep = 1): LogitsProcessor {
  return eachRow(row => {
    const logs = logSoftmax(row);
    const entropy = entropyOf(logs);
    const distances = logs.map(log => Math.abs(f32(-log - entropy)));
    const order = sortedIndices(distances);
    const cumulative = cumulativeSum(softmax(Float32Array.from(order, id => row[id] ?? 0)));
    const inside = cumulative.filter(sum => sum < f32(mass)).length;
    const limit = distances[order[Math.min(inside, row.length - 1)] ?? 0] ?? 0;
    ban(
      row,
      order.subarray(keep).filter(i => (distances[i] ?? 0) > limit),
    );
  });
}

/**
 * Bans tokens whose probability is below epsilon.
 * @param epsilon 0 to 1, both excluded
 * @param keep fewest tokens to leave
 * @see Hewitt et al. 2022, https://arxiv.org/abs/2210.15191; transformers epsilon_cutoff
 */
export function epsilonCutoff(epsilon: number, keep = 1): LogitsProcessor {
  return eachRow(row => banUnlikely(row, softmax(row), f32(epsilon), keep));
}

/**
 * Bans tokens whose probability is below eta = min(epsilon, sqrt(epsilon) e^-entropy).
 * @param epsilon 0 to 1, both excluded
 * @param keep fewest tokens to leave
 * @see Hewitt et al. 2022, https://arxiv.org/abs/2210.15191; transformers eta_cutoff
 */
export function etaCutoff(epsilon: number, keep = 1): LogitsProcessor {
  const limit = f32(epsilon);
  return eachRow(row => {
    const logs = logSoftmax(row);
    const entropy = entropyOf(logs);
    const eta = Math.min(limit, f32(f32(Math.sqrt(limit)) * f32(Math.exp(-entropy))));
    banUnlikely(row, softmax(row), eta, keep);
  });
}

/** Log-softmax over what is left. @see transformers renormalize_logits */
export function renormalise(): LogitsProcessor {
  return eachRow(row => row.set(logSoftmax(row)));
}

function banUnlikely(row: Float32Array, probabilities: Float32Array, threshold: number, keep: number): void {
  const kept = kthLargest(row, keep);
  banWhere(row, (x, id) => (probabilities[id] ?? 0) < threshold && x < kept);
}

/** Running sums: in double precision, each rounded to float32. @see torch.cumsum */
function cumulativeSum(values: Float32Array): Float32Array {
  let total = 0;
  return values.map(value => {
    total += value;
    return total;
  });
}

/** -sum p ln p over the possible tokens, p = e^log. */
function entropyOf(logs: Float32Array): number {
  const terms = logs.map(log => (Number.isFinite(log) ? log * f32(Math.exp(log)) : 0));
  return -f32(terms.reduce((sum, term) => sum + term, 0));
}

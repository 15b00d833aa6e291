/** Quantiles of the symmetric beta distribution, for the noise levels of 'beta' spacing. */

/** B_x(a, a) by its series, which converges for x <= 1/2 in sixty terms. */
function incompleteBeta(x: number, a: number): number {
  let [term, sum] = [1, 1 / a];
  for (let n = 1; n < 64; n++) {
    term *= ((n - a) / n) * x;
    sum += term / (a + n);
  }
  return x ** a * sum;
}

/**
 * The x below which a share p of Beta(a, a) lies.
 * @param p 0 to 1
 * @param a shape, > 0
 * @returns 0 to 1, within the precision of doubles
 * @see Abramowitz & Stegun 1964, 26.5.4; scipy.stats.beta.ppf
 */
export function betaQuantile(p: number, a: number): number {
  if (p > 0.5) return 1 - betaQuantile(1 - p, a);
  if (p <= 0) return 0;
  const wanted = 2 * p * incompleteBeta(0.5, a);
  let [low, high] = [0, 0.5];
  for (let i = 0; i < 80; i++) {
    const middle = (low + high) / 2;
    if (incompleteBeta(middle, a) < wanted) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

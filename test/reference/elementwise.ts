/** erf by its series (|x| < 3) or continued fraction, in f64. */
function erf(x: number): number {
  const a = Math.abs(x);
  if (a > 6) return Math.sign(x);
  if (a < 3) {
    let term = a;
    let sum = a;
    for (let n = 1; n < 80; n++) {
      term *= (-a * a) / n;
      sum += term / (2 * n + 1);
    }
    return (Math.sign(x) * 2 * sum) / Math.sqrt(Math.PI);
  }
  let f = 0;
  for (let n = 60; n >= 1; n--) f = n / 2 / (a + f);
  return Math.sign(x) * (1 - Math.exp(-a * a) / Math.sqrt(Math.PI) / (a + f));
}

/** The functions that elementwise-unary knows, by name. */
export const functions: Record<string, (x: number) => number> = {
  none: x => x,
  silu: x => x / (1 + Math.exp(-x)),
  gelu: x => 0.5 * x * (1 + erf(x / Math.SQRT2)),
  geluTanh: x => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
  quickGelu: x => x / (1 + Math.exp(-1.702 * x)),
  relu: x => Math.max(0, x),
  mish: x => x * Math.tanh(Math.log1p(Math.exp(x))),
  exp: Math.exp,
  log: Math.log,
  sqrt: Math.sqrt,
  square: x => x * x,
  sin: Math.sin,
  cos: Math.cos,
  tanh: Math.tanh,
  sigmoid: x => 1 / (1 + Math.exp(-x)),
  abs: Math.abs,
  reciprocal: x => 1 / x,
};

/** alpha * a (op) b, where b's index comes from `at`. */
export function binary(
  a: ArrayLike<number>,
  b: ArrayLike<number>,
  at: (i: number) => number,
  f: (a: number, b: number) => number,
): Float64Array {
  return Float64Array.from({ length: a.length }, (_, i) => f(a[i], b[at(i)]));
}

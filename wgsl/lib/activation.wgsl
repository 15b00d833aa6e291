// activation: the functions that follow a linear layer, in f32. `kind` is a const of the kernel, so the branches fold away.
//   0 none   1 silu x/(1+e^-x)   2 gelu 0.5x(1+erf(x/sqrt 2))   3 gelu_tanh   4 quick_gelu x/(1+e^-1.702x)   5 relu
//   6 mish x tanh(log(1+e^x)): with n = e^x (e^x + 2) that is x n/(n+2), and x where n/(n+2) rounds to 1
// erf: Abramowitz & Stegun 7.1.26, absolute error 1.5e-7; multiplied by x in gelu, so small arguments lose nothing.

fn activate(kind: u32, x: vec4f) -> vec4f {
  switch kind {
    case 1u: { return x / (1.0 + exp(-x)); }
    case 2u: { return 0.5 * x * (1.0 + erf4(x * 0.70710678)); }
    case 3u: { return 0.5 * x * (1.0 + tanh(clamp(0.79788456 * (x + 0.044715 * x * x * x), vec4f(-10.0), vec4f(10.0)))); }
    case 4u: { return x / (1.0 + exp(-1.702 * x)); }
    case 5u: { return max(x, vec4f(0.0)); }
    case 6u: {
      let e = exp(min(x, vec4f(20.0)));
      let n = e * (e + 2.0);
      return x * (n / (n + 2.0));
    }
    default: { return x; }
  }
}

fn erf4(x: vec4f) -> vec4f {
  let a = abs(x);
  let t = 1.0 / (1.0 + 0.3275911 * a);
  let series = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t;
  return sign(x) * (1.0 - series * exp(-a * a));
}

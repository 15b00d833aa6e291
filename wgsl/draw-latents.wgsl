// draw-latents: latents drawn from what an encoder says of pictures, and brought to a noise level.
// Kingma & Welling 2014, Auto-Encoding Variational Bayes, https://arxiv.org/abs/1312.6114, section 2.4; Ho et al. 2020, Denoising
// Diffusion Probabilistic Models, https://arxiv.org/abs/2006.11239, equation 4
//
//   z = scaling * (mean + exp(clamp(log_variance, -30, 20) / 2) * noise)   where DRAWN, else x
//   y = out_x0 * z + sigma * level_noise                                   where sigma > 0, else z
//
//   x            [M, P, x_pitch]  Input  where DRAWN means in the first channels, logarithms of variances behind them; image n reads n % M
//   noise        [N, P, pitch]    f32    where DRAWN
//   step         Step                    out_x0 and sigma
//   level_noise  [N, P, pitch]    f32    read where sigma > 0
//   y            [N, P, pitch]    f32    padding zero
//
// Tiles: WORKGROUP vec4s of y. Traffic: every operand once. Arithmetic in f32; exp to 2 units in the last place on every device.
// Reference: DiagonalGaussianDistribution.sample and DDIMScheduler.add_noise of diffusers.
// Needs: lib/input, lib/step.

const WORKGROUP: u32 = 64;
const DRAWN: bool = true;

struct Params {
  first_tile: u32, end_tile: u32,
  count: u32,    // vec4s of y
  columns: u32,  // vec4s of a row of y
  pixels: u32, channels: u32,
  pictures: u32,  // M
  x_pitch: u32,   // elements
  scaling: f32,
  x_base: u32, noise_base: u32, level_noise_base: u32, y_base: u32,  // vec4
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<Input1>;
@group(0) @binding(2) var<storage, read> noise: array<vec4f>;
@group(0) @binding(3) var<storage, read> step: Step;
@group(0) @binding(4) var<storage, read> level_noise: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> y: array<vec4f>;

// Channels first ... first + 3 of a row of x; those that it does not have are zero.
fn four(row: u32, first: u32, end: u32) -> vec4f {
  var v = vec4f(0.0);
  for (var k = 0u; k < 4u; k++) {
    if (first + k >= end) { break; }
    let at = row * p.x_pitch + first + k - 4u * p.x_base;
    v[k] = input_pick(x[input_slot(at)], at);
  }
  return v;
}

// exp of -15 ... 10: WGSL's own may be off by 23 units in the last place. 2^n exp(r) with r = v - n ln 2 in two parts, and Taylor's series.
fn exponential(v: vec4f) -> vec4f {
  let n = round(v * 1.44269504);
  let r = fma(n, vec4f(-1.42860677e-6), fma(n, vec4f(-0.693145752), v));
  var sum = vec4f(1.0 / 5040.0);
  sum = fma(sum, r, vec4f(1.0 / 720.0));
  sum = fma(sum, r, vec4f(1.0 / 120.0));
  sum = fma(sum, r, vec4f(1.0 / 24.0));
  sum = fma(sum, r, vec4f(1.0 / 6.0));
  sum = fma(sum, r, vec4f(0.5));
  sum = fma(sum, r, vec4f(1.0));
  return ldexp(fma(sum, r, vec4f(1.0)), vec4i(n));
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let tile = p.first_tile + wid.y * nwg.x + wid.x;
  if (tile >= p.end_tile) { return; }
  let i = tile * WORKGROUP + lane;
  if (i >= p.count) { return; }
  let pixel = i / p.columns;  // counted over all images
  let row = pixel / p.pixels % p.pictures * p.pixels + pixel % p.pixels;
  let channel = 4u * (i % p.columns);
  var z = four(row, channel, p.channels);
  if (DRAWN) {
    let log_variance = four(row, p.channels + channel, 2u * p.channels);
    let deviation = exponential(0.5 * clamp(log_variance, vec4f(-30.0), vec4f(20.0)));
    z = p.scaling * (z + deviation * noise[i - p.noise_base]);
  }
  if (step.sigma > 0.0) { z = step.out_x0 * z + step.sigma * level_noise[i - p.level_noise_base]; }
  y[i - p.y_base] = select(vec4f(0.0), z, vec4u(channel) + vec4u(0u, 1u, 2u, 3u) < vec4u(p.channels));
}

// normalize: act(x * scale + shift) of what a kernel brings, eight channels of a map at a time: the end of a group norm, where it is read.
// Wu & He 2018, Group Normalization, https://arxiv.org/abs/1803.08494
//
//   scale_shift  [images, 2, k]  f32  of group-norm-finalize; padding zero, which keeps padding zero where the activation does
//
// Sixteen threads bring one factor each, which lies in workgroup memory until all have read it: drivers that check every component of
// a load would check two vec4 in each thread. A barrier stands between keep_factor and factors_of. The kernel declares Params with k,
// and INPUT_ACTIVATION (lib/activation), and appends lib/moments or lib/moments-none. lib/normalize-none stands where nobody asks.

@group(0) @binding(NORMALIZED) var<storage, read> scale_shift: array<f32>;

var<workgroup> kept_factors: array<vec4f, 4>;  // scales of eight channels, then shifts

struct Factors { scale: vec4f, shift: vec4f }

// Of one of the eight channels that begin at `channel`.
fn factor_at(image: u32, channel: u32, thread: u32) -> f32 {
  return scale_shift[(2u * image + thread / 8u % 2u) * p.k + channel + thread % 8u];
}

fn keep_factor(thread: u32, factor: f32) {
  if (thread < 16u) { kept_factors[thread / 4u % 4u][thread % 4u] = factor; }
}

// Of the first four channels, or of the last.
fn factors_of(half: u32) -> Factors { return Factors(kept_factors[half % 2u], kept_factors[2u + half % 2u]); }

fn normalized(x: vec4f, f: Factors) -> vec4f { return activate(INPUT_ACTIVATION, x * f.scale + f.shift); }

// moments: mean and sum of squared differences of what a product stores, for the group norm that reads it next.
// Chan, Golub & LeVeque 1983, Algorithms for computing the sample variance.
//
//   moments  [rows / SLAB, moments_pitch] f32, in pairs  of a slab, for every vec4 of y, of channels 0 and 1 together and of 2
//                                                        and 3: shift, mean - shift, sum of (x - mean)^2
//
// A slab is SLAB pixels of one image, for a text always the same: neighbouring rows; of a doubling, neighbours of one
// parity; in conv-tile pixels above and below each other too.
//
// Of what is stored, rounded as it is. Values are shifted by the first of their column, so that a large mean cancels nothing (the
// mean itself would lose digits to it). No tile size changes a bit: halves of a slab are always merged, or never. The kernel
// declares Params with moments_pitch, moments_offset and moments_base, and MOMENTS. lib/moments-none stands where nobody asks.
const MEASURES: bool = true;
const SLAB: u32 = 16u;
const NORMALIZED: u32 = 8u;  // binding of lib/normalize, behind that of a text with six others and this one

@group(0) @binding(MOMENTS) var<storage, read_write> moments: array<vec2f>;

struct Moments { shift: vec4f, mean: vec4f, squares: vec4f }  // mean is shifted

// With one more value of each column, of which there were `before`.
fn measure(m: Moments, before: u32, v: vec4f) -> Moments {
  if (before == 0u) { return Moments(v, vec4f(0.0), vec4f(0.0)); }
  let x = v - m.shift;
  let delta = x - m.mean;
  let mean = m.mean + delta * (1.0 / f32(before + 1u));
  return Moments(m.shift, mean, m.squares + delta * (x - mean));
}

// Of twice as many values, `each` of both.
fn merge(a: Moments, b: Moments, each: f32) -> Moments {
  let offset = (b.shift - a.shift) + (b.mean - a.mean);
  return Moments(a.shift, a.mean + offset * 0.5, a.squares + b.squares + offset * offset * (0.5 * each));
}

fn store_moments(slab: u32, column: u32, m: Moments) {
  let offset = (m.shift.yw - m.shift.xz) + (m.mean.yw - m.mean.xz);
  let at = slab * p.moments_pitch + p.moments_offset + 3u * column - p.moments_base;
  moments[at] = m.shift.xz;
  moments[at + 1u] = m.mean.xz + offset * 0.5;
  moments[at + 2u] = m.squares.xz + m.squares.yw + offset * offset * (0.5 * f32(SLAB));
}

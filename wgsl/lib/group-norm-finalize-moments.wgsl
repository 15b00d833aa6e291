// group-norm-finalize-moments: what lib/group-norm-finalize defines, for what products measured of their results: a part for each
// slab and pair of channels, of one source or of two that stand for their concatenation.
//
//   partials, partials2  [N, slabs, pitch1 or 2]  f32  for every four channels, of the first and of the second pair of them: shift,
//                                                      mean - shift, sum of (x - mean)^2 (lib/moments)
//
// The kernel declares TWO and the binding `partials`.

struct Params {
  first_tile: u32, end_tile: u32,
  groups: u32, group_channels: u32, channels: u32, pitch: u32,
  pixels: u32, slab_pixels: u32, slabs: u32,
  eps: f32,
  split: u32,                 // channels of the first source
  pitch1: u32, pitch2: u32,   // elements
  partials_base: u32, partials2_base: u32, scale_shift_base: u32,  // elements where the bound windows start
}

@group(0) @binding(5) var<storage, read> partials2: array<f32>;

struct Part { count: f32, mean: f32, squares: f32 }

fn parts_of_group() -> u32 { return p.slabs * (p.group_channels / 2u); }

fn pair_of(row: u32, channel: u32) -> vec3f {
  let second = TWO && channel >= p.split;
  let local = channel - select(0u, p.split, second);
  let pitch = select(p.pitch1, p.pitch2, second);
  let at = row * pitch + local / 4u * 6u + local / 2u % 2u - select(p.partials_base, p.partials2_base, second);
  var pair: vec3f;  // one way out: with two, drivers repeat what follows
  if (second) {
    pair = vec3f(partials2[at], partials2[at + 2u], partials2[at + 4u]);
  } else {
    pair = vec3f(partials[at], partials[at + 2u], partials[at + 4u]);
  }
  return pair;
}

fn origin_of(image: u32, first: u32) -> f32 { return pair_of(image * p.slabs, first).x; }

fn part_of(image: u32, first: u32, i: u32, origin: f32) -> Part {
  let pairs = p.group_channels / 2u;
  let slab = i / pairs;
  let pair = pair_of(image * p.slabs + slab, first + i % pairs * 2u);
  let count = f32(2u * min(p.slab_pixels, p.pixels - slab * p.slab_pixels));
  return Part(count, pair.x - origin + pair.y, pair.z);
}

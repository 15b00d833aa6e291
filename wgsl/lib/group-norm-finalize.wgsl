// group-norm-finalize: the uniform block, and where the parts of a group's statistics lie: one for each slab and channel.
//
//   partials  [N, slabs, 3, pitch]  f32  of group-norm-stats
//
// lib/group-norm-finalize-moments is the same for what producers measured. The kernel declares the binding `partials`.

struct Params {
  first_tile: u32, end_tile: u32,
  groups: u32, group_channels: u32, channels: u32, pitch: u32,
  pixels: u32, slab_pixels: u32, slabs: u32,
  eps: f32,
  partials_base: u32, scale_shift_base: u32,  // elements where the bound windows start
}

struct Part { count: f32, mean: f32, squares: f32 }  // the mean is relative to an origin, which takes large numbers out

fn parts_of_group() -> u32 { return p.slabs * p.group_channels; }

// Where means are counted from.
fn origin_of(image: u32, first: u32) -> f32 {
  return partials[image * p.slabs * 3u * p.pitch + first - p.partials_base];
}

fn part_of(image: u32, first: u32, i: u32, origin: f32) -> Part {
  let slab = i / p.group_channels;
  let at = (image * p.slabs + slab) * 3u * p.pitch + first - p.partials_base + i % p.group_channels;
  let count = f32(min(p.slab_pixels, p.pixels - slab * p.slab_pixels));
  return Part(count, partials[at] - origin + partials[at + p.pitch], partials[at + 2u * p.pitch]);
}

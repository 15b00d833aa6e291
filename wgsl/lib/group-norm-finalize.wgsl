// group-norm-finalize: the uniform block that its texts share.

struct Params {
  first_tile: u32, end_tile: u32,
  groups: u32, group_channels: u32, channels: u32, pitch: u32,
  pixels: u32, slab_pixels: u32, slabs: u32,
  eps: f32,
  partials_base: u32, scale_shift_base: u32,  // elements where the bound windows start
}

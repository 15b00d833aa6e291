// mask-threshold: cut = ratio * mean(map); m = clamp(map, 0, cut) / cut; mask = 0 where m <= threshold, else 1; or m itself.
// Couairon et al. 2022, DiffEdit, section 3.2, https://arxiv.org/abs/2210.11427; the rule with clamp is diffusers'.
//
//   map   [N, P, 8]  f32  lane 0
//   mask  [N, P, 8]  f32  lane 0, the others zero
//
// The mean is that of all maps, or of each alone where per_image is 1. Where m is no number (all maps zero) the mask is 1.
// Tiles: one map a workgroup; each works out the mean by itself, in the same order, so that all agree.
// Traffic: map once or N times, mask once. Sums in f32 on two levels (16 values, then their sums), then as a tree.
// Needs: nothing.

const WORKGROUP: u32 = 256;

struct Params {
  first_tile: u32, end_tile: u32,
  images: u32, pixels: u32,
  per_image: u32,
  continuous: u32,  // 1: writes m
  ratio: f32, threshold: f32,
  map_base: u32, mask_base: u32,  // vec4
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> map: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> mask: array<vec4f>;

var<workgroup> shared_sums: array<f32, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let image = p.first_tile + wid.y * nwg.x + wid.x;
  if (image >= p.end_tile) { return; }
  let start = select(0u, image * p.pixels, p.per_image == 1u);
  let count = select(p.images * p.pixels, p.pixels, p.per_image == 1u);
  var sum = 0.0;
  for (var block = lane; block < count; block += 16u * WORKGROUP) {
    var part = 0.0;
    for (var i = block; i < min(count, block + 16u * WORKGROUP); i += WORKGROUP) { part += map[2u * (start + i) - p.map_base].x; }
    sum += part;
  }
  shared_sums[lane] = sum;
  workgroupBarrier();
  for (var width = WORKGROUP / 2u; width > 0u; width /= 2u) {
    if (lane < width) { shared_sums[lane] += shared_sums[lane + width]; }
    workgroupBarrier();
  }
  let cut = shared_sums[0] / f32(count) * p.ratio;
  let usable = is_number(cut) && cut > 0.0;

  for (var i = lane; i < p.pixels; i += WORKGROUP) {
    let at = 2u * (image * p.pixels + i);
    var m = 1.0;
    if (usable) {
      m = min(min(max(map[at - p.map_base].x, 0.0), cut) / cut, 1.0);  // a division may err upwards
      if (p.continuous == 0u) { m = select(1.0, 0.0, m <= p.threshold); }
    }
    mask[at - p.mask_base] = vec4f(m, 0.0, 0.0, 0.0);
    mask[at + 1u - p.mask_base] = vec4f(0.0);
  }
}

// By its bits: a compiler may take x == x for granted. False for infinities too.
fn is_number(x: f32) -> bool {
  return (bitcast<u32>(x) & 0x7f800000u) != 0x7f800000u;
}

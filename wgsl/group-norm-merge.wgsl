// group-norm-merge: what a product measured of its result (lib/moments), of neighbouring slabs as one: where a map has many, so that
// group-norm-finalize, which has one workgroup a group, reads few.
// Chan, Golub & LeVeque 1983, Algorithms for computing the sample variance.
//
//   x  [N, slabs, pitch]   f32  for every four channels, of the first and of the second pair: shift, mean - shift, sum of (x - mean)^2
//   y  [N, merged, pitch]  f32  the same of `together` slabs
//
// One invocation per (image, merged slab, column of 4 channels), columns fastest; tiles of WORKGROUP such items. Means are shifted as
// the first one. Slabs have `weight` values each. Traffic: x once. Sums in f32. Needs: nothing.

const WORKGROUP: u32 = 64;

struct Params {
  first_tile: u32, end_tile: u32,
  items: u32,
  columns: u32, pitch: u32,                  // of a row: quads of channels, and vec2
  slabs: u32, merged: u32, together: u32,
  weight: f32,
  x_base: u32, y_base: u32,                  // vec2
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec2f>;
@group(0) @binding(2) var<storage, read_write> y: array<vec2f>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let tile = p.first_tile + wid.y * nwg.x + wid.x;
  if (tile >= p.end_tile) { return; }
  let item = tile * WORKGROUP + lane;
  if (item >= p.items) { return; }
  let column = item % p.columns;
  let to = item / p.columns;  // counted over all images
  let first = to % p.merged * p.together;
  let count = min(p.together, p.slabs - first);
  let at = (to / p.merged * p.slabs + first) * p.pitch + 3u * column - p.x_base;

  let shift = x[at];
  var mean = x[at + 1u];
  var between = vec2f(0.0);
  var inside = x[at + 2u];
  for (var k = 1u; k < count; k++) {
    let part = at + k * p.pitch;
    let value = x[part] - shift + x[part + 1u];
    let delta = value - mean;
    mean += delta * (1.0 / f32(k + 1u));
    between += delta * (value - mean);
    inside += x[part + 2u];
  }
  let y_at = to * p.pitch + 3u * column - p.y_base;
  y[y_at] = shift;
  y[y_at + 1u] = mean;
  y[y_at + 2u] = inside + between * p.weight;
}

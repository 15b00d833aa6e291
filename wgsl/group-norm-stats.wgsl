// group-norm-stats: mean and sum of squared differences of every channel over a slab of pixels; first of three calls.
// Wu & He 2018, Group Normalization, https://arxiv.org/abs/1803.08494; combination of partial results: Chan, Golub &
// LeVeque 1983, Algorithms for computing the sample variance.
//
//   x1        [N, P, pitch1]             Input  channels [0, 4 * split)
//   x2        [N, P, pitch2]             Input  the channels behind them where TWO, else unused
//   partials  [N, slabs, 3, out_pitch]   f32    rows: shift, mean - shift, sum of (x - mean)^2; padding columns not written
//
// One invocation per (image, slab, column of 4 channels), columns fastest; tiles of WORKGROUP such items.
// Values are shifted by the slab's first pixel, so that a large mean cancels nothing (the mean itself would lose digits to
// it); eight pixels at a time are reduced exactly in two passes over registers, then merged.
// Traffic: x once. Sums in f32.
// Needs: lib/input.

const WORKGROUP: u32 = 64;
const TWO: bool = false;

struct Params {
  first_tile: u32, end_tile: u32,
  items: u32,
  columns: u32,      // of both sources together
  split: u32,        // columns of x1
  pitch1: u32, pitch2: u32, out_pitch: u32,  // vec4
  pixels: u32, slab_pixels: u32, slabs: u32,
  x1_base: u32, x2_base: u32, partials_base: u32,  // vec4
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x1: array<Input4>;
@group(0) @binding(2) var<storage, read> x2: array<Input4>;
@group(0) @binding(3) var<storage, read_write> partials: array<vec4f>;

fn load(row: u32, column: u32) -> vec4f {
  if (TWO && column >= p.split) { return input_load(x2[row * p.pitch2 + column - p.split - p.x2_base]); }
  return input_load(x1[row * p.pitch1 + column - p.x1_base]);
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let tile = p.first_tile + wid.y * nwg.x + wid.x;
  if (tile >= p.end_tile) { return; }
  let item = tile * WORKGROUP + lane;
  if (item >= p.items) { return; }
  let column = item % p.columns;
  let slab = item / p.columns;  // counted over all images
  let start = slab % p.slabs * p.slab_pixels;
  let count = min(p.slab_pixels, p.pixels - start);
  let row = slab / p.slabs * p.pixels + start;

  let shift = load(row, column);
  var mean = vec4f(0.0);
  var squares = vec4f(0.0);
  var k = 0u;
  for (; k + 8u <= count; k += 8u) {
    let v0 = load(row + k, column) - shift;
    let v1 = load(row + k + 1u, column) - shift;
    let v2 = load(row + k + 2u, column) - shift;
    let v3 = load(row + k + 3u, column) - shift;
    let v4 = load(row + k + 4u, column) - shift;
    let v5 = load(row + k + 5u, column) - shift;
    let v6 = load(row + k + 6u, column) - shift;
    let v7 = load(row + k + 7u, column) - shift;
    let m = (((v0 + v1) + (v2 + v3)) + ((v4 + v5) + (v6 + v7))) * 0.125;
    let inside = ((square(v0 - m) + square(v1 - m)) + (square(v2 - m) + square(v3 - m)))
      + ((square(v4 - m) + square(v5 - m)) + (square(v6 - m) + square(v7 - m)));
    let delta = m - mean;
    let share = 8.0 / f32(k + 8u);
    mean += delta * share;
    squares += inside + delta * delta * (f32(k) * share);
  }
  for (; k < count; k++) {
    let delta = load(row + k, column) - shift - mean;
    let share = 1.0 / f32(k + 1u);
    mean += delta * share;
    squares += delta * delta * (f32(k) * share);
  }
  let at = slab * 3u * p.out_pitch + column - p.partials_base;
  partials[at] = shift;
  partials[at + p.out_pitch] = mean;
  partials[at + 2u * p.out_pitch] = squares;
}

fn square(v: vec4f) -> vec4f {
  return v * v;
}

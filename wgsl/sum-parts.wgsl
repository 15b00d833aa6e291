// sum-parts: y = act(scale * sum_i partials[i] + bias) + channel_add, then + or * residual: what follows a product whose K axis was cut,
// each part summed by workgroups of its own. Reference: split-K, https://docs.nvidia.com/cutlass/media/docs/cpp/efficient_gemm.html.
//
//   partials     [rows, PARTS, columns]  f32
//   bias         [columns]               f32
//   channel_add  [images, channel_pitch] Output   one row an image
//   residual, y  [rows, y_pitch]         Output
//
// Tiles: WORKGROUP * EACH neighbouring vec4s of the result. Traffic: partials once, y once. Sums in f32 in the order of the parts.
// Needs: lib/output, lib/activation.

const WORKGROUP: u32 = 256;
const EACH: u32 = 4;
const PARTS: u32 = 2;       // 2, 3 or 4
const ACTIVATION: u32 = 0;  // lib/activation
const_assert PARTS >= 2u && PARTS <= 4u;

struct Params {
  first_tile: u32, end_tile: u32,
  count: u32,          // vec4s of the result
  columns4: u32,       // vec4s of a row of it
  partials_base: u32,  // vec4
  y_pitch: u32, y_offset: u32, y_base: u32,                          // vec4
  rows_per_image: u32,
  channel_pitch: u32, channel_offset: u32, channel_base: u32,        // vec4
  scale: f32,
  has_bias: u32, has_channel_add: u32,
  has_residual: u32,   // 1: added, 2: multiplied
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> partials: array<vec4f>;
@group(0) @binding(2) var<storage, read> bias: array<vec4f>;
@group(0) @binding(3) var<storage, read> channel_add: array<Output4>;
@group(0) @binding(4) var<storage, read> residual: array<Output4>;
@group(0) @binding(5) var<storage, read_write> y: array<Output4>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let tile = p.first_tile + wid.y * nwg.x + wid.x;
  if (tile >= p.end_tile) { return; }
  for (var j = 0u; j < EACH; j++) {
    let i = (tile * EACH + j) * WORKGROUP + lane;
    if (i >= p.count) { return; }
    let column = i % p.columns4;
    let row = i / p.columns4;
    let at = row * PARTS * p.columns4 + column - p.partials_base;
    var sum = partials[at] + partials[at + p.columns4];
    if (PARTS > 2u) { sum += partials[at + 2u * p.columns4]; }
    if (PARTS > 3u) { sum += partials[at + 3u * p.columns4]; }
    var shift = vec4f(0.0);
    if (p.has_bias != 0u) { shift = bias[column]; }
    var v = activate(ACTIVATION, sum * p.scale + shift);
    let place = row * p.y_pitch + p.y_offset + column - p.y_base;
    if (p.has_channel_add != 0u) {
      let image = row / p.rows_per_image;
      v += output_load(channel_add[image * p.channel_pitch + p.channel_offset + column - p.channel_base]);
    }
    if (p.has_residual == 1u) { v += output_load(residual[place]); }
    if (p.has_residual == 2u) { v *= output_load(residual[place]); }
    y[place] = output_store(v);
  }
}

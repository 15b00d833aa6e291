// group-norm-apply: y = act(x * scale + shift), scale and shift per image and channel; third of three calls.
// Wu & He 2018, Group Normalization, https://arxiv.org/abs/1803.08494
//
//   x1           [N, P, pitch1]  Input   channels [0, 4 * split), or all
//   x2           [N, P, pitch2]  Input   the channels behind them where TWO, else unused
//   scale_shift  [N, 2, pitch]   f32     of group-norm-finalize; padding zero, which keeps y's padding zero
//   y            [N, P, pitch]   Output
//
// One invocation per (image, block of 8 pixels, column of 4 channels), columns fastest: scale and shift are read once
// for 8 pixels. Tiles of WORKGROUP such items. Traffic: x and y once. Arithmetic in f32.
// Needs: lib/input, lib/output, lib/activation.

const WORKGROUP: u32 = 64;
const BLOCK: u32 = 8;
const TWO: bool = false;
const ACTIVATION: u32 = 0;  // lib/activation; one that maps 0 to 0

struct Params {
  first_tile: u32, end_tile: u32,
  items: u32,
  columns: u32,  // of y, padding included: pitch / 4
  split: u32,    // columns of x1 where TWO
  pitch1: u32, pitch2: u32,  // vec4
  pixels: u32, blocks: u32,  // blocks of an image
  x1_base: u32, x2_base: u32, scale_shift_base: u32, y_base: u32,  // vec4
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x1: array<Input4>;
@group(0) @binding(2) var<storage, read> x2: array<Input4>;
@group(0) @binding(3) var<storage, read> scale_shift: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> y: array<Output4>;

fn load(row: u32, column: u32) -> vec4f {
  if (TWO && column >= p.split) {
    if (column - p.split >= p.pitch2) { return vec4f(0.0); }
    return input_load(x2[row * p.pitch2 + column - p.split - p.x2_base]);
  }
  return input_load(x1[row * p.pitch1 + column - p.x1_base]);
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let tile = p.first_tile + wid.y * nwg.x + wid.x;
  if (tile >= p.end_tile) { return; }
  let item = tile * WORKGROUP + lane;
  if (item >= p.items) { return; }
  let column = item % p.columns;
  let block = item / p.columns;
  let image = block / p.blocks;
  let start = block % p.blocks * BLOCK;
  let scale = scale_shift[image * 2u * p.columns + column - p.scale_shift_base];
  let shift = scale_shift[(image * 2u + 1u) * p.columns + column - p.scale_shift_base];
  let end = image * p.pixels + min(start + BLOCK, p.pixels);
  for (var row = image * p.pixels + start; row < end; row++) {
    y[row * p.columns + column - p.y_base] = output_store(activate(ACTIVATION, load(row, column) * scale + shift));
  }
}

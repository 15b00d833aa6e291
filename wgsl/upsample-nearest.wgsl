// upsample-nearest: y[oy, ox] = x[floor(oy * in_h / out_h), floor(ox * in_w / out_w)], in integers, hence exact. (A float
// factor gives the same but where out / in is no whole number and the product falls on an integer.)
//
//   x  [N, in_h, in_w, pitch]    Input
//   y  [N, out_h, out_w, pitch]  Output  the same pitch; padding is copied, hence zero
//
// Tiles: WORKGROUP * EACH neighbouring vec4s of y. Traffic: x once (repeats from the cache), y once.
// Reference: torch.nn.functional.interpolate, mode nearest.
// Needs: lib/input, lib/output.

const WORKGROUP: u32 = 256;
const EACH: u32 = 4;

struct Params {
  first_tile: u32, end_tile: u32,
  count: u32,    // vec4s of y
  pitch: u32,    // vec4
  in_h: u32, in_w: u32, out_h: u32, out_w: u32,
  x_base: u32, y_base: u32,  // vec4
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<Input4>;
@group(0) @binding(2) var<storage, read_write> y: array<Output4>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let tile = p.first_tile + wid.y * nwg.x + wid.x;
  if (tile >= p.end_tile) { return; }
  for (var j = 0u; j < EACH; j++) {
    let i = (tile * EACH + j) * WORKGROUP + lane;
    if (i >= p.count) { return; }
    let column = i % p.pitch;
    let pixel = i / p.pitch;
    let line = pixel / p.out_w;  // counted over all images
    let ix = pixel % p.out_w * p.in_w / p.out_w;
    let iy = line % p.out_h * p.in_h / p.out_h;
    let source = (line / p.out_h * p.in_h + iy) * p.in_w + ix;
    y[i - p.y_base] = output_store(input_load(x[source * p.pitch + column - p.x_base]));
  }
}

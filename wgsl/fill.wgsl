// fill: y = value in every lane of a row but the padding, which becomes zero.
//
//   y  [rows, pitch]  Output
//
// Tiles: WORKGROUP * EACH neighbouring vec4s. Traffic: y once.
// Reference: torch.full. Exact but for the rounding to Output.
// Needs: lib/output.

const WORKGROUP: u32 = 256;
const EACH: u32 = 4;

struct Params {
  first_tile: u32, end_tile: u32,
  count: u32,             // vec4s of y
  width: u32, pitch: u32, // pitch in vec4
  value: f32,
  y_base: u32,            // vec4
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> y: array<Output4>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let tile = p.first_tile + wid.y * nwg.x + wid.x;
  if (tile >= p.end_tile) { return; }
  for (var j = 0u; j < EACH; j++) {
    let i = (tile * EACH + j) * WORKGROUP + lane;
    if (i >= p.count) { return; }
    let inside = vec4u(i % p.pitch * 4u) + vec4u(0u, 1u, 2u, 3u) < vec4u(p.width);
    y[i - p.y_base] = output_store(select(vec4f(0.0), vec4f(p.value), inside));
  }
}

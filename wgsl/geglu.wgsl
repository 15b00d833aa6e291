// geglu: y = value * gelu(gate), where a row of x holds the values first and the gates behind them.
// Shazeer 2020, GLU Variants Improve Transformer, https://arxiv.org/abs/2002.05202
//
//   x  [rows, x_pitch]  Input   2 * width channels
//   y  [rows, y_pitch]  Output  width channels, padding zero
//
// Tiles: WORKGROUP * EACH neighbouring vec4s of y. The gates may start anywhere in a vec4. Traffic: x and y once.
// Arithmetic in f32. Needs: lib/input, lib/output, lib/activation, lib/shift.

const WORKGROUP: u32 = 256;
const EACH: u32 = 4;
const ACTIVATION: u32 = 2;  // lib/activation: gelu

struct Params {
  first_tile: u32, end_tile: u32,
  count: u32,    // vec4s of y
  width: u32,
  x_pitch: u32, y_pitch: u32,  // vec4
  x_base: u32, y_base: u32,    // vec4
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
    let row = i / p.y_pitch;
    let column = i % p.y_pitch;
    var v = vec4f(0.0);
    if (4u * column < p.width) {
      let start = row * p.x_pitch - p.x_base;
      let gate_at = column + p.width / 4u;
      let next = min(gate_at + 1u, p.x_pitch - 1u);  // what lies behind the row is not looked at
      let gate = shifted(input_load(x[start + gate_at]), input_load(x[start + next]), p.width % 4u);
      v = input_load(x[start + column]) * activate(ACTIVATION, gate);
      v = select(vec4f(0.0), v, vec4u(4u * column) + vec4u(0u, 1u, 2u, 3u) < vec4u(p.width));
    }
    y[i - p.y_base] = output_store(v);
  }
}

// elementwise-binary: y = alpha * a + beta * b, or alpha * a * b, or alpha * a / b, with b repeated over rows.
//
//   a  [rows, a_pitch]    Input
//   b  [b_rows, b_pitch]  Weight  row of b = row / b_divide % b_modulo where BROADCAST, else row;
//                                 its lane 0 stands for the whole row where SCALAR
//   y  [rows, y_pitch]    Output  padding zero
//
// Tiles: WORKGROUP * EACH neighbouring vec4s of y. Traffic: a and y once, b once or from the cache. Arithmetic in f32.
// Reference: torch.add, torch.mul, torch.div.
// Needs: lib/input, lib/weight, lib/output.

const WORKGROUP: u32 = 256;
const EACH: u32 = 4;
const OPERATION: u32 = 0;  // 0 add, 1 multiply, 2 divide
const BROADCAST: bool = true;
const SCALAR: bool = false;

struct Params {
  first_tile: u32, end_tile: u32,
  count: u32,    // vec4s of y
  width: u32,
  a_pitch: u32, b_pitch: u32, y_pitch: u32,  // vec4
  b_divide: u32, b_modulo: u32,
  alpha: f32, beta: f32,
  a_base: u32, b_base: u32, y_base: u32,     // vec4
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<Input4>;
@group(0) @binding(2) var<storage, read> b: array<Weight4>;
@group(0) @binding(3) var<storage, read_write> y: array<Output4>;

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
      let left = p.alpha * input_load(a[row * p.a_pitch + column - p.a_base]);
      var b_row = row;
      if (BROADCAST) { b_row = row / p.b_divide % p.b_modulo; }
      let b_start = b_row * p.b_pitch - p.b_base;
      var right: vec4f;
      if (SCALAR) {
        right = vec4f(weight_load(b[b_start]).x);
      } else {
        right = weight_load(b[b_start + column]);
      }
      switch OPERATION {
        case 1u: { v = left * right; }
        case 2u: { v = left / right; }
        default: { v = left + p.beta * right; }
      }
      v = select(vec4f(0.0), v, vec4u(4u * column) + vec4u(0u, 1u, 2u, 3u) < vec4u(p.width));
    }
    y[i - p.y_base] = output_store(v);
  }
}

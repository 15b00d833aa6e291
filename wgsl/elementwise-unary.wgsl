// elementwise-unary: y = clamp(f(alpha * x + beta), low, high), element by element; also the change of storage form.
// f by FUNCTION: 0 to 6 as in lib/activation (0 none); 16 exp, 17 log, 18 sqrt, 19 square, 20 sin, 21 cos, 22 tanh,
// 23 sigmoid, 24 abs, 25 reciprocal.
//
//   x  [rows, x_pitch]  Input
//   y  [rows, y_pitch]  Output  padding zero
//
// Tiles: WORKGROUP * EACH neighbouring vec4s of y. Traffic: x and y once. Arithmetic in f32; sin and cos as good as
// WGSL promises (2^-11 absolute). NaN passes the clamp.
// Reference: the torch functions of the same names.
// Needs: lib/input, lib/output, lib/activation.

const WORKGROUP: u32 = 256;
const EACH: u32 = 4;
const FUNCTION: u32 = 0;
const CLAMP: bool = false;

struct Params {
  first_tile: u32, end_tile: u32,
  count: u32,    // vec4s of y
  width: u32,
  x_pitch: u32, y_pitch: u32,  // vec4
  alpha: f32, beta: f32,
  low: f32, high: f32,
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
      v = apply(fma(input_load(x[row * p.x_pitch + column - p.x_base]), vec4f(p.alpha), vec4f(p.beta)));
      if (CLAMP) {
        v = select(v, vec4f(p.low), v < vec4f(p.low));
        v = select(v, vec4f(p.high), v > vec4f(p.high));
      }
      v = select(vec4f(0.0), v, vec4u(4u * column) + vec4u(0u, 1u, 2u, 3u) < vec4u(p.width));
    }
    y[i - p.y_base] = output_store(v);
  }
}

fn apply(v: vec4f) -> vec4f {
  switch FUNCTION {
    case 16u: { return exp(v); }
    case 17u: { return log(v); }
    case 18u: { return sqrt(v); }
    case 19u: { return v * v; }
    case 20u: { return sin(v); }
    case 21u: { return cos(v); }
    case 22u: { return tanh(clamp(v, vec4f(-15.0), vec4f(15.0))); }
    case 23u: { return 1.0 / (1.0 + exp(-v)); }
    case 24u: { return abs(v); }
    case 25u: { return 1.0 / v; }
    default: { return activate(FUNCTION, v); }
  }
}

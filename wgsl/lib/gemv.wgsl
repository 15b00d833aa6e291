// gemv: what the texts of a product with few rows share: the uniform block, the bias, and what follows a sum.
// The kernel declares ACTIVATION and the bindings bias, residual and y.

struct Params {
  first_tile: u32, end_tile: u32,
  rows: u32, row_tiles: u32,
  columns4: u32,                       // columns of y with padding, in vec4
  k: u32,
  block: u32,                          // values of K that one chain of gemv-broadcast takes in
  a_pitch: u32,                        // elements
  b_offset: u32, panel_stride: u32,    // vec4
  y_pitch: u32, y_offset: u32,         // vec4
  scale: f32,
  has_bias: u32,
  join: u32,                           // 0 nothing, 1 adds residual, 2 multiplies by it
  tile_rows: u32,                      // ROWS
  zero: u32,                           // 0, and no compiler knows it
}

fn bias_at(column: u32) -> vec4f {
  if (p.has_bias == 0u) { return vec4f(0.0); }
  return bias[column];
}

// Stores one vec4 of a row of y: activation, then residual.
fn finish(row: u32, column: u32, sum: vec4f, shift: vec4f) {
  var v = activate(ACTIVATION, sum * p.scale + shift);
  let at = row * p.y_pitch + p.y_offset + column;
  if (p.join == 1u) { v += output_load(residual[at]); }
  if (p.join == 2u) { v *= output_load(residual[at]); }
  y[at] = output_store(v);
}

// epilogue: what stands before and behind the activation of a sum: a bias; then channel_add, one row an image, and residual, which is added
// or multiplied. The kernel declares the bindings bias, channel_add, residual and y, and Params with has_bias, rows_per_image, channel_pitch,
// channel_offset, channel_base, has_channel_add and has_residual (1: added, 2: multiplied).

fn bias_at(column: u32) -> vec4f {
  if (p.has_bias == 0u) { return vec4f(0.0); }
  return bias[column];
}

// Stores one vec4 of a row of y, at `at` of the bound window. Returns what was stored, as it was rounded.
fn finish_at(at: u32, row: u32, column: u32, activated: vec4f) -> vec4f {
  var v = activated;
  if (p.has_channel_add != 0u) { v += output_load(channel_add[row / p.rows_per_image * p.channel_pitch + p.channel_offset + column - p.channel_base]); }
  if (p.has_residual == 1u) { v += output_load(residual[at]); }
  if (p.has_residual == 2u) { v *= output_load(residual[at]); }
  y[at] = output_store(v);
  return output_rounded(v);
}

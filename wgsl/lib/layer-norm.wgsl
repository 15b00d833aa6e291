// layer-norm: what its texts share: the uniform block, and which elements of a vec4 lie inside a row.

struct Params {
  first_tile: u32, end_tile: u32,
  rows: u32, width: u32,
  x_pitch: u32, y_pitch: u32,  // vec4
  eps: f32,
  x_base: u32, y_base: u32,    // vec4
}

fn inside(column: u32) -> vec4<bool> {
  return vec4u(4u * column) + vec4u(0u, 1u, 2u, 3u) < vec4u(p.width);
}

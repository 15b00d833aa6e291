// weight-bf16-packed: four neighbouring weight values stored as bfloat16 (the upper half of an f32), two to a u32.
alias Weight4 = vec2<u32>;
fn weight_load(v: Weight4) -> vec4f {
  return bitcast<vec4f>(vec4u(v.x << 16u, v.x & 0xffff0000u, v.y << 16u, v.y & 0xffff0000u));
}

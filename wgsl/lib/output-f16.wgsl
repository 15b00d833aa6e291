// output-f16: four neighbouring output values stored as f16 (needs shader-f16).
alias Output4 = vec4<f16>;
fn output_load(v: Output4) -> vec4f { return vec4f(v); }
fn output_store(v: vec4f) -> Output4 { return vec4<f16>(v); }
// What a value is once it is stored: to nearest, ties to even. By its bits, because compilers take a conversion to f16 and back for nothing, and
// quantizeToF16 may round another way than they store. Subnormal numbers keep more bits than halves have, 3e-8 at most; there is no infinity.
fn output_rounded(v: vec4f) -> vec4f { return vec4f(rounded_half(v.x), rounded_half(v.y), rounded_half(v.z), rounded_half(v.w)); }
fn rounded_half(v: f32) -> f32 {
  let bits = bitcast<u32>(v);
  return bitcast<f32>((bits + (((bits >> 13u) & 1u) | 0x1000u) - 1u) & 0xffffe000u);
}

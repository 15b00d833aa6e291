// output-f16-packed: four neighbouring output values stored as f16, two to a u32, for devices without shader-f16.
alias Output4 = vec2<u32>;
fn output_load(v: Output4) -> vec4f { return vec4f(unpack2x16float(v.x), unpack2x16float(v.y)); }
fn output_store(v: vec4f) -> Output4 { return vec2u(pack2x16float(v.xy), pack2x16float(v.zw)); }
// What a value is once it is stored: to nearest, ties to even. By its bits, because compilers take a conversion to f16 and back for nothing, and
// quantizeToF16 may round another way than they store. Subnormal numbers keep more bits than halves have, 3e-8 at most; there is no infinity.
fn output_rounded(v: vec4f) -> vec4f { return vec4f(rounded_half(v.x), rounded_half(v.y), rounded_half(v.z), rounded_half(v.w)); }
fn rounded_half(v: f32) -> f32 {
  let bits = bitcast<u32>(v);
  return bitcast<f32>((bits + (((bits >> 13u) & 1u) | 0x1000u) - 1u) & 0xffffe000u);
}

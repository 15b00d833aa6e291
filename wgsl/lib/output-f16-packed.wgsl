// output-f16-packed: four neighbouring output values stored as f16, two to a u32, for devices without shader-f16.
alias Output4 = vec2<u32>;
fn output_load(v: Output4) -> vec4f { return vec4f(unpack2x16float(v.x), unpack2x16float(v.y)); }
fn output_store(v: vec4f) -> Output4 { return vec2u(pack2x16float(v.xy), pack2x16float(v.zw)); }
// What a value is once it is stored: to nearest, ties to even, infinite from 65520 on. By its bits, because compilers take a conversion to
// f16 and back for nothing, and quantizeToF16 may round another way than they store. Subnormal numbers stay as they are.
fn output_rounded(v: vec4f) -> vec4f {
  let bits = bitcast<vec4u>(v);
  let nearest = bitcast<vec4f>((bits + 0xfffu + ((bits >> vec4u(13)) & vec4u(1))) & vec4u(0xffffe000u));
  return select(select(nearest, v, abs(v) < vec4f(0x1p-14)), v * 0x1p+127, abs(v) >= vec4f(65520));
}

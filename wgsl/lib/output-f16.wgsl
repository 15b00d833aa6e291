// output-f16: four neighbouring output values stored as f16 (needs shader-f16).
alias Output4 = vec4<f16>;
fn output_load(v: Output4) -> vec4f { return vec4f(v); }
fn output_store(v: vec4f) -> Output4 { return vec4<f16>(v); }
// What a value is once it is stored: to nearest, ties to even, infinite from 65520 on. By its bits, because compilers take a conversion to
// f16 and back for nothing, and quantizeToF16 may round another way than they store. Subnormal numbers stay as they are.
fn output_rounded(v: vec4f) -> vec4f {
  let bits = bitcast<vec4u>(v);
  let nearest = bitcast<vec4f>((bits + 0xfffu + ((bits >> vec4u(13)) & vec4u(1))) & vec4u(0xffffe000u));
  return select(select(nearest, v, abs(v) < vec4f(0x1p-14)), v * 0x1p+127, abs(v) >= vec4f(65520));
}

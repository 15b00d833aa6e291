// output-f16: four neighbouring output values stored as f16 (needs shader-f16).
alias Output4 = vec4<f16>;
fn output_load(v: Output4) -> vec4f { return vec4f(v); }
fn output_store(v: vec4f) -> Output4 { return vec4<f16>(v); }
// What a value is once it is stored. Compilers take a conversion to f16 and back for nothing, but not this one, which makes zeros of
// subnormal numbers: those stay as they are.
fn output_rounded(v: vec4f) -> vec4f { return select(quantizeToF16(v), v, abs(v) < vec4f(0x1p-14)); }

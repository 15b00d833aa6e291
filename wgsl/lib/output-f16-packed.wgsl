// output-f16-packed: four neighbouring output values stored as f16, two to a u32, for devices without shader-f16.
alias Output4 = vec2<u32>;
fn output_load(v: Output4) -> vec4f { return vec4f(unpack2x16float(v.x), unpack2x16float(v.y)); }
fn output_store(v: vec4f) -> Output4 { return vec2u(pack2x16float(v.xy), pack2x16float(v.zw)); }
// What a value is once it is stored. Compilers take a conversion to f16 and back for nothing, but not this one, which makes zeros of
// subnormal numbers: those stay as they are.
fn output_rounded(v: vec4f) -> vec4f { return select(quantizeToF16(v), v, abs(v) < vec4f(0x1p-14)); }

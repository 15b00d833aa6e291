// output-f16: four neighbouring output values stored as f16 (needs shader-f16).
alias Output4 = vec4<f16>;
fn output_load(v: Output4) -> vec4f { return vec4f(v); }
fn output_store(v: vec4f) -> Output4 { return vec4<f16>(v); }

// output-f32: four neighbouring output values stored as f32.
alias Output4 = vec4<f32>;
fn output_load(v: Output4) -> vec4f { return vec4f(v); }
fn output_store(v: vec4f) -> Output4 { return v; }
fn output_rounded(v: vec4f) -> vec4f { return v; }

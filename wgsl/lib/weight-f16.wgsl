// weight-f16: four neighbouring weight values stored as f16 (needs shader-f16).
alias Weight4 = vec4<f16>;
fn weight_load(v: Weight4) -> vec4f { return vec4f(v); }

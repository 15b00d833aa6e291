// weight-f32: four neighbouring weight values stored as f32.
alias Weight4 = vec4<f32>;
fn weight_load(v: Weight4) -> vec4f { return vec4f(v); }

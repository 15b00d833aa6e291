// weight-f16-packed: four neighbouring weight values stored as f16, two to a u32, for devices without shader-f16.
alias Weight4 = vec2<u32>;
fn weight_load(v: Weight4) -> vec4f { return vec4f(unpack2x16float(v.x), unpack2x16float(v.y)); }

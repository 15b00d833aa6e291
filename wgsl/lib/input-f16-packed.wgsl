// input-f16-packed: four neighbouring input values stored as f16, two to a u32, for devices without shader-f16.
// Input4 for vector access; Input1 with input_slot(element) and input_pick(value, element) for single elements.
alias Input4 = vec2<u32>;
fn input_load(v: Input4) -> vec4f { return vec4f(unpack2x16float(v.x), unpack2x16float(v.y)); }
alias Input1 = u32;
fn input_slot(element: u32) -> u32 { return element >> 1u; }
fn input_pick(v: Input1, element: u32) -> f32 { return unpack2x16float(v >> (16u * (element & 1u))).x; }

// input-f16: four neighbouring input values stored as f16 (needs shader-f16).
// Input4 for vector access; Input1 with input_slot(element) and input_pick(value, element) for single elements.
alias Input4 = vec4<f16>;
fn input_load(v: Input4) -> vec4f { return vec4f(v); }
alias Input1 = f16;
fn input_slot(element: u32) -> u32 { return element; }
fn input_pick(v: Input1, element: u32) -> f32 { return f32(v); }

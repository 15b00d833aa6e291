// matrix-input-f16: eight neighbouring input values stored as f16. Needs lib/matrix-f16 or lib/matrix-f32.
alias Input8 = vec4u;
fn input_eight(v: Input8) -> Eight { return eight_of_halves(v); }

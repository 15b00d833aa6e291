// matrix-input-f32: eight neighbouring input values stored as f32. Needs lib/matrix-f16 or lib/matrix-f32.
alias Input8 = mat2x4f;
fn input_eight(v: Input8) -> Eight { return eight_of(v[0], v[1]); }

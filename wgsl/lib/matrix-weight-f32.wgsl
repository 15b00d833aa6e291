// matrix-weight-f32: eight neighbouring weight values stored as f32. Needs lib/matrix-f16 or lib/matrix-f32.
alias Weight8 = mat2x4f;
fn weight_eight(v: Weight8) -> Eight { return eight_of(v[0], v[1]); }

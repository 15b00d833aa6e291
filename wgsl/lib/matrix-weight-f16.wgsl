// matrix-weight-f16: eight neighbouring weight values stored as f16. Needs lib/matrix-f16 or lib/matrix-f32.
alias Weight8 = vec4u;
fn weight_eight(v: Weight8) -> Eight { return eight_of_halves(v); }

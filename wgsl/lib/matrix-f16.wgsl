// matrix-f16: fragments of halves. An Eight is eight neighbouring values, in workgroup memory a slot of four words.
// The kernel declares the workgroup array `stage` of slots.
alias Component = f16;
alias Slot = vec4u;
const SLOTS: u32 = 1;  // of an eight
alias Eight = vec4u;
fn eight_of(lo: vec4f, hi: vec4f) -> Eight {
  return vec4u(pack2x16float(lo.xy), pack2x16float(lo.zw), pack2x16float(hi.xy), pack2x16float(hi.zw));
}
fn eight_of_halves(v: vec4u) -> Eight { return v; }
fn eight_or_zero(v: Eight, known: bool) -> Eight { return select(Eight(0u), v, known); }
fn put(slot: u32, v: Eight) { stage[slot] = v; }

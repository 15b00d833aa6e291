// matrix-f32: fragments of singles. An Eight is eight neighbouring values, in workgroup memory two slots of four words.
// The kernel declares the workgroup array `stage` of slots.
alias Component = f32;
alias Slot = vec4u;
const SLOTS: u32 = 2;  // of an eight
struct Eight { lo: vec4u, hi: vec4u }
fn eight_of(lo: vec4f, hi: vec4f) -> Eight { return Eight(bitcast<vec4u>(lo), bitcast<vec4u>(hi)); }
fn eight_of_halves(v: vec4u) -> Eight {
  return eight_of(vec4f(unpack2x16float(v.x), unpack2x16float(v.y)), vec4f(unpack2x16float(v.z), unpack2x16float(v.w)));
}
fn eight_or_zero(v: Eight, known: bool) -> Eight {
  return Eight(select(vec4u(0u), v.lo, known), select(vec4u(0u), v.hi, known));
}
fn put(slot: u32, v: Eight) {
  stage[slot] = v.lo;
  stage[slot + 1u] = v.hi;
}

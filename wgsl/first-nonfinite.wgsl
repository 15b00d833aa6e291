// first-nonfinite: found = min(found, step.number) where x holds an infinity or a NaN; else found stays as it is.
//
//   x      [N, P, pitch]  Input
//   step   Step                number = the step that x is of
//   found  u32                 set to more than any step before the first; the least step with a bad value behind the last
//
// The exponent's bits are read, because compilers may take for granted that floats are finite. Tiles: WORKGROUP neighbouring
// vec4s of x. Traffic: x once; found only where something is wrong.
// Reference: torch.isfinite(x).all(). Exact.
// Needs: lib/input, lib/step.

const WORKGROUP: u32 = 64;

struct Params {
  first_tile: u32, end_tile: u32,
  count: u32,    // vec4s of x
  x_base: u32,   // vec4
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<Input4>;
@group(0) @binding(2) var<storage, read> step: Step;
@group(0) @binding(3) var<storage, read_write> found: atomic<u32>;

const EXPONENT = vec4u(0x7f800000u);

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let tile = p.first_tile + wid.y * nwg.x + wid.x;
  if (tile >= p.end_tile) { return; }
  let i = tile * WORKGROUP + lane;
  if (i >= p.count) { return; }
  let bits = bitcast<vec4u>(input_load(x[i - p.x_base]));
  if (any((bits & EXPONENT) == EXPONENT)) { atomicMin(&found, step.number); }
}

// fma: how many multiply-adds an adapter makes where nothing waits for memory: y = sum over loops of x after STEPS times x = x * m + a.
// With m = 1 and whole a every value is exact, in f16 too, so that a step left out shows; m and a come from memory, so that no compiler
// knows them. The start differs from loop to loop, so that none takes the work out of the loop.
//
//   x   [2]                    vec4f  m and a
//   y   [tiles * THREADS]      vec4f  sums of all chains
//
// Each invocation keeps CHAINS vec4 that do not wait for each other: 8 to 16 sums in registers, as many as hide the latency of the units.
// Tiles: one a workgroup. Traffic: next to none. Numerics: exact while loops * CHAINS * (STEPS + 3) stays below 2^24. Sums in f32.
// Source: Williams et al. 2009, Roofline, whose first ceiling this is. Needs: shader-f16 where Vector is of halves.

alias Vector = vec4<f32>;
alias Scalar = f32;
const THREADS: u32 = 64;
const CHAINS: u32 = 4;   // 2, 3 or 4
const STEPS: u32 = 256;  // of a loop, a multiple of 8

struct Params { first_tile: u32, end_tile: u32, loops: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>;

fn eight(v: Vector, m: Vector, a: Vector) -> Vector {
  return fma(fma(fma(fma(fma(fma(fma(fma(v, m, a), m, a), m, a), m, a), m, a), m, a), m, a), m, a);
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) thread: u32) {
  let tile = p.first_tile + wid.y * nwg.x + wid.x;
  if (tile >= p.end_tile) { return; }
  let m = Vector(Scalar(x[0].x));
  let a = Vector(Scalar(x[1].x));
  var total = vec4f(0.0);
  for (var loop_index = 0u; loop_index < p.loops; loop_index++) {
    let start = Vector(Scalar(f32(loop_index & 3u)));
    var c0 = start;
    var c1 = start;
    var c2 = start;
    var c3 = start;
    for (var i = 0u; i < STEPS / 8u; i++) {
      c0 = eight(c0, m, a);
      c1 = eight(c1, m, a);
      if (CHAINS > 2u) { c2 = eight(c2, m, a); }
      if (CHAINS > 3u) { c3 = eight(c3, m, a); }
    }
    total += vec4f(c0) + vec4f(c1);
    if (CHAINS > 2u) { total += vec4f(c2); }
    if (CHAINS > 3u) { total += vec4f(c3); }
  }
  y[tile * THREADS + thread] = total;
}

// fold-doubling: four 2 x 2 kernels that do to a map what a 3 x 3 kernel does to the map enlarged twofold by nearest neighbour: of three
// neighbouring taps two always meet the same pixel. A phase (py, px) is the parity of an output pixel; along each axis its taps are
//   0: w0, w1 + w2     1: w0 + w1, w2
//
//   b  panels [N/32][9][K][32]           Weight  taps (ky, kx)
//   y  panels [N/32][2 lines][4][K][32]  Output  phases (py, px) of the asked py, then taps (ky, kx)
//
// Tiles: WORKGROUP * EACH neighbouring vec4s of one tap, all panels. Traffic: b once, y once. Sums in f32.
// Reference: kernels of sub-pixels as in Shi et al. 2016, https://arxiv.org/abs/1609.07009.
// Needs: lib/weight, lib/output.

const WORKGROUP: u32 = 256;
const EACH: u32 = 4;

struct Params {
  first_tile: u32, end_tile: u32,
  count: u32,  // vec4s of one tap in all panels
  tap: u32,    // vec4s of one tap in a panel
  line: u32, lines: u32,  // first py, how many
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> b: array<Weight4>;
@group(0) @binding(2) var<storage, read_write> y: array<Output4>;

// Taps 0 and 1 of one phase of a line of three.
struct Pair { first: vec4f, second: vec4f }

fn folded(phase: u32, a: vec4f, b: vec4f, c: vec4f) -> Pair {
  if (phase == 0u) { return Pair(a, b + c); }
  return Pair(a + b, c);
}

fn tap_at(start: u32, tap: u32) -> vec4f {
  return weight_load(b[start + tap * p.tap]);
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let tile = p.first_tile + wid.y * nwg.x + wid.x;
  if (tile >= p.end_tile) { return; }
  for (var j = 0u; j < EACH; j++) {
    let i = (tile * EACH + j) * WORKGROUP + lane;
    if (i >= p.count) { return; }
    let within = i % p.tap;
    let source = i / p.tap * 9u * p.tap + within;
    let w00 = tap_at(source, 0u); let w01 = tap_at(source, 1u); let w02 = tap_at(source, 2u);
    let w10 = tap_at(source, 3u); let w11 = tap_at(source, 4u); let w12 = tap_at(source, 5u);
    let w20 = tap_at(source, 6u); let w21 = tap_at(source, 7u); let w22 = tap_at(source, 8u);
    var to = i / p.tap * 8u * p.lines * p.tap + within;
    for (var py = p.line; py < p.line + p.lines; py++) {
      let left = folded(py, w00, w10, w20);
      let middle = folded(py, w01, w11, w21);
      let right = folded(py, w02, w12, w22);
      for (var px = 0u; px < 2u; px++) {
        let top = folded(px, left.first, middle.first, right.first);
        let bottom = folded(px, left.second, middle.second, right.second);
        y[to] = output_store(top.first);
        y[to + p.tap] = output_store(top.second);
        y[to + 2u * p.tap] = output_store(bottom.first);
        y[to + 3u * p.tap] = output_store(bottom.second);
        to += 4u * p.tap;
      }
    }
  }
}

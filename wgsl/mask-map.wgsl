// mask-map: map += map_weight * mean over channels of |T - S|, how far the predictions for two prompts differ at each pixel.
//   S = a + g * (b - a), T = c + g * (d - c)   where GUIDED; else S = a, T = b
// Couairon et al. 2022, DiffEdit, section 3.2, https://arxiv.org/abs/2210.11427
//
//   a, b, c, d  [4B or 2B, P, pitch]  Input  each the whole prediction, of whose blocks of B = N * per_map images it is one;
//                                            c and d are not read where there are two
//   step        Step                  g = guidance; map_weight; map_first = 1 overwrites
//   map         [N, P, 8]             f32    lane 0, the others zero; map n takes images n * per_map ... of each block
//
// Tiles: WORKGROUP pixels. Traffic: prediction once, map twice. Sums in f32.
// Needs: lib/input, lib/step.

const WORKGROUP: u32 = 64;
const GUIDED: bool = true;

struct Params {
  first_tile: u32, end_tile: u32,
  count: u32,    // pixels of all maps
  pixels: u32, per_map: u32, channels: u32,
  pitch: u32,    // vec4
  block: u32,    // vec4s of a block
  a_base: u32, b_base: u32, c_base: u32, d_base: u32, map_base: u32,  // vec4
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<Input4>;
@group(0) @binding(2) var<storage, read> b: array<Input4>;
@group(0) @binding(3) var<storage, read> c: array<Input4>;
@group(0) @binding(4) var<storage, read> d: array<Input4>;
@group(0) @binding(5) var<storage, read> step: Step;
@group(0) @binding(6) var<storage, read_write> map: array<vec4f>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let tile = p.first_tile + wid.y * nwg.x + wid.x;
  if (tile >= p.end_tile) { return; }
  let i = tile * WORKGROUP + lane;
  if (i >= p.count) { return; }
  var sum = vec4f(0.0);
  for (var j = 0u; j < p.per_map; j++) {
    let start = ((i / p.pixels * p.per_map + j) * p.pixels + i % p.pixels) * p.pitch;
    for (var column = 0u; 4u * column < p.channels; column++) {
      let at = start + column;
      var source = input_load(a[at - p.a_base]);
      var goal = input_load(b[at + p.block - p.b_base]);
      if (GUIDED) {
        source += step.guidance * (goal - source);
        goal = input_load(c[at + 2u * p.block - p.c_base]);
        goal += step.guidance * (input_load(d[at + 3u * p.block - p.d_base]) - goal);
      }
      sum += select(vec4f(0.0), abs(goal - source), vec4u(4u * column) + vec4u(0u, 1u, 2u, 3u) < vec4u(p.channels));
    }
  }
  var v = (sum.x + sum.y + sum.z + sum.w) / f32(p.channels) * step.map_weight;
  let own = 2u * i - p.map_base;
  if (step.map_first == 0u) { v += map[own].x; }
  map[own] = vec4f(v, 0.0, 0.0, 0.0);
  map[own + 1u] = vec4f(0.0);
}

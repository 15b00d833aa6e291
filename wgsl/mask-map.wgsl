// mask-map: map += map_weight * mean over channels of |T - S|, how far the predictions for two prompts differ at each pixel.
//   S = a + g * (b - a), T = c + g * (d - c)   where GUIDED; else S = a, T = c
// Couairon et al. 2022, DiffEdit, section 3.2, https://arxiv.org/abs/2210.11427
//
//   prediction  [4B or 2B, P, pitch]  Input  blocks a, b, c, d (or a, c) of B = N * per_map images each
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
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> prediction: array<Input4>;
@group(0) @binding(2) var<storage, read> step: Step;
@group(0) @binding(3) var<storage, read_write> map: array<vec4f>;

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
      var source = input_load(prediction[at]);
      var goal = input_load(prediction[at + select(1u, 2u, GUIDED) * p.block]);
      if (GUIDED) {
        source += step.guidance * (input_load(prediction[at + p.block]) - source);
        goal += step.guidance * (input_load(prediction[at + 3u * p.block]) - goal);
      }
      sum += select(vec4f(0.0), abs(goal - source), vec4u(4u * column) + vec4u(0u, 1u, 2u, 3u) < vec4u(p.channels));
    }
  }
  var v = (sum.x + sum.y + sum.z + sum.w) / f32(p.channels) * step.map_weight;
  if (step.map_first == 0u) { v += map[2u * i].x; }
  map[2u * i] = vec4f(v, 0.0, 0.0, 0.0);
  map[2u * i + 1u] = vec4f(0.0);
}

// history-store: history[step.history] = x, one entry of a series of latents; the others stay as they are.
//
//   x        [N, P, pitch]     f32
//   step     Step              history = the entry to write
//   history  [T, N, P, pitch]  f32
//
// Tiles: WORKGROUP neighbouring vec4s of x, once for each group of entries that one binding can hold; only those of the group
// that has the entry do anything. Traffic: x twice.
// Reference: Tensor.select(0, n).copy_(x). Exact.
// Needs: lib/step.

const WORKGROUP: u32 = 64;

struct Params {
  first_tile: u32, end_tile: u32,
  count: u32,    // vec4s of x
  entries: u32,  // T; an entry beyond it is not written
  group_tiles: u32, group_frames: u32,  // tiles and entries of a group
  x_base: u32, history_base: u32,       // vec4
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<storage, read> step: Step;
@group(0) @binding(3) var<storage, read_write> history: array<vec4f>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let tile = p.first_tile + wid.y * nwg.x + wid.x;
  if (tile >= p.end_tile) { return; }
  let i = tile % p.group_tiles * WORKGROUP + lane;
  if (i >= p.count || step.history >= p.entries || step.history / p.group_frames != tile / p.group_tiles) { return; }
  history[step.history * p.count + i - p.history_base] = x[i - p.x_base];
}

// guided-noise: e = u + guidance * (c - u), the prediction after classifier-free guidance.
// Ho & Salimans 2022, Classifier-Free Diffusion Guidance, https://arxiv.org/abs/2207.12598
//
//   prediction  [2N, P, pitch]  Input  the N unconditional ones first
//   conditional                 Input  the prediction again: its second half is read here
//   step        Step                   guidance
//   e           [N, P, pitch]   f32    padding zero, as in the prediction
//
// One invocation per vec4 of e. Tiles: WORKGROUP of them. Traffic: both once. Arithmetic in f32.
// Needs: lib/input, lib/step.

const WORKGROUP: u32 = 64;

struct Params {
  first_tile: u32, end_tile: u32,
  count: u32,  // vec4s of e
  prediction_base: u32, conditional_base: u32, e_base: u32,  // vec4
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> prediction: array<Input4>;
@group(0) @binding(2) var<storage, read> conditional: array<Input4>;
@group(0) @binding(3) var<storage, read> step: Step;
@group(0) @binding(4) var<storage, read_write> e: array<vec4f>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let tile = p.first_tile + wid.y * nwg.x + wid.x;
  if (tile >= p.end_tile) { return; }
  let i = tile * WORKGROUP + lane;
  if (i >= p.count) { return; }
  let u = input_load(prediction[i - p.prediction_base]);
  e[i - p.e_base] = u + step.guidance * (input_load(conditional[p.count + i - p.conditional_base]) - u);
}

// add-noise: y = noised_x * x + noised_e * noise, a clean latent brought to the noise level of a timestep.
// Ho et al. 2020, equation 4, https://arxiv.org/abs/2006.11239
//
//   x      [N, P, pitch]           f32
//   noise  [N * repeat, P, pitch]  f32     image m of it belongs to image m / repeat of x
//   step   Step
//   y      [N * repeat, P, pitch]  Output  padding zero, as in x and noise
//
// Tiles: WORKGROUP neighbouring vec4s of y. Traffic: every operand once. Arithmetic in f32.
// Needs: lib/output, lib/step.

const WORKGROUP: u32 = 64;

struct Params {
  first_tile: u32, end_tile: u32,
  count: u32,         // vec4s of y
  image_size: u32,    // vec4s of an image
  repeat: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<storage, read> noise: array<vec4f>;
@group(0) @binding(3) var<storage, read> step: Step;
@group(0) @binding(4) var<storage, read_write> y: array<Output4>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let tile = p.first_tile + wid.y * nwg.x + wid.x;
  if (tile >= p.end_tile) { return; }
  let i = tile * WORKGROUP + lane;
  if (i >= p.count) { return; }
  let clean = x[i / p.image_size / p.repeat * p.image_size + i % p.image_size];
  y[i] = output_store(step.noised_x * clean + step.noised_e * noise[i]);
}

// noised-blend: keeps a picture where a mask is 0, at a noise level of its own.
// Lugmayr et al. 2022, RePaint, https://arxiv.org/abs/2201.09865, equation 8
//
//   x' = m * x + (1 - m) * (out_x0 * clean + sigma * noise)
//
//   x      [N, P, pitch]  f32   in place; padding zero
//   step   Step                 out_x0 and sigma
//   mask   [N, P, 8]      f32   in lane 0
//   clean  [N, P, pitch]  f32
//   noise  [N, P, pitch]  f32
//
// One invocation per vec4 of x. Tiles: WORKGROUP of them. Traffic: every operand once, x twice. Arithmetic in f32.
// Needs: lib/step.

const WORKGROUP: u32 = 64;

struct Params {
  first_tile: u32, end_tile: u32,
  count: u32,    // vec4s of x
  columns: u32,  // vec4s of a row
  channels: u32,
  x_base: u32, mask_base: u32, clean_base: u32, noise_base: u32,  // vec4
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> x: array<vec4f>;
@group(0) @binding(2) var<storage, read> step: Step;
@group(0) @binding(3) var<storage, read> mask: array<vec4f>;
@group(0) @binding(4) var<storage, read> clean: array<vec4f>;
@group(0) @binding(5) var<storage, read> noise: array<vec4f>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let tile = p.first_tile + wid.y * nwg.x + wid.x;
  if (tile >= p.end_tile) { return; }
  let i = tile * WORKGROUP + lane;
  if (i >= p.count) { return; }
  let m = mask[2u * (i / p.columns) - p.mask_base].x;
  let known = step.out_x0 * clean[i - p.clean_base] + step.sigma * noise[i - p.noise_base];
  let value = m * x[i - p.x_base] + (1.0 - m) * known;
  let channel = vec4u(4u * (i % p.columns)) + vec4u(0u, 1u, 2u, 3u);
  x[i - p.x_base] = select(vec4f(0.0), value, channel < vec4u(p.channels));
}

// clean-bound: how far the predicted clean latents of an image may reach: a quantile of their magnitudes, between 1 and most.
// Saharia et al. 2022, Photorealistic Text-to-Image Diffusion Models, section 2.3 (dynamic thresholding), https://arxiv.org/abs/2205.11487
//
//   x0    = x0_x * x + x0_e * e
//   bound = clamp(low + weight * (high - low), 1, most), low and high the magnitudes |x0| of the ranks `rank` and `rank_up` of P * channels
//
//   e      [N, P, pitch]  f32   the guided prediction
//   x      [N, P, pitch]  f32
//   step   Step                 x0_x, x0_e
//   bound  [N, 8]         f32   lane 0, the others zero
//
// The bits of magnitudes are ordered as the magnitudes are: a rank's bits are found from the highest down, by counting what is below.
// Tiles: one image a workgroup. Traffic: e and x 32 times, by the caches. Arithmetic in f32, counts exact.
// Reference: torch.quantile, DDIMScheduler._threshold_sample of diffusers.
// Needs: lib/step.

const WORKGROUP: u32 = 256;

struct Params {
  first_tile: u32, end_tile: u32,
  count: u32,     // P * channels
  channels: u32,
  pixels: u32,
  pitch: u32,     // elements
  rank: u32, rank_up: u32,
  weight: f32,
  most: f32,
  e_base: u32, x_base: u32, bound_base: u32,  // vec4
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> e: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read> step: Step;
@group(0) @binding(4) var<storage, read_write> bound: array<vec4f>;

var<workgroup> shared_count: atomic<u32>;
var<workgroup> shared_least: atomic<u32>;
var<workgroup> shared_answer: u32;

fn magnitude(image: u32, i: u32) -> u32 {
  let at = (image * p.pixels + i / p.channels) * p.pitch + i % p.channels;
  return bitcast<u32>(step.x0_x * x[at - 4u * p.x_base] + step.x0_e * e[at - 4u * p.e_base]) & 0x7fffffffu;
}

// How many magnitudes have bits below these. In uniform control flow.
fn below(image: u32, bits: u32, lane: u32) -> u32 {
  if (lane == 0u) { atomicStore(&shared_count, 0u); }
  workgroupBarrier();
  var count = 0u;
  for (var i = lane; i < p.count; i += WORKGROUP) { count += select(0u, 1u, magnitude(image, i) < bits); }
  atomicAdd(&shared_count, count);
  workgroupBarrier();
  if (lane == 0u) { shared_answer = atomicLoad(&shared_count); }
  return workgroupUniformLoad(&shared_answer);
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let image = p.first_tile + wid.y * nwg.x + wid.x;
  if (image >= p.end_tile) { return; }
  var low = 0u;
  for (var bit = 0x40000000u; bit > 0u; bit >>= 1u) {
    if (below(image, low | bit, lane) <= p.rank) { low |= bit; }
  }
  var high = low;
  if (below(image, low + 1u, lane) <= p.rank_up) {
    if (lane == 0u) { atomicStore(&shared_least, 0xffffffffu); }
    workgroupBarrier();
    for (var i = lane; i < p.count; i += WORKGROUP) {
      let bits = magnitude(image, i);
      if (bits > low) { atomicMin(&shared_least, bits); }
    }
    workgroupBarrier();
    high = atomicLoad(&shared_least);
  }
  if (lane != 0u) { return; }
  let from_low = bitcast<f32>(low);
  let gap = bitcast<f32>(high) - from_low;
  let quantile = select(from_low + gap - gap * (1.0 - p.weight), from_low + p.weight * gap, p.weight < 0.5);
  let at = 2u * image - p.bound_base;
  bound[at] = vec4f(min(max(quantile, 1.0), p.most), 0.0, 0.0, 0.0);
  bound[at + 1u] = vec4f(0.0);
}

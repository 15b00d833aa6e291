// guided-step: classifier-free guidance, one step of a linear sampler, and the masked blend, in one pass over the latents.
// Ho & Salimans 2022, Classifier-Free Diffusion Guidance, https://arxiv.org/abs/2207.12598; Song et al. 2021, Denoising
// Diffusion Implicit Models, https://arxiv.org/abs/2010.02502; Couairon et al. 2023, DiffEdit, https://arxiv.org/abs/2210.11427;
// Levin & Fried 2023, Differential Diffusion, https://arxiv.org/abs/2306.00950
//
//   e   = u + guidance * (c - u)             where GUIDED, else c
//   x0  = x0_x * x + x0_e * e                within +-clip where clip > 0; where BOUNDED within +-bound, over it
//   eps = eps_x * x + eps_e * e
//   x'  = out_x0 * x0 + out_eps * eps        + sigma * noise where NOISE
//   x'  = x' * m + reference * (1 - m)       where BLEND; with SOFT m is 1 where the mask is above mask_above, else 0
//
//   prediction  [N or 2N, P, pitch]  Input  where GUIDED the N unconditional ones first
//   conditional                      Input  the prediction again: where GUIDED its second half is read here
//   x           [N, P, pitch]        f32    in place; padding zero
//   step        Step                        the coefficients, reference, the frame to blend with, and mask_above
//   noise       [N, P, pitch]        f32    where NOISE
//   mask        [M, P, 8]            f32    where BLEND, in lane 0; mask of image n: n % M where mask_tiled, else n * M / N
//   reference   [T, R, P, pitch]     f32    where BLEND, at that frame; image n meets image n * R / N
//   bound       [N, 8]               f32    where BOUNDED, in lane 0
//
// One invocation per vec4 of x. Tiles: WORKGROUP of them, once for each group of frames that one binding can hold; only those of
// the group that has the frame do anything. Traffic: every operand once, x twice. Arithmetic in f32.
// Needs: lib/input, lib/step.

const WORKGROUP: u32 = 64;
const GUIDED: bool = true;
const NOISE: bool = false;
const BLEND: bool = false;
const SOFT: bool = false;
const BOUNDED: bool = false;

struct Params {
  first_tile: u32, end_tile: u32,
  count: u32,    // vec4s of x
  columns: u32,  // vec4s of a row
  pixels: u32, channels: u32,
  images: u32, masks: u32, mask_tiled: u32, references: u32,
  frames: u32,   // T
  group_tiles: u32, group_frames: u32,  // tiles and frames of a group
  prediction_base: u32, conditional_base: u32, x_base: u32, noise_base: u32, mask_base: u32, reference_base: u32,  // vec4
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> prediction: array<Input4>;
@group(0) @binding(2) var<storage, read> conditional: array<Input4>;
@group(0) @binding(3) var<storage, read_write> x: array<vec4f>;
@group(0) @binding(4) var<storage, read> step: Step;
@group(0) @binding(5) var<storage, read> noise: array<vec4f>;
@group(0) @binding(6) var<storage, read> mask: array<vec4f>;
@group(0) @binding(7) var<storage, read> reference: array<vec4f>;
@group(0) @binding(8) var<storage, read> bound: array<vec4f>;

fn guided(i: u32) -> vec4f {
  let u = input_load(prediction[i - p.prediction_base]);
  if (!GUIDED) { return u; }
  return u + step.guidance * (input_load(conditional[p.count + i - p.conditional_base]) - u);
}

// The frame of the reference to blend with.
fn frame() -> u32 { return min(step.reference, p.frames - 1u); }

fn blended(value: vec4f, i: u32) -> vec4f {
  let image_size = p.pixels * p.columns;
  let image = i / image_size;
  let mask_image = select(image * p.masks / p.images, image % p.masks, p.mask_tiled == 1u);
  var m = mask[2u * (mask_image * p.pixels + i % image_size / p.columns) - p.mask_base].x;
  if (SOFT) { m = select(0.0, 1.0, m > step.mask_above); }
  let reference_image = frame() * p.references + image * p.references / p.images;
  return value * m + reference[reference_image * image_size + i % image_size - p.reference_base] * (1.0 - m);
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let tile = p.first_tile + wid.y * nwg.x + wid.x;
  if (tile >= p.end_tile) { return; }
  let i = tile % p.group_tiles * WORKGROUP + lane;
  if (i >= p.count) { return; }
  if (BLEND && frame() / p.group_frames != tile / p.group_tiles) { return; }
  let e = guided(i);
  let old = x[i - p.x_base];
  var x0 = step.x0_x * old + step.x0_e * e;
  if (step.clip > 0.0) { x0 = clamp(x0, vec4f(-step.clip), vec4f(step.clip)); }
  if (BOUNDED) {
    let most = bound[2u * (i / (p.pixels * p.columns))].x;
    x0 = clamp(x0, vec4f(-most), vec4f(most)) / most;
  }
  let eps = step.eps_x * old + step.eps_e * e;
  var value = step.out_x0 * x0 + step.out_eps * eps;
  if (NOISE) { value += step.sigma * noise[i - p.noise_base]; }
  if (BLEND) { value = blended(value, i); }
  let channel = vec4u(4u * (i % p.columns)) + vec4u(0u, 1u, 2u, 3u);
  x[i - p.x_base] = select(vec4f(0.0), value, channel < vec4u(p.channels));
}

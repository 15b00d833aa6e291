// linear-step: classifier-free guidance and one step of any sampler whose results are weighted sums, in one pass over the latents.
// Ho & Salimans 2022, Classifier-Free Diffusion Guidance, https://arxiv.org/abs/2207.12598; Lu et al. 2022, DPM-Solver++,
// https://arxiv.org/abs/2211.01095; Zhao et al. 2023, UniPC, https://arxiv.org/abs/2302.04867; Liu et al. 2022, PNDM,
// https://arxiv.org/abs/2202.09778
//
//   e   = u + guidance * (c - u)          where GUIDED, else c
//   x0  = x0_x * x + x0_e * e             within +-clip where clip > 0; where BOUNDED within +-bound, over it
//   row = w0 * x + w1 * e + w2 * x0 + w3 * noise + sum over k of w[4 + k] * kept[k]
//   x' is row 0 of the weights, kept[k]' is row 1 + k: all of them of the values as they were before the step
//
//   prediction  [N or 2N, P, pitch]    Input  where GUIDED the N unconditional ones first
//   conditional                        Input  the prediction again: where GUIDED its second half is read here
//   x           [N, P, pitch]          f32    in place; padding zero
//   step        Step                          guidance, x0_x, x0_e and clip
//   weights     [1 + SLOTS, 4 + SLOTS] f32
//   noise       [N, P, pitch]          f32    where NOISE
//   kept        [N, P, pitch / 4, SLOTS] vec4f in place, where SLOTS > 0: the slots of a vec4 of x lie beside each other
//   bound       [N, 8]                 f32    where BOUNDED, in lane 0
//
// One invocation per vec4 of x. Tiles: WORKGROUP of them. Traffic: every operand once, x and kept twice. Arithmetic in f32.
// Needs: lib/input, lib/step.

const WORKGROUP: u32 = 64;
const GUIDED: bool = true;
const NOISE: bool = false;
const BOUNDED: bool = false;
const SLOTS: u32 = 1;
const ROW: u32 = 4u + SLOTS;

struct Params {
  first_tile: u32, end_tile: u32,
  count: u32,    // vec4s of x
  columns: u32,  // vec4s of a row
  pixels: u32, channels: u32,
  prediction_base: u32, conditional_base: u32, x_base: u32, noise_base: u32, kept_base: u32,  // vec4
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> prediction: array<Input4>;
@group(0) @binding(2) var<storage, read> conditional: array<Input4>;
@group(0) @binding(3) var<storage, read_write> x: array<vec4f>;
@group(0) @binding(4) var<storage, read> step: Step;
@group(0) @binding(5) var<storage, read> weights: array<f32>;
@group(0) @binding(6) var<storage, read> noise: array<vec4f>;
@group(0) @binding(7) var<storage, read_write> kept: array<vec4f>;
@group(0) @binding(8) var<storage, read> bound: array<vec4f>;

fn guided(i: u32) -> vec4f {
  let u = input_load(prediction[i - p.prediction_base]);
  if (!GUIDED) { return u; }
  return u + step.guidance * (input_load(conditional[p.count + i - p.conditional_base]) - u);
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let tile = p.first_tile + wid.y * nwg.x + wid.x;
  if (tile >= p.end_tile) { return; }
  let i = tile * WORKGROUP + lane;
  if (i >= p.count) { return; }
  let e = guided(i);
  let old = x[i - p.x_base];
  var x0 = step.x0_x * old + step.x0_e * e;
  if (step.clip > 0.0) { x0 = clamp(x0, vec4f(-step.clip), vec4f(step.clip)); }
  if (BOUNDED) {
    let most = bound[2u * (i / (p.pixels * p.columns))].x;
    x0 = clamp(x0, vec4f(-most), vec4f(most)) / most;
  }
  var fresh = vec4f(0.0);
  if (NOISE) { fresh = noise[i - p.noise_base]; }
  let channel = vec4u(4u * (i % p.columns)) + vec4u(0u, 1u, 2u, 3u);
  let first = i * SLOTS - p.kept_base;
  var slots: array<vec4f, SLOTS + 1u>;  // one more, so that there is an array without slots
  for (var k = 0u; k < SLOTS; k++) { slots[k] = kept[first + k]; }
  for (var row = 0u; row <= SLOTS; row++) {
    let w = row * ROW;
    var sum = weights[w] * old + weights[w + 1u] * e + weights[w + 2u] * x0;
    if (NOISE) { sum += weights[w + 3u] * fresh; }
    for (var k = 0u; k < SLOTS; k++) { sum += weights[w + 4u + k] * slots[k]; }
    sum = select(vec4f(0.0), sum, channel < vec4u(p.channels));
    if (row == 0u) { x[i - p.x_base] = sum; } else { kept[first + row - 1u] = sum; }
  }
}

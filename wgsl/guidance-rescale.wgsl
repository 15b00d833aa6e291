// guidance-rescale: e = e * (rescale * std(c) / std(e) + 1 - rescale) for each image, so that strong guidance does not spread the
// prediction wider than the conditional one is.
// Lin et al. 2023, Common Diffusion Noise Schedules and Sample Steps are Flawed, section 3.4, https://arxiv.org/abs/2305.08891
//
//   conditional  [2N, P, pitch]  Input  the whole prediction: its second half is read
//   step         Step                   rescale
//   e            [N, P, pitch]   f32    after guidance, in place; padding zero
//
// Tiles: one per image. Traffic: both three times, of which two stay in caches. Means first, then squares of what is left, so that
// nothing cancels; sums in f32, invocation by invocation, then as a tree. An e without any spread stays as it is.
// Needs: lib/input, lib/step.

const LANES: u32 = 256;  // a power of two

struct Params {
  first_tile: u32, end_tile: u32,
  count: u32,    // vec4s of an image
  columns: u32,  // vec4s of a row
  channels: u32,
  images: u32,   // N
  values: u32,   // of an image, without padding
  conditional_base: u32, e_base: u32,  // vec4
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> conditional: array<Input4>;
@group(0) @binding(2) var<storage, read> step: Step;
@group(0) @binding(3) var<storage, read_write> e: array<vec4f>;

var<workgroup> sums: array<vec2f, LANES>;

fn sum_of(lane: u32, value: vec2f) -> vec2f {
  workgroupBarrier();  // the previous result has been read
  sums[lane] = value;
  workgroupBarrier();
  for (var width = LANES / 2u; width > 0u; width /= 2u) {
    if (lane < width) { sums[lane] += sums[lane + width]; }
    workgroupBarrier();
  }
  return sums[0];
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let image = p.first_tile + wid.y * nwg.x + wid.x;
  if (image >= p.end_tile) { return; }
  let own = image * p.count - p.e_base;
  let text = (p.images + image) * p.count - p.conditional_base;
  let total = f32(p.values);

  var sum = vec2f(0.0);
  for (var i = lane; i < p.count; i += LANES) {
    let inside = inside_of(i);
    sum += vec2f(dot(input_load(conditional[text + i]), inside), dot(e[own + i], inside));
  }
  let mean = sum_of(lane, sum) / total;
  var squares = vec2f(0.0);
  for (var i = lane; i < p.count; i += LANES) {
    let inside = inside_of(i);
    let c = (input_load(conditional[text + i]) - mean.x) * inside;
    let g = (e[own + i] - mean.y) * inside;
    squares += vec2f(dot(c, c), dot(g, g));
  }
  let spread = sqrt(sum_of(lane, squares));
  if (spread.y == 0.0) { return; }
  let factor = step.rescale * (spread.x / spread.y) + (1.0 - step.rescale);
  for (var i = lane; i < p.count; i += LANES) { e[own + i] *= factor; }
}

// 1 where a lane of a row's vec4 is a channel, 0 in the padding.
fn inside_of(i: u32) -> vec4f {
  let channel = vec4u(4u * (i % p.columns)) + vec4u(0u, 1u, 2u, 3u);
  return select(vec4f(0.0), vec4f(1.0), channel < vec4u(p.channels));
}

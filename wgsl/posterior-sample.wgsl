// posterior-sample: z = scaling * (mean + exp(0.5 * clamp(logvar, -30, 20)) * noise), a draw from the encoder's Gaussian; or
// its mean or its standard deviation alone.
// Kingma & Welling 2014, https://arxiv.org/abs/1312.6114
//
//   moments  [N, P, m_pitch]         Input   means in the first C channels, log variances in the C behind them
//   noise    [N * repeat, P, pitch]  f32     where TAKE is 0, else unused
//   z        [N * repeat, P, pitch]  Output  image m from moments m / repeat; padding zero
//
// Tiles: WORKGROUP neighbouring vec4s of z. Traffic: every operand once. Arithmetic in f32.
// Needs: lib/input, lib/output, lib/shift.

const WORKGROUP: u32 = 64;
const TAKE: u32 = 0;  // 0 sample, 1 mean, 2 standard deviation

struct Params {
  first_tile: u32, end_tile: u32,
  count: u32,               // vec4s of z
  channels: u32,
  m_pitch: u32, pitch: u32, // vec4
  pixels: u32, repeat: u32,
  scaling: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> moments: array<Input4>;
@group(0) @binding(2) var<storage, read> noise: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> z: array<Output4>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let tile = p.first_tile + wid.y * nwg.x + wid.x;
  if (tile >= p.end_tile) { return; }
  let i = tile * WORKGROUP + lane;
  if (i >= p.count) { return; }
  let column = i % p.pitch;
  let row = i / p.pitch;
  var v = vec4f(0.0);
  if (4u * column < p.channels) {
    let start = (row / p.pixels / p.repeat * p.pixels + row % p.pixels) * p.m_pitch;
    let mean = input_load(moments[start + column]);
    let at = column + p.channels / 4u;
    let next = min(at + 1u, p.m_pitch - 1u);  // what lies behind the row is not looked at
    let log_variance = shifted(input_load(moments[start + at]), input_load(moments[start + next]), p.channels % 4u);
    let deviation = exp(0.5 * clamp(log_variance, vec4f(-30.0), vec4f(20.0)));
    switch TAKE {
      case 1u: { v = mean; }
      case 2u: { v = deviation; }
      default: { v = mean + deviation * noise[i]; }
    }
    v = select(vec4f(0.0), v * p.scaling, vec4u(4u * column) + vec4u(0u, 1u, 2u, 3u) < vec4u(p.channels));
  }
  z[i] = output_store(v);
}

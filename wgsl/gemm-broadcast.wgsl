// gemm-broadcast: y = act(A * B + bias) + channel_add, then + or * residual, the contraction behind linear, matmul and conv2d, for
// software Vulkan: one subgroup a workgroup, no barrier, no workgroup memory (docs/decisions/0003-two-families.md).
// Convolution is an implicit GEMM (Chellapilla et al. 2006, without the im2col copy): row = output pixel, and the K axis
// runs over taps (ky, kx), then input channels.
//
//   a            [batch, rows or pixels, a_pitch]    Input     rows of A; for conv the feature map [N, H, W, C]
//   b            panels [N/32][K][32]                Weight    or plain rows [batch, K, pitch] by k_stride and panel_stride
//   bias         [N]                                 f32
//   channel_add  [images, N]                         Output    e.g. the time embedding, one row an image
//   residual, y  [batch, rows, y_pitch]              Output
//
// A workgroup makes ROWS = 8 rows by LANES * 4 columns: each lane keeps 8 x 4 sums. Two loads of a vec4 a lane bring STEP
// values of K for all 8 rows, subgroupBroadcast hands them round: 8 + 4 STEP gathers feed 32 STEP FMAs, and a gather of a
// vec4 costs little more than one of a scalar, because address, mask and bounds are tested once a lane.
// Tiles: batch x ceil(M/8) x ceil(N/(4 LANES)), columns fastest (the rows of A stay in cache).
// Traffic: A once per column tile, B once per row tile, y once. Sums in f32 in the order of K: one chain per output,
// or where BLOCKED one per output and block of K, whose results are added in turn: rounding errors grow with a chain's length.
// GEGLU: panels alternate value and gate (b packed so), y = value * gelu(gate), half as wide.
// Needs: lib/input, lib/weight, lib/output, lib/activation, lib/gemm.
enable subgroups;

const LANES: u32 = 8;       // the subgroup size: 4 to 16
const CONV: bool = false;   // rows are pixels
const ACTIVATION: u32 = 0;  // lib/activation
const GEGLU: bool = false;  // panels alternate value and gate
const STEP: u32 = min(LANES, 8u);  // values of K a round
const WIDE: u32 = STEP / 4u;       // vec4 of A that hold them
const BLOCKED: bool = false;  // K is summed in blocks

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<Input4>;
@group(0) @binding(2) var<storage, read> b: array<Weight4>;
@group(0) @binding(3) var<storage, read> bias: array<vec4f>;
@group(0) @binding(4) var<storage, read> channel_add: array<Output4>;
@group(0) @binding(5) var<storage, read> residual: array<Output4>;
@group(0) @binding(6) var<storage, read_write> y: array<Output4>;

alias Sums = array<vec4f, 8>;

// One value of K: row i's a is component i of (lo, hi).
fn accumulate(sums: ptr<function, Sums>, lo: vec4f, hi: vec4f, w: vec4f) {
  (*sums)[0] = fma(vec4f(lo.x), w, (*sums)[0]);
  (*sums)[1] = fma(vec4f(lo.y), w, (*sums)[1]);
  (*sums)[2] = fma(vec4f(lo.z), w, (*sums)[2]);
  (*sums)[3] = fma(vec4f(lo.w), w, (*sums)[3]);
  (*sums)[4] = fma(vec4f(hi.x), w, (*sums)[4]);
  (*sums)[5] = fma(vec4f(hi.y), w, (*sums)[5]);
  (*sums)[6] = fma(vec4f(hi.z), w, (*sums)[6]);
  (*sums)[7] = fma(vec4f(hi.w), w, (*sums)[7]);
}

// Adds finished partial sums to the totals and begins anew.
fn settle(totals: ptr<function, Sums>, sums: ptr<function, Sums>) {
  (*totals)[0] += (*sums)[0];
  (*totals)[1] += (*sums)[1];
  (*totals)[2] += (*sums)[2];
  (*totals)[3] += (*sums)[3];
  (*totals)[4] += (*sums)[4];
  (*totals)[5] += (*sums)[5];
  (*totals)[6] += (*sums)[6];
  (*totals)[7] += (*sums)[7];
  *sums = Sums();
}

fn store(row: u32, batch: u32, column: u32, sum: vec4f, gate: vec4f, shift: vec4f, gate_shift: vec4f) {
  if (column >= p.columns4) { return; }
  var v: vec4f;
  if (GEGLU) {
    v = (sum + shift) * activate(2u, gate + gate_shift);
  } else {
    v = activate(ACTIVATION, sum * p.scale + shift);
  }
  finish(row, batch, column, v);
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let tile = p.first_tile + wid.y * nwg.x + wid.x;
  if (tile >= p.end_tile) { return; }
  let place = place_of(tile);
  let batch = place.batch;
  let row0 = place.row_tile * 8u;
  let column = place.column_tile * LANES + lane;  // vec4 columns of y

  // GEGLU: panel 2i holds values, panel 2i + 1 their gates.
  let clamped = min(column, p.columns4 - 1u);
  let panel = clamped / p.panel_width;
  let b_start = p.b_offset - p.b_base + batch * p.b_batch + select(panel, 2u * panel, GEGLU) * p.panel_stride + clamped % p.panel_width;

  var sums: Sums;
  var gates: Sums;
  var totals: Sums;
  var total_gates: Sums;
  var b_at = b_start;
  for (var ky = 0u; ky < p.taps_y; ky++) {
    for (var kx = 0u; kx < p.taps_x; kx++) {
      // A lane brings one vec4 of row lane / WIDE and one of the row four below.
      let near_start = row_start(row0 + lane / WIDE % 4u, batch, kx, ky);
      let far_start = row_start(row0 + 4u + lane / WIDE % 4u, batch, kx, ky);
      let first = select(kx * p.block, 0u, CONV);
      let end = select(min(first + p.block, p.k), p.k, CONV);
      for (var k0 = first; k0 < end; k0 += STEP) {
        let near = row_values(near_start, k0 / 4u + lane % WIDE);
        let far = row_values(far_start, k0 / 4u + lane % WIDE);
        multiply(&sums, near, far, b_at);
        if (GEGLU) { multiply(&gates, near, far, b_at + p.panel_stride); }
        b_at += STEP * p.k_stride;
      }
      if (BLOCKED) {
        settle(&totals, &sums);
        if (GEGLU) { settle(&total_gates, &gates); }
      }
    }
  }

  let shift_at = select(clamped, clamped + panel * p.panel_width, GEGLU);
  let shift = bias_at(shift_at);
  let gate_shift = bias_at(select(0u, shift_at + p.panel_width, GEGLU));
  // A loop of unknown length over copies: unrolled eight times, the loads and stores below cost a compiler seconds.
  var values = sums;
  var value_gates = gates;
  if (BLOCKED) {
    values = totals;
    value_gates = total_gates;
  }
  for (var i = 0u; i < p.tile_rows && row0 + i < p.rows; i++) {
    store(row0 + i, batch, column, values[i], value_gates[i], shift, gate_shift);
  }
}

// The four lanes that hold a row's first vec4 of a round, or its second.
fn first(x: f32) -> vec4f {
  return vec4f(subgroupBroadcast(x, 0u), subgroupBroadcast(x, WIDE), subgroupBroadcast(x, 2u * WIDE), subgroupBroadcast(x, 3u * WIDE));
}

fn second(x: f32) -> vec4f {
  return vec4f(subgroupBroadcast(x, 1u), subgroupBroadcast(x, min(WIDE + 1u, LANES - 1u)),
               subgroupBroadcast(x, min(2u * WIDE + 1u, LANES - 1u)), subgroupBroadcast(x, min(3u * WIDE + 1u, LANES - 1u)));
}

// STEP values of K for rows 0 to 3 (near) and 4 to 7 (far).
fn multiply(sums: ptr<function, Sums>, near: vec4f, far: vec4f, at: u32) {
  accumulate(sums, first(near.x), first(far.x), weight_load(b[at]));
  accumulate(sums, first(near.y), first(far.y), weight_load(b[at + p.k_stride]));
  accumulate(sums, first(near.z), first(far.z), weight_load(b[at + 2u * p.k_stride]));
  accumulate(sums, first(near.w), first(far.w), weight_load(b[at + 3u * p.k_stride]));
  if (STEP > 4u) {
    accumulate(sums, second(near.x), second(far.x), weight_load(b[at + 4u * p.k_stride]));
    accumulate(sums, second(near.y), second(far.y), weight_load(b[at + 5u * p.k_stride]));
    accumulate(sums, second(near.z), second(far.z), weight_load(b[at + 6u * p.k_stride]));
    accumulate(sums, second(near.w), second(far.w), weight_load(b[at + 7u * p.k_stride]));
  }
}

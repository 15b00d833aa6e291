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
//   moments      of y                                f32     where a norm follows: lib/moments
//
// A workgroup makes ROWS rows by LANES * 4 columns: each lane keeps ROWS x 4 sums. Per four values of K each lane brings them for LOADS
// rows, and its four columns of B; subgroupBroadcast hands the rows round: 4 LOADS + 16 gathers feed 16 ROWS FMAs. A gather is what
// costs: lavapipe tests and fetches lane by lane. Row after row: a row's sums stay in registers for all four values of K, where
// value after value every sum would come from memory and go back four times. SwiftShader, with four lanes, is 8 % faster value after value.
// Tiles: batch x ceil(M/ROWS) x ceil(N/(4 LANES)), columns fastest (the rows of A stay in cache).
// Traffic: A once per column tile, B once per row tile, y once. Sums in f32 in the order of K: one chain per output,
// or where BLOCKED one per output and block of K, whose results are added in turn: rounding errors grow with a chain's length.
// GEGLU: panels alternate value and gate (b packed so), y = value * gelu(gate), half as wide.
// Needs: lib/input, lib/weight, lib/output, lib/activation, lib/epilogue, lib/gemm, lib/moments.
enable subgroups;

const LANES: u32 = 8;       // the subgroup size: 4 to 16
const CONV: bool = false;   // rows are pixels
const ACTIVATION: u32 = 0;  // lib/activation
const GEGLU: bool = false;  // panels alternate value and gate
const ROWS: u32 = max(8u, LANES);  // of y in a tile: 8, 16 or 32, one to four times LANES
const LOADS: u32 = ROWS / LANES;  // rows of A that a lane brings: row i of a tile is lane i % LANES's number i / LANES
const BLOCKED: bool = false;  // K is summed in blocks
const MOMENTS: u32 = 7u;    // binding of lib/moments
const_assert ROWS % LANES == 0u && ROWS % 8u == 0u && LOADS <= 4u && (LANES >= 8u || ROWS == 8u);

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<Input4>;
@group(0) @binding(2) var<storage, read> b: array<Weight4>;
@group(0) @binding(3) var<storage, read> bias: array<vec4f>;
@group(0) @binding(4) var<storage, read> channel_add: array<Output4>;
@group(0) @binding(5) var<storage, read> residual: array<Output4>;
@group(0) @binding(6) var<storage, read_write> y: array<Output4>;

alias Sums = array<vec4f, ROWS>;
alias Brought = array<vec4f, 4>;  // four values of K for each row of a lane

// Four values of K for one row, in their order.
fn row_sum(sum: vec4f, x: vec4f, w: mat4x4f) -> vec4f {
  return fma(vec4f(x.w), w[3], fma(vec4f(x.z), w[2], fma(vec4f(x.y), w[1], fma(vec4f(x.x), w[0], sum))));
}

// One value of K for eight rows, of which each lane brought two.
fn accumulate(sums: ptr<function, Sums>, near: f32, far: f32, w: vec4f) {
  (*sums)[0] = fma(vec4f(subgroupBroadcast(near, 0u)), w, (*sums)[0]);
  (*sums)[1] = fma(vec4f(subgroupBroadcast(near, 1u)), w, (*sums)[1]);
  (*sums)[2] = fma(vec4f(subgroupBroadcast(near, 2u)), w, (*sums)[2]);
  (*sums)[3] = fma(vec4f(subgroupBroadcast(near, 3u)), w, (*sums)[3]);
  (*sums)[4] = fma(vec4f(subgroupBroadcast(far, 0u)), w, (*sums)[4]);
  (*sums)[5] = fma(vec4f(subgroupBroadcast(far, 1u)), w, (*sums)[5]);
  (*sums)[6] = fma(vec4f(subgroupBroadcast(far, 2u)), w, (*sums)[6]);
  (*sums)[7] = fma(vec4f(subgroupBroadcast(far, 3u)), w, (*sums)[7]);
}

// Four values of K for all rows; `at` is the lane's vec4 of B for the first of them.
fn multiply(sums: ptr<function, Sums>, x: Brought, at: u32) {
  if (LANES < 8u) {
    accumulate(sums, x[0].x, x[1].x, weight_load(b[at]));
    accumulate(sums, x[0].y, x[1].y, weight_load(b[at + p.k_stride]));
    accumulate(sums, x[0].z, x[1].z, weight_load(b[at + 2u * p.k_stride]));
    accumulate(sums, x[0].w, x[1].w, weight_load(b[at + 3u * p.k_stride]));
    return;
  }
  let w = mat4x4f(weight_load(b[at]), weight_load(b[at + p.k_stride]),
                  weight_load(b[at + 2u * p.k_stride]), weight_load(b[at + 3u * p.k_stride]));
  (*sums)[0] = row_sum((*sums)[0], subgroupBroadcast(x[0u / LANES % 4u], 0u % LANES), w);
  (*sums)[1] = row_sum((*sums)[1], subgroupBroadcast(x[1u / LANES % 4u], 1u % LANES), w);
  (*sums)[2] = row_sum((*sums)[2], subgroupBroadcast(x[2u / LANES % 4u], 2u % LANES), w);
  (*sums)[3] = row_sum((*sums)[3], subgroupBroadcast(x[3u / LANES % 4u], 3u % LANES), w);
  (*sums)[4] = row_sum((*sums)[4], subgroupBroadcast(x[4u / LANES % 4u], 4u % LANES), w);
  (*sums)[5] = row_sum((*sums)[5], subgroupBroadcast(x[5u / LANES % 4u], 5u % LANES), w);
  (*sums)[6] = row_sum((*sums)[6], subgroupBroadcast(x[6u / LANES % 4u], 6u % LANES), w);
  (*sums)[7] = row_sum((*sums)[7], subgroupBroadcast(x[7u / LANES % 4u], 7u % LANES), w);
  if (ROWS > 8u) {
    (*sums)[8u % ROWS] = row_sum((*sums)[8u % ROWS], subgroupBroadcast(x[8u / LANES % 4u], 8u % LANES), w);
    (*sums)[9u % ROWS] = row_sum((*sums)[9u % ROWS], subgroupBroadcast(x[9u / LANES % 4u], 9u % LANES), w);
    (*sums)[10u % ROWS] = row_sum((*sums)[10u % ROWS], subgroupBroadcast(x[10u / LANES % 4u], 10u % LANES), w);
    (*sums)[11u % ROWS] = row_sum((*sums)[11u % ROWS], subgroupBroadcast(x[11u / LANES % 4u], 11u % LANES), w);
    (*sums)[12u % ROWS] = row_sum((*sums)[12u % ROWS], subgroupBroadcast(x[12u / LANES % 4u], 12u % LANES), w);
    (*sums)[13u % ROWS] = row_sum((*sums)[13u % ROWS], subgroupBroadcast(x[13u / LANES % 4u], 13u % LANES), w);
    (*sums)[14u % ROWS] = row_sum((*sums)[14u % ROWS], subgroupBroadcast(x[14u / LANES % 4u], 14u % LANES), w);
    (*sums)[15u % ROWS] = row_sum((*sums)[15u % ROWS], subgroupBroadcast(x[15u / LANES % 4u], 15u % LANES), w);
  }
  if (ROWS > 16u) {
    (*sums)[16u % ROWS] = row_sum((*sums)[16u % ROWS], subgroupBroadcast(x[16u / LANES % 4u], 16u % LANES), w);
    (*sums)[17u % ROWS] = row_sum((*sums)[17u % ROWS], subgroupBroadcast(x[17u / LANES % 4u], 17u % LANES), w);
    (*sums)[18u % ROWS] = row_sum((*sums)[18u % ROWS], subgroupBroadcast(x[18u / LANES % 4u], 18u % LANES), w);
    (*sums)[19u % ROWS] = row_sum((*sums)[19u % ROWS], subgroupBroadcast(x[19u / LANES % 4u], 19u % LANES), w);
    (*sums)[20u % ROWS] = row_sum((*sums)[20u % ROWS], subgroupBroadcast(x[20u / LANES % 4u], 20u % LANES), w);
    (*sums)[21u % ROWS] = row_sum((*sums)[21u % ROWS], subgroupBroadcast(x[21u / LANES % 4u], 21u % LANES), w);
    (*sums)[22u % ROWS] = row_sum((*sums)[22u % ROWS], subgroupBroadcast(x[22u / LANES % 4u], 22u % LANES), w);
    (*sums)[23u % ROWS] = row_sum((*sums)[23u % ROWS], subgroupBroadcast(x[23u / LANES % 4u], 23u % LANES), w);
    (*sums)[24u % ROWS] = row_sum((*sums)[24u % ROWS], subgroupBroadcast(x[24u / LANES % 4u], 24u % LANES), w);
    (*sums)[25u % ROWS] = row_sum((*sums)[25u % ROWS], subgroupBroadcast(x[25u / LANES % 4u], 25u % LANES), w);
    (*sums)[26u % ROWS] = row_sum((*sums)[26u % ROWS], subgroupBroadcast(x[26u / LANES % 4u], 26u % LANES), w);
    (*sums)[27u % ROWS] = row_sum((*sums)[27u % ROWS], subgroupBroadcast(x[27u / LANES % 4u], 27u % LANES), w);
    (*sums)[28u % ROWS] = row_sum((*sums)[28u % ROWS], subgroupBroadcast(x[28u / LANES % 4u], 28u % LANES), w);
    (*sums)[29u % ROWS] = row_sum((*sums)[29u % ROWS], subgroupBroadcast(x[29u / LANES % 4u], 29u % LANES), w);
    (*sums)[30u % ROWS] = row_sum((*sums)[30u % ROWS], subgroupBroadcast(x[30u / LANES % 4u], 30u % LANES), w);
    (*sums)[31u % ROWS] = row_sum((*sums)[31u % ROWS], subgroupBroadcast(x[31u / LANES % 4u], 31u % LANES), w);
  }
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
  if (ROWS > 8u) {
    (*totals)[8u % ROWS] += (*sums)[8u % ROWS];
    (*totals)[9u % ROWS] += (*sums)[9u % ROWS];
    (*totals)[10u % ROWS] += (*sums)[10u % ROWS];
    (*totals)[11u % ROWS] += (*sums)[11u % ROWS];
    (*totals)[12u % ROWS] += (*sums)[12u % ROWS];
    (*totals)[13u % ROWS] += (*sums)[13u % ROWS];
    (*totals)[14u % ROWS] += (*sums)[14u % ROWS];
    (*totals)[15u % ROWS] += (*sums)[15u % ROWS];
  }
  if (ROWS > 16u) {
    (*totals)[16u % ROWS] += (*sums)[16u % ROWS];
    (*totals)[17u % ROWS] += (*sums)[17u % ROWS];
    (*totals)[18u % ROWS] += (*sums)[18u % ROWS];
    (*totals)[19u % ROWS] += (*sums)[19u % ROWS];
    (*totals)[20u % ROWS] += (*sums)[20u % ROWS];
    (*totals)[21u % ROWS] += (*sums)[21u % ROWS];
    (*totals)[22u % ROWS] += (*sums)[22u % ROWS];
    (*totals)[23u % ROWS] += (*sums)[23u % ROWS];
    (*totals)[24u % ROWS] += (*sums)[24u % ROWS];
    (*totals)[25u % ROWS] += (*sums)[25u % ROWS];
    (*totals)[26u % ROWS] += (*sums)[26u % ROWS];
    (*totals)[27u % ROWS] += (*sums)[27u % ROWS];
    (*totals)[28u % ROWS] += (*sums)[28u % ROWS];
    (*totals)[29u % ROWS] += (*sums)[29u % ROWS];
    (*totals)[30u % ROWS] += (*sums)[30u % ROWS];
    (*totals)[31u % ROWS] += (*sums)[31u % ROWS];
  }
  *sums = Sums();
}

fn store(row: u32, batch: u32, column: u32, sum: vec4f, gate: vec4f, shift: vec4f, gate_shift: vec4f) -> vec4f {
  if (column >= p.columns4) { return vec4f(0.0); }
  var v: vec4f;
  if (GEGLU) {
    v = (sum + shift) * activate(2u, gate + gate_shift);
  } else {
    v = activate(ACTIVATION, sum * p.scale + shift);
  }
  return finish(row, batch, column, v);
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let tile = p.first_tile + wid.y * nwg.x + wid.x;
  if (tile >= p.end_tile) { return; }
  let place = place_of(tile);
  let batch = place.batch;
  let row0 = place.row_tile * ROWS;
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
      let start0 = row_start(row0 + lane, batch, kx, ky);
      var start1 = start0; var start2 = start0; var start3 = start0;
      if (LOADS > 1u) { start1 = row_start(row0 + LANES + lane, batch, kx, ky); }
      if (LOADS > 2u) {
        start2 = row_start(row0 + 2u * LANES + lane, batch, kx, ky);
        start3 = row_start(row0 + 3u * LANES + lane, batch, kx, ky);
      }
      let first = select(kx * p.block, 0u, CONV);
      let end = select(min(first + p.block, p.k), p.k, CONV);
      for (var k0 = first; k0 < end; k0 += 4u) {
        let at = k0 / 4u;
        let x0 = row_values(start0, at);
        var x1: vec4f; var x2: vec4f; var x3: vec4f;
        if (LOADS > 1u) { x1 = row_values(start1, at); }
        if (LOADS > 2u) {
          x2 = row_values(start2, at);
          x3 = row_values(start3, at);
        }
        let x = Brought(x0, x1, x2, x3);
        multiply(&sums, x, b_at);
        if (GEGLU) { multiply(&gates, x, b_at + p.panel_stride); }
        b_at += 4u * p.k_stride;
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
  var measured: Moments;
  for (var i = 0u; i < p.tile_rows && row0 + i < p.rows; i++) {
    let stored = store(row0 + i, batch, column, values[i], value_gates[i], shift, gate_shift);
    if (MEASURES) {
      measured = measure(measured, i % SLAB, stored);
      if (i % SLAB == SLAB - 1u && column < p.columns4) { store_moments(slab_of(row0 + i, batch), column, measured); }
    }
  }
}

// gemm-tile: y = act(A * B + bias) + channel_add, then + or * residual, the contraction behind linear, matmul and conv2d, for GPUs
// without matrix units in reach: workgroup tiles and register tiles (docs/decisions/0003-two-families.md).
// Convolution is an implicit GEMM (Chellapilla et al. 2006, without the im2col copy): row = output pixel, and the K axis
// runs over taps (ky, kx), then input channels.
//
//   a            [batch, rows or pixels, a_pitch]    Input     rows of A; for conv the feature map [N, H, W, C]
//   b            panels [N/32][K][32]                Weight    or plain rows [batch, K, pitch] by k_stride and panel_stride
//   bias         [N]                                 f32
//   channel_add  [images, N]                         Output    e.g. the time embedding, one row an image
//   residual, y  [batch, rows, y_pitch]              Output
//
// A workgroup makes ROWS rows by COLUMNS columns: thread (ty, tx) of ROWS/8 x COLUMNS/4 keeps 8 rows x 4 columns. Per 16 values
// of K the tiles of A (transposed, so that 8 rows are two vec4 reads) and B lie in workgroup memory: 8 KiB for 64 x 64.
// Tiles: batch x ceil(M/ROWS) x ceil(N/COLUMNS), columns fastest. Traffic: A once a column tile, B once a row tile, y once.
// Sums in f32 in the order of K, one chain per output or, where BLOCKED, per output and block of K, as in gemm-broadcast.
// GEGLU: panels alternate value and gate (b packed so); tx < 8 sums values, tx >= 8 their gates, joined at the end.
// Needs: lib/input, lib/weight, lib/output, lib/activation, lib/gemm.

const ROWS: u32 = 64;       // of y in a tile: 32, 64 or 128
const COLUMNS: u32 = 64;    // of B in a tile: a multiple of 32
const CONV: bool = false;   // rows are pixels
const ACTIVATION: u32 = 0;  // lib/activation
const GEGLU: bool = false;  // panels alternate value and gate: tiles of at most 64 rows by 64 columns
const DEPTH: u32 = 16;      // values of K in workgroup memory
const WIDE: u32 = COLUMNS / 4u;   // threads along the columns
const TALL: u32 = ROWS / 8u;      // threads along the rows
const LOADS: u32 = DEPTH / TALL;  // vec4 of B that a thread brings: 1, 2 or 4
const BLOCKED: bool = false;      // K is summed in blocks, multiples of DEPTH
const_assert ROWS % 32u == 0u && DEPTH % TALL == 0u && COLUMNS % 32u == 0u;
const_assert !GEGLU || (ROWS <= 64u && COLUMNS == 64u);

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<Input4>;
@group(0) @binding(2) var<storage, read> b: array<Weight4>;
@group(0) @binding(3) var<storage, read> bias: array<vec4f>;
@group(0) @binding(4) var<storage, read> channel_add: array<Output4>;
@group(0) @binding(5) var<storage, read> residual: array<Output4>;
@group(0) @binding(6) var<storage, read_write> y: array<Output4>;

var<workgroup> a_tile: array<vec4f, DEPTH * ROWS / 4u>;  // [DEPTH][ROWS / 4]
var<workgroup> b_tile: array<vec4f, DEPTH * WIDE>;       // [DEPTH][COLUMNS / 4]

fn b_column(column_tile: u32, local: u32, batch: u32) -> u32 {
  if (GEGLU) {  // local 0-7: a panel of values, 8-15: its gates
    return p.b_offset - p.b_base + batch * p.b_batch + (2u * column_tile + local / 8u) * p.panel_stride + local % 8u;
  }
  let column = column_tile * WIDE + local;
  return p.b_offset - p.b_base + batch * p.b_batch + column / p.panel_width * p.panel_stride + column % p.panel_width;
}

// One vec4 of B at value `k` of a tap, zeros from `end` on.
fn b_values(start: u32, k_base: u32, k: u32, end: u32) -> vec4f {
  if (k >= end) { return vec4f(0.0); }
  return weight_load(b[start + (k_base + k) * p.k_stride]);
}

fn store(row: u32, batch: u32, column: u32, activated: vec4f) {
  if (row >= p.rows || column >= p.columns4) { return; }
  finish(row, batch, column, activated);
}

@compute @workgroup_size(WIDE * TALL)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) thread: u32) {
  let tile = p.first_tile + wid.y * nwg.x + wid.x;
  if (tile >= p.end_tile) { return; }
  let place = place_of(tile);
  let batch = place.batch;
  let column_tile = place.column_tile;
  let tx = thread % WIDE;
  let ty = thread / WIDE;
  let row0 = place.row_tile * ROWS;

  // Loading: each of the first ROWS threads brings a 4 x 4 block of A and turns it; every thread brings LOADS vec4 of B.
  let load_row = row0 + thread / 4u * 4u;
  let load_k = thread % 4u * 4u;
  let own_column = column_tile * WIDE + tx;
  let column_known = GEGLU || own_column < p.columns4;
  let b_start = select(0u, b_column(column_tile, tx, batch), column_known);

  var sums: array<vec4f, 8>;
  var totals: array<vec4f, 8>;
  var k_base = 0u;
  for (var ky = 0u; ky < p.taps_y; ky++) {
    for (var kx = 0u; kx < p.taps_x; kx++) {
      let start0 = row_start(load_row, batch, kx, ky);
      let start1 = row_start(load_row + 1u, batch, kx, ky);
      let start2 = row_start(load_row + 2u, batch, kx, ky);
      let start3 = row_start(load_row + 3u, batch, kx, ky);
      let first = select(kx * p.block, 0u, CONV);
      let end = select(min(first + p.block, p.k), p.k, CONV);
      for (var k0 = first; k0 < end; k0 += DEPTH) {
        var block = mat4x4f();
        if (thread < ROWS && k0 + load_k < p.k) {  // k is a multiple of 8
          let at = (k0 + load_k) / 4u;
          block = mat4x4f(row_values(start0, at), row_values(start1, at), row_values(start2, at), row_values(start3, at));
        }
        let known = select(0u, p.k, column_known);
        let w0 = b_values(b_start, k_base, k0 + ty, known);
        var w1: vec4f; var w2: vec4f; var w3: vec4f;
        if (LOADS > 1u) { w1 = b_values(b_start, k_base, k0 + ty + TALL, known); }
        if (LOADS > 2u) { w2 = b_values(b_start, k_base, k0 + ty + 2u * TALL, known); }
        if (LOADS > 2u) { w3 = b_values(b_start, k_base, k0 + ty + 3u * TALL, known); }
        workgroupBarrier();
        if (thread < ROWS) {
          let turned = transpose(block);
          a_tile[(load_k + 0u) * (ROWS / 4u) + thread / 4u] = turned[0];
          a_tile[(load_k + 1u) * (ROWS / 4u) + thread / 4u] = turned[1];
          a_tile[(load_k + 2u) * (ROWS / 4u) + thread / 4u] = turned[2];
          a_tile[(load_k + 3u) * (ROWS / 4u) + thread / 4u] = turned[3];
        }
        b_tile[ty * WIDE + tx] = w0;
        if (LOADS > 1u) { b_tile[(ty + TALL) * WIDE + tx] = w1; }
        if (LOADS > 2u) { b_tile[(ty + 2u * TALL) * WIDE + tx] = w2; }
        if (LOADS > 2u) { b_tile[(ty + 3u * TALL) * WIDE + tx] = w3; }
        workgroupBarrier();
        for (var k = 0u; k < DEPTH; k++) {
          let lo = a_tile[k * (ROWS / 4u) + 2u * ty];
          let hi = a_tile[k * (ROWS / 4u) + 2u * ty + 1u];
          let w = b_tile[k * WIDE + tx];
          sums[0] = fma(vec4f(lo.x), w, sums[0]);
          sums[1] = fma(vec4f(lo.y), w, sums[1]);
          sums[2] = fma(vec4f(lo.z), w, sums[2]);
          sums[3] = fma(vec4f(lo.w), w, sums[3]);
          sums[4] = fma(vec4f(hi.x), w, sums[4]);
          sums[5] = fma(vec4f(hi.y), w, sums[5]);
          sums[6] = fma(vec4f(hi.z), w, sums[6]);
          sums[7] = fma(vec4f(hi.w), w, sums[7]);
        }
      }
      if (CONV) { k_base += p.k; }
      if (BLOCKED) {
        for (var i = 0u; i < 8u; i++) {
          totals[i] += sums[i];
          sums[i] = vec4f(0.0);
        }
      }
    }
  }
  if (BLOCKED) { sums = totals; }

  let row = row0 + ty * 8u;
  if (GEGLU) {
    // Gates travel through workgroup memory, four rows at a time.
    let shift = bias_at(own_column);
    for (var half = 0u; half < 2u; half++) {
      workgroupBarrier();
      if (tx >= 8u) {
        for (var i = 0u; i < 4u; i++) { b_tile[(ty * 4u + i) * 8u + tx - 8u] = sums[half * 4u + i] + shift; }
      }
      workgroupBarrier();
      if (tx < 8u) {
        for (var i = 0u; i < 4u; i++) {
          let gate = b_tile[(ty * 4u + i) * 8u + tx];
          store(row + half * 4u + i, batch, column_tile * 8u + tx, (sums[half * 4u + i] + shift) * activate(2u, gate));
        }
      }
    }
  } else if (own_column < p.columns4) {
    let shift = bias_at(own_column);
    for (var i = 0u; i < 8u; i++) {
      store(row + i, batch, own_column, activate(ACTIVATION, sums[i] * p.scale + shift));
    }
  }
}

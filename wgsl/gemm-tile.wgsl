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
// A workgroup of 128 makes ROWS = 64 rows by 64 columns: thread (ty, tx) of 8 x 16 keeps 8 rows x 4 columns. Per 16 values
// of K the tiles of A (transposed, so that 8 rows are two vec4 reads) and B lie in 8 KiB of workgroup memory.
// Tiles: batch x ceil(M/64) x ceil(N/64), columns fastest. Traffic: A once per 64 columns, B once per 64 rows, y once.
// Sums in f32, one chain per output in the order of K, the same order as gemm-broadcast.
// GEGLU: panels alternate value and gate (b packed so); tx < 8 sums values, tx >= 8 their gates, joined at the end.
// Needs: lib/input, lib/weight, lib/output, lib/activation.

const CONV: bool = false;   // rows are pixels
const ACTIVATION: u32 = 0;  // lib/activation
const GEGLU: bool = false;  // panels alternate value and gate
const DEPTH: u32 = 16;      // values of K in workgroup memory

struct Params {
  first_tile: u32, end_tile: u32,
  rows: u32,            // of one batch
  row_tiles: u32,
  column_tiles: u32,
  columns4: u32,        // columns of y with padding, in vec4
  k: u32,               // length of the K axis in one tap: the padded channels
  a_pitch: u32, a_offset: u32, a_batch: u32, a_base: u32,
  k_stride: u32, panel_stride: u32, panel_width: u32, b_batch: u32, b_offset: u32,  // vec4
  y_pitch: u32, y_offset: u32, y_batch: u32, y_base: u32,            // vec4
  rows_per_image: u32, channel_pitch: u32,                           // vec4
  scale: f32,
  taps_x: u32, taps_y: u32, stride: u32, pad_top: u32, pad_left: u32,
  in_w: u32, in_h: u32, out_w: u32, out_h: u32,
  grow: u32,            // 1: conv reads a map twice as large by nearest neighbour
  has_bias: u32, has_channel_add: u32,
  has_residual: u32,    // 1: added, 2: multiplied
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<Input4>;
@group(0) @binding(2) var<storage, read> b: array<Weight4>;
@group(0) @binding(3) var<storage, read> bias: array<vec4f>;
@group(0) @binding(4) var<storage, read> channel_add: array<Output4>;
@group(0) @binding(5) var<storage, read> residual: array<Output4>;
@group(0) @binding(6) var<storage, read_write> y: array<Output4>;

var<workgroup> a_tile: array<vec4f, 256>;  // [DEPTH][64 rows / 4]
var<workgroup> b_tile: array<vec4f, 256>;  // [DEPTH][64 columns / 4]

fn bias_at(column: u32) -> vec4f {
  if (p.has_bias == 0u) { return vec4f(0.0); }
  return bias[column];
}

struct RowStart { element: u32, valid: bool }

fn row_start(row: u32, batch: u32, kx: u32, ky: u32) -> RowStart {
  if (!CONV) {
    return RowStart(batch * p.a_batch + row * p.a_pitch + p.a_offset - p.a_base, row < p.rows);
  }
  let ox = row % p.out_w;
  let line = row / p.out_w;
  let oy = line % p.out_h;
  let image = line / p.out_h;
  let ix = ox * p.stride + kx - p.pad_left;  // wraps to a huge number where negative
  let iy = oy * p.stride + ky - p.pad_top;
  let valid = row < p.rows && ix < (p.in_w << p.grow) && iy < (p.in_h << p.grow);
  let pixel = (image * p.in_h + (iy >> p.grow)) * p.in_w + (ix >> p.grow);
  return RowStart(pixel * p.a_pitch + p.a_offset - p.a_base, valid);
}

fn a_at(start: RowStart, k: u32) -> vec4f {
  if (!start.valid) { return vec4f(0.0); }
  return input_load(a[(start.element + k) / 4u]);
}

fn b_column(column_tile: u32, local: u32, batch: u32) -> u32 {
  if (GEGLU) {  // local 0-7: a panel of values, 8-15: its gates
    return p.b_offset + batch * p.b_batch + (2u * column_tile + local / 8u) * p.panel_stride + local % 8u;
  }
  let column = column_tile * 16u + local;
  return p.b_offset + batch * p.b_batch + column / p.panel_width * p.panel_stride + column % p.panel_width;
}

fn finish(row: u32, batch: u32, column: u32, v0: vec4f) {
  if (row >= p.rows || column >= p.columns4) { return; }
  var v = v0;
  let at = batch * p.y_batch + row * p.y_pitch + p.y_offset + column - p.y_base;
  if (p.has_channel_add != 0u) { v += output_load(channel_add[row / p.rows_per_image * p.channel_pitch + column]); }
  if (p.has_residual == 1u) { v += output_load(residual[at]); }
  if (p.has_residual == 2u) { v *= output_load(residual[at]); }
  y[at] = output_store(v);
}

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) thread: u32) {
  let tile = p.first_tile + wid.y * nwg.x + wid.x;
  if (tile >= p.end_tile) { return; }
  let column_tile = tile % p.column_tiles;
  let row_tile = tile / p.column_tiles % p.row_tiles;
  let batch = tile / p.column_tiles / p.row_tiles;
  let tx = thread % 16u;
  let ty = thread / 16u;
  let row0 = row_tile * 64u;

  // Loading: each of the first 64 threads brings a 4 x 4 block of A and turns it; every thread brings two vec4 of B.
  let load_row = row0 + thread / 4u * 4u;
  let load_k = thread % 4u * 4u;
  let own_column = column_tile * 16u + tx;
  let column_known = GEGLU || own_column < p.columns4;
  let b_start = select(0u, b_column(column_tile, tx, batch), column_known);

  var sums: array<vec4f, 8>;
  var k_base = 0u;
  for (var ky = 0u; ky < p.taps_y; ky++) {
    for (var kx = 0u; kx < p.taps_x; kx++) {
      let start0 = row_start(load_row, batch, kx, ky);
      let start1 = row_start(load_row + 1u, batch, kx, ky);
      let start2 = row_start(load_row + 2u, batch, kx, ky);
      let start3 = row_start(load_row + 3u, batch, kx, ky);
      for (var k0 = 0u; k0 < p.k; k0 += DEPTH) {
        var block = mat4x4f();
        if (thread < 64u && k0 + load_k < p.k) {  // k is a multiple of 8
          block = mat4x4f(a_at(start0, k0 + load_k), a_at(start1, k0 + load_k), a_at(start2, k0 + load_k), a_at(start3, k0 + load_k));
        }
        var w0 = vec4f(0.0);
        var w1 = vec4f(0.0);
        if (column_known && k0 + ty < p.k) { w0 = weight_load(b[b_start + (k_base + k0 + ty) * p.k_stride]); }
        if (column_known && k0 + ty + 8u < p.k) { w1 = weight_load(b[b_start + (k_base + k0 + ty + 8u) * p.k_stride]); }
        workgroupBarrier();
        if (thread < 64u) {
          let turned = transpose(block);
          a_tile[(load_k + 0u) * 16u + thread / 4u] = turned[0];
          a_tile[(load_k + 1u) * 16u + thread / 4u] = turned[1];
          a_tile[(load_k + 2u) * 16u + thread / 4u] = turned[2];
          a_tile[(load_k + 3u) * 16u + thread / 4u] = turned[3];
        }
        b_tile[ty * 16u + tx] = w0;
        b_tile[(ty + 8u) * 16u + tx] = w1;
        workgroupBarrier();
        for (var k = 0u; k < DEPTH; k++) {
          let lo = a_tile[k * 16u + 2u * ty];
          let hi = a_tile[k * 16u + 2u * ty + 1u];
          let w = b_tile[k * 16u + tx];
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
      k_base += p.k;
    }
  }

  let row = row0 + ty * 8u;
  if (GEGLU) {
    // Gates travel through workgroup memory, four rows at a time.
    let shift = bias_at(column_tile * 16u + tx);
    for (var half = 0u; half < 2u; half++) {
      workgroupBarrier();
      if (tx >= 8u) {
        for (var i = 0u; i < 4u; i++) { b_tile[(ty * 4u + i) * 8u + tx - 8u] = sums[half * 4u + i] + shift; }
      }
      workgroupBarrier();
      if (tx < 8u) {
        for (var i = 0u; i < 4u; i++) {
          let gate = b_tile[(ty * 4u + i) * 8u + tx];
          finish(row + half * 4u + i, batch, column_tile * 8u + tx, (sums[half * 4u + i] + shift) * activate(2u, gate));
        }
      }
    }
  } else if (own_column < p.columns4) {
    let shift = bias_at(own_column);
    for (var i = 0u; i < 8u; i++) {
      finish(row + i, batch, own_column, activate(ACTIVATION, sums[i] * p.scale + shift));
    }
  }
}

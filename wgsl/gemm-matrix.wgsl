// gemm-matrix: y = act(A * B + bias) + channel_add, then + or * residual, the contraction behind linear, matmul and conv2d, for GPUs
// whose matrix units are in reach: products of fragments that a subgroup keeps together.
// WGSL proposal "subgroup matrix", https://github.com/gpuweb/gpuweb/blob/main/proposals/subgroup-matrix.md
// Convolution is an implicit GEMM (Chellapilla et al. 2006, without the im2col copy): row = output pixel, and the K axis
// runs over taps (ky, kx), then input channels.
//
//   a            [batch, rows or pixels, a_pitch]    Input     rows of A; for conv the feature map [N, H, W, C]
//   b            rows [N][taps * K]                  Weight    or panels [N/32][taps * K][32], or plain rows [batch, K, pitch]
//   bias         [N]                                 f32
//   channel_add  [images, N]                         Output    e.g. the time embedding, one row an image
//   residual, y  [batch, rows, y_pitch]              Output
//   moments      of y                                f32     where a norm follows: lib/moments
//
// A workgroup makes ROWS rows by COLUMNS columns of B, each of its subgroups TALL x WIDE fragments of SIDE_M x SIDE_N. Memory is read by
// eights: what comes next is fetched before the products of a pass and put into workgroup memory behind them, so that nothing is
// carried round the loop and the wait for memory falls behind the products. Rows of a staged tile are one eight longer than they
// need be, so that they start in different banks. What lies past an edge of the picture or of K is zero; past the last row or column
// the last one is read again and nothing is stored.
// Tiles: batch x ceil(M/ROWS) x ceil(N/COLUMNS), columns fastest, then parts of K. Traffic: A once a column tile, B once a row tile, y once.
// Factors in Component, sums in f32 in the order of K by the units' own order within SIDE_K: no tile size changes a bit.
// Finished sums pass through workgroup memory, because fragments have no rows and no columns: one row of fragments at a time.
// GEGLU: panels alternate value and gate (b packed so); the left half of a tile is values, the right one their gates.
// Workgroup memory: (ROWS + COLUMNS) * (DEPTH + 8) components. Needs: lib/matrix-input, lib/matrix-weight, lib/output, lib/activation, lib/epilogue,
// lib/matrix, lib/matrix-entry-pinned, lib/moments.

enable subgroups;
enable chromium_experimental_subgroup_matrix;

const SIDE_M: u32 = 16;     // fragments are [SIDE_M, SIDE_K] times [SIDE_K, SIDE_N]
const SIDE_N: u32 = 16;
const SIDE_K: u32 = 16;
const LANES: u32 = 32;      // of a subgroup
const ROWS: u32 = 64;       // of y in a tile
const COLUMNS: u32 = 64;    // of B in a tile
const DEPTH: u32 = 16;      // values of K in workgroup memory
const TALL: u32 = 2;        // fragments of a subgroup, one above another: 1, 2 or 4
const WIDE: u32 = 2;        // and side by side
const CONV: bool = false;   // rows are pixels
const ALONG: bool = true;   // K runs along the rows of B: each column of B lies in one piece
const RAGGED: bool = true;  // DEPTH does not divide the K of a tap
const ACTIVATION: u32 = 0;  // lib/activation
const GEGLU: bool = false;  // panels alternate value and gate
const MOMENTS: u32 = 7u;    // binding of lib/moments

const ACROSS: u32 = COLUMNS / (WIDE * SIDE_N);             // subgroups side by side
const DOWN: u32 = ROWS / (TALL * SIDE_M);                  // and one above another
const THREADS: u32 = ACROSS * DOWN * LANES;
const EIGHTS: u32 = DEPTH / 8u;                            // eights of K in a staged row
const PITCH: u32 = (EIGHTS + 1u) * SLOTS;                  // slots from one staged row of A to the next; of B too where ALONG
const B_ROW: u32 = select(COLUMNS / 8u, EIGHTS, ALONG);    // eights of a staged row of B
const B_PITCH: u32 = (B_ROW + 1u) * SLOTS;
const B_STAGE: u32 = ROWS * PITCH;                         // where B begins
const A_LOADS: u32 = ROWS * EIGHTS / THREADS;              // eights that a thread brings
const B_LOADS: u32 = COLUMNS * EIGHTS / THREADS;
const A_STEP: u32 = THREADS / EIGHTS;                      // staged rows from one of them to the next
const B_STEP: u32 = THREADS / B_ROW;
const STAGED: u32 = B_STAGE + select(DEPTH, COLUMNS, ALONG) * B_PITCH;
const SUMS_PITCH: u32 = COLUMNS / 4u + 1u;                 // slots of a row of finished sums
const SUMS: u32 = DOWN * SIDE_M * SUMS_PITCH;
const OUT4: u32 = select(COLUMNS, COLUMNS / 2u, GEGLU) / 4u;  // vec4 of y in a row of a tile
const OUT_STEP: u32 = THREADS / OUT4;                      // rows that all threads finish at once
const EACH: u32 = select(SIDE_M, 16u, TALL == 1u);         // finished rows that follow each other in y too
const_assert TALL <= 4u && A_LOADS * THREADS == ROWS * EIGHTS && B_LOADS * THREADS == COLUMNS * EIGHTS;
const_assert THREADS % EIGHTS == 0u && THREADS % B_ROW == 0u && THREADS % OUT4 == 0u && DOWN * SIDE_M % OUT_STEP == 0u;
const_assert !MEASURES || OUT4 * (DOWN * SIDE_M / EACH) <= THREADS;  // a thread measures one column of one stretch

struct Params {
  first_tile: u32, end_tile: u32,
  rows: u32,            // of one batch
  row_tiles: u32,
  column_tiles: u32,
  phases: u32,          // products that share the rows of A, those of parts of K; else 1
  columns4: u32,        // columns of y with padding, in vec4
  b_eights: u32,        // of B's columns where they lie side by side; else columns
  k: u32,               // length of the K axis in one tap: the padded channels
  steps: u32,           // passes of the loop, of all taps
  a_pitch: u32, a_offset: u32, a_batch: u32, a_base: u32,            // elements
  k_stride: u32, panel_stride: u32, panel_eights: u32,               // eights; ALONG: of a column, and nothing
  b_tap: u32, b_batch: u32, b_offset: u32,                           // eights
  b_base: u32,                                                       // vec4
  y_pitch: u32, y_offset: u32, y_batch: u32, y_base: u32,            // vec4
  rows_per_image: u32,
  channel_pitch: u32, channel_offset: u32, channel_base: u32,        // vec4
  scale: f32,
  taps_x: u32,
  stride: u32, pad_top: u32, pad_left: u32,
  in_w: u32, in_h: u32, out_w: u32, out_h: u32,
  grow: u32,            // 1: conv reads a map twice as large by nearest neighbour
  has_bias: u32, has_channel_add: u32,
  has_residual: u32,    // 1: added, 2: multiplied
  tall: u32, sums_rows: u32,  // TALL and DOWN * SIDE_M again
  moments_pitch: u32, moments_offset: u32, moments_base: u32,  // vec2, of lib/moments
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<Input8>;
@group(0) @binding(2) var<storage, read> b: array<Weight8>;
@group(0) @binding(3) var<storage, read> bias: array<vec4f>;
@group(0) @binding(4) var<storage, read> channel_add: array<Output4>;
@group(0) @binding(5) var<storage, read> residual: array<Output4>;
@group(0) @binding(6) var<storage, read_write> y: array<Output4>;

var<workgroup> stage: array<Slot, max(STAGED, SUMS)>;

alias Left = subgroup_matrix_left<Component, SIDE_K, SIDE_M>;
alias Right = subgroup_matrix_right<Component, SIDE_N, SIDE_K>;
alias Result = subgroup_matrix_result<f32, SIDE_N, SIDE_M>;
alias Sums = array<array<Result, WIDE>, TALL>;

// Where a pass stands on the K axis: its tap, and the first value in it.
struct Step { k: u32, tap: u32, kx: u32, ky: u32 }

fn next(at: Step) -> Step {
  let k = at.k + DEPTH;
  if (!CONV || k < p.k) { return Step(k, at.tap, at.kx, at.ky); }
  let turn = at.kx + 1u == p.taps_x;
  return Step(0u, at.tap + 1u, select(at.kx + 1u, 0u, turn), at.ky + select(0u, 1u, turn));
}

// A row that a thread brings: its place in `a` in eights, and as a pixel where it meets tap (0, 0).
struct Row { at: u32, x: i32, y: i32, image: u32 }

fn row_of(row: u32, batch: u32) -> Row {
  let inside = min(row, p.rows - 1u);
  if (!CONV) { return Row((batch * p.a_batch + inside * p.a_pitch + p.a_offset - p.a_base) / 8u, 0, 0, 0u); }
  let line = inside / p.out_w;
  return Row(0u, i32(inside % p.out_w * p.stride) - i32(p.pad_left), i32(line % p.out_h * p.stride) - i32(p.pad_top), line / p.out_h * p.in_h);
}

// Eight values of K of a row as they lie in memory; the nearest of the picture or of K where the place is outside.
fn a_load(row: Row, at: Step, eight: u32) -> Input8 {
  let k8 = select(at.k / 8u + eight, min(at.k / 8u + eight, p.k / 8u - 1u), RAGGED);
  if (!CONV) { return a[row.at + k8]; }
  let x = row.x + i32(at.kx);
  let y = row.y + i32(at.ky);
  let inside = vec2i(clamp(x, 0, i32(p.in_w << p.grow) - 1), clamp(y, 0, i32(p.in_h << p.grow) - 1));
  let pixel = (row.image + (u32(inside.y) >> p.grow)) * p.in_w + (u32(inside.x) >> p.grow);
  return a[(pixel * p.a_pitch + p.a_offset - p.a_base) / 8u + k8];
}

// Whether what was read is what was asked for. Both sides of the comparisons are made: a branch is a wait for all loads under way.
fn a_known(row: Row, at: Step, eight: u32) -> bool {
  let along = !RAGGED | (at.k + eight * 8u < p.k);
  if (!CONV) { return along; }
  let x = u32(row.x + i32(at.kx));  // huge where negative
  let y = u32(row.y + i32(at.ky));
  return along & (x < (p.in_w << p.grow)) & (y < (p.in_h << p.grow));
}

// Zeros outside of it.
fn a_eight(value: Eight, known: bool) -> Eight {
  if (CONV || RAGGED) { return eight_or_zero(value, known); }
  return value;
}

// Column of B behind column `local` of a tile, or its eight of columns where they lie side by side.
fn b_column(column_tile: u32, local: u32, each: u32) -> u32 {
  if (!GEGLU) { return min(column_tile * (COLUMNS / each) + local, p.b_eights - 1u); }
  let half = COLUMNS / each / 2u;
  let value = column_tile * half + local % half;
  let panel = 32u / each;
  return min(value / panel * 2u * panel + value % panel + select(0u, panel, local >= half), p.b_eights - 1u);
}

// Where a thread's eight of B starts: of a column that it brings, or of columns side by side.
fn b_start(column_tile: u32, local: u32, batch: u32) -> u32 {
  let start = batch * p.b_batch + p.b_offset - p.b_base / 2u;
  if (ALONG) { return start + b_column(column_tile, local, 1u) * p.k_stride; }
  let eight = b_column(column_tile, local, 8u);
  return start + eight / p.panel_eights * p.panel_stride + eight % p.panel_eights;
}

// ALONG: eight `own` of K; else value `own` of K.
fn b_load(start: u32, at: Step, own: u32) -> Weight8 {
  let k = select(at.k + own, at.k / 8u + own, ALONG);
  let inside = select(k, min(k, select(p.k, p.k / 8u, ALONG) - 1u), RAGGED);
  return b[start + at.tap * p.b_tap + inside * select(p.k_stride, 1u, ALONG)];
}

// Zeros behind the last value of K.
fn b_eight(value: Eight, at: Step, own: u32) -> Eight {
  if (RAGGED) { return eight_or_zero(value, at.k + own * select(1u, 8u, ALONG) < p.k); }
  return value;
}

// Products of what is staged, from a subgroup's first row and column of the tile on.
fn add_products(sums: ptr<function, Sums>, row: u32, column: u32) {
  for (var k = 0u; k < DEPTH; k += SIDE_K) {
    for (var j = 0u; j < WIDE; j++) {
      var right: Right;
      if (ALONG) {
        right = subgroupMatrixLoad<Right, col_major>(&stage, B_STAGE + (column + j * SIDE_N) * PITCH + k / 8u * SLOTS, PITCH);
      } else {
        right = subgroupMatrixLoad<Right, row_major>(&stage, B_STAGE + k * B_PITCH + (column + j * SIDE_N) / 8u * SLOTS, B_PITCH);
      }
      for (var i = 0u; i < TALL; i++) {  // drivers load each left fragment once, and find registers more easily so
        let left = subgroupMatrixLoad<Left, row_major>(&stage, (row + i * SIDE_M) * PITCH + k / 8u * SLOTS, PITCH);
        (*sums)[i][j] = subgroupMatrixMultiplyAccumulate(left, right, (*sums)[i][j]);
      }
    }
  }
}

fn make_tile(tile: u32, invocation: u32, subgroup: u32, lane: u32) {
  let thread = invocation % THREADS;  // the same, and provably in range
  let column_tile = tile % p.column_tiles;
  let row_tile = tile / p.column_tiles / p.phases;
  let batch = tile / p.column_tiles % p.phases + row_tile / p.row_tiles;
  let row0 = row_tile % p.row_tiles * ROWS;
  let sg_row = subgroup % (ACROSS * DOWN) / ACROSS * (TALL * SIDE_M);
  let sg_column = subgroup % ACROSS * (WIDE * SIDE_N);

  let a_own = thread % EIGHTS;
  let b_own = thread % B_ROW;
  var a_rows: array<Row, A_LOADS>;
  for (var i = 0u; i < A_LOADS; i++) { a_rows[i] = row_of(row0 + thread / EIGHTS + i * A_STEP, batch); }
  var b_starts: array<u32, B_LOADS>;
  for (var i = 0u; i < B_LOADS; i++) {
    let local = select(b_own, thread / EIGHTS + i * A_STEP, ALONG);
    b_starts[i] = b_start(column_tile, local, batch);
  }
  let a_to = thread / EIGHTS * PITCH + a_own * SLOTS;
  let b_to = B_STAGE + thread / B_ROW * B_PITCH + b_own * SLOTS;

  var sums: Sums;
  // As they lie in memory until the products are made: a conversion, a selection or a branch among the loads is a wait.
  var a_read: array<Input8, A_LOADS>;
  var b_read: array<Weight8, B_LOADS>;
  var a_next: array<Eight, A_LOADS>;
  var b_next: array<Eight, B_LOADS>;
  var at = Step(0u, 0u, 0u, select(0u, batch, CONV));  // a part of K is a line of taps
  for (var i = 0u; i < A_LOADS; i++) { a_read[i] = a_load(a_rows[i], at, a_own); }
  for (var i = 0u; i < B_LOADS; i++) { b_read[i] = b_load(b_starts[i], at, select(thread / B_ROW + i * B_STEP, b_own, ALONG)); }
  for (var i = 0u; i < A_LOADS; i++) { put(a_to + i * (A_STEP * PITCH), a_eight(input_eight(a_read[i]), a_known(a_rows[i], at, a_own))); }
  for (var i = 0u; i < B_LOADS; i++) {
    put(b_to + i * (B_STEP * B_PITCH), b_eight(weight_eight(b_read[i]), at, select(thread / B_ROW + i * B_STEP, b_own, ALONG)));
  }
  workgroupBarrier();
  if (p.steps > 1u) { at = next(at); }  // the last pass brings its own tile again
  for (var i = 0u; i < A_LOADS; i++) { a_read[i] = a_load(a_rows[i], at, a_own); }
  for (var i = 0u; i < B_LOADS; i++) { b_read[i] = b_load(b_starts[i], at, select(thread / B_ROW + i * B_STEP, b_own, ALONG)); }
  // The first products stand before the loop: some compilers find whole registers for sums that begin as products, but not as zeros.
  add_products(&sums, sg_row, sg_column);
  for (var i = 0u; i < A_LOADS; i++) { a_next[i] = input_eight(a_read[i]); }
  for (var i = 0u; i < B_LOADS; i++) { b_next[i] = weight_eight(b_read[i]); }
  for (var step = 2u; step <= p.steps; step++) {
    workgroupBarrier();
    for (var i = 0u; i < A_LOADS; i++) { put(a_to + i * (A_STEP * PITCH), a_eight(a_next[i], a_known(a_rows[i], at, a_own))); }
    for (var i = 0u; i < B_LOADS; i++) {
      put(b_to + i * (B_STEP * B_PITCH), b_eight(b_next[i], at, select(thread / B_ROW + i * B_STEP, b_own, ALONG)));
    }
    workgroupBarrier();
    if (step < p.steps) { at = next(at); }
    for (var i = 0u; i < A_LOADS; i++) { a_read[i] = a_load(a_rows[i], at, a_own); }
    for (var i = 0u; i < B_LOADS; i++) { b_read[i] = b_load(b_starts[i], at, select(thread / B_ROW + i * B_STEP, b_own, ALONG)); }
    add_products(&sums, sg_row, sg_column);
    for (var i = 0u; i < A_LOADS; i++) { a_next[i] = input_eight(a_read[i]); }
    for (var i = 0u; i < B_LOADS; i++) { b_next[i] = weight_eight(b_read[i]); }
  }
  workgroupBarrier();

  // One row of fragments of every subgroup at a time: [DOWN * SIDE_M][COLUMNS], one vec4 a slot. Both bounds are no constants, so
  // that the loops stay loops and the text behind a sum is compiled once; fragments keep registers by constant indices.
  let column = thread % OUT4;
  let y_column = column_tile * OUT4 + column;
  let sums_at = sg_row / TALL * SUMS_PITCH + sg_column / 4u;
  var measured: Moments;
  for (var i = 0u; i < p.tall; i++) {
    for (var j = 0u; j < WIDE; j++) {
      let to = sums_at + j * (SIDE_N / 4u);
      if (i == 0u) { subgroupMatrixStore<row_major>(&stage, to, sums[0][j], SUMS_PITCH); }
      if (TALL > 1u && i == 1u) { subgroupMatrixStore<row_major>(&stage, to, sums[1 % TALL][j], SUMS_PITCH); }
      if (TALL > 2u && i == 2u) { subgroupMatrixStore<row_major>(&stage, to, sums[2 % TALL][j], SUMS_PITCH); }
      if (TALL > 3u && i == 3u) { subgroupMatrixStore<row_major>(&stage, to, sums[3 % TALL][j], SUMS_PITCH); }
    }
    workgroupBarrier();
    for (var r = thread / OUT4; r < p.sums_rows; r += OUT_STEP) {
      let slot = r * SUMS_PITCH + column;
      let stored = finish(row0 + r / SIDE_M * (TALL * SIDE_M) + i * SIDE_M + r % SIDE_M, batch, y_column, slot);
      if (MEASURES) { stage[slot] = bitcast<Slot>(stored); }
    }
    workgroupBarrier();
    if (MEASURES) {
      let stretch = thread / OUT4;  // of EACH rows, of which one thread takes one column
      if (stretch < p.sums_rows / EACH) {
        for (var r = 0u; r < EACH; r++) {
          let done = i * EACH + r;
          let row = row0 + stretch * (TALL * EACH) + done;
          measured = measure(measured, done % SLAB, bitcast<vec4f>(stage[(stretch * EACH + r) * SUMS_PITCH + column]));
          if (done % SLAB == SLAB - 1u && row < p.rows && y_column < p.columns4) { store_moments(row / SLAB, y_column, measured); }
        }
      }
      workgroupBarrier();
    }
  }
}

// Stores one vec4 of y: bias, activation or gate, then channel_add and residual. Returns what was stored, as it was rounded.
fn finish(row: u32, batch: u32, column: u32, slot: u32) -> vec4f {
  if (row >= p.rows || column >= p.columns4) { return vec4f(0.0); }
  var v: vec4f;
  if (GEGLU) {
    let panel = column / 8u * 16u + column % 8u;
    let gate = bitcast<vec4f>(stage[slot + OUT4]) + bias_at(panel + 8u);
    v = (bitcast<vec4f>(stage[slot]) + bias_at(panel)) * activate(2u, gate);
  } else {
    v = activate(ACTIVATION, bitcast<vec4f>(stage[slot]) * p.scale + bias_at(column));
  }
  return finish_at(batch * p.y_batch + row * p.y_pitch + p.y_offset + column - p.y_base, row, column, v);
}

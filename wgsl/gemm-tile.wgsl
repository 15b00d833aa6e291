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
//   moments      of y                                f32     where a norm follows: lib/moments
//
// A workgroup makes ROWS rows by COLUMNS columns; thread (ty, tx) of TALL x WIDE keeps 8 rows x SPAN columns, the vec4s tx and
// WIDE + tx of a row: per value of K it reads 4 (8 + SPAN) bytes of workgroup memory for 8 SPAN FMAs. Per DEPTH values of K the tiles of
// A (transposed, so that 8 rows are two vec4 reads) and of B lie there: 8 KiB for 64 x 64. All global loads of a pass go out together:
// addresses are clamped and values selected, because a branch around a load is a wait for it. The products are written out:
// compilers leave loops as long as these rolled up.
// Tiles: batch x ceil(M/ROWS) x ceil(N/COLUMNS), columns fastest. Traffic: A once a column tile, B once a row tile, y once.
// Sums in f32 in the order of K, one chain per output or, where BLOCKED, per output and block of K, as in gemm-broadcast: no bit
// depends on the tile.
// GEGLU: panels alternate value and gate (b packed so); a thread's vec4 tx holds values, its vec4 WIDE + tx their gates.
// Needs: lib/input, lib/weight, lib/output, lib/activation, lib/epilogue, lib/gemm, lib/moments, lib/half-slab.

const ROWS: u32 = 64;       // of y in a tile: 32, 64 or 128
const COLUMNS: u32 = 64;    // of B in a tile: a multiple of 32
const SPAN: u32 = 8;        // of which a thread makes 4 or 8
const DEPTH: u32 = 16;      // values of K in workgroup memory: 8 or 16; K and blocks of it are multiples of it
const UNROLL: u32 = 8;      // products written out, of values of K: 8, or 1 where compiling costs more than it brings
const CONV: bool = false;   // rows are pixels
const WEIGHTS_FIRST: bool = false;  // B is asked for before A: which order leaves all loads together is the compiler's matter
const ACTIVATION: u32 = 0;  // lib/activation
const GEGLU: bool = false;  // panels alternate value and gate
const BLOCKED: bool = false;      // K is summed in blocks
const MOMENTS: u32 = 7u;    // binding of lib/moments
const WIDE: u32 = COLUMNS / SPAN; // threads along the columns
const TALL: u32 = ROWS / 8u;      // threads along the rows
const THREADS: u32 = WIDE * TALL;
const ROWS4: u32 = ROWS / 4u;
const COLUMNS4: u32 = COLUMNS / 4u;
const FAR: u32 = WIDE % COLUMNS4;               // from a thread's first vec4 of a row to its second
const QUADS: u32 = DEPTH / 4u;                  // vec4 of a row of A
const BRINGS: u32 = ROWS * QUADS / THREADS;     // vec4 of A that a thread brings: four rows, which it turns, or one or two
const BETWEEN: u32 = THREADS / QUADS;           // rows between two of them
const LOADS: u32 = DEPTH * COLUMNS4 / THREADS;  // vec4 of B that a thread brings: 1, 2 or 4
const LINES: u32 = THREADS / COLUMNS4;          // values of K between them
const_assert ((SPAN == 4u || SPAN == 8u) && (DEPTH == 8u || DEPTH == 16u) && COLUMNS % 32u == 0u && ROWS % 32u == 0u);
const_assert BRINGS == 1u || BRINGS == 2u || BRINGS == 4u;
const HANDED: u32 = TALL / 2u * COLUMNS4;       // vec4 columns of half slabs, measured
const_assert !MEASURES || (2u * HANDED <= DEPTH * ROWS4 && HANDED <= DEPTH * COLUMNS4);
const_assert ((UNROLL == 1u || UNROLL == 8u) && LOADS * LINES == DEPTH && LOADS <= 4u && LOADS != 3u && (!GEGLU || SPAN == 8u));

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<Input4>;
@group(0) @binding(2) var<storage, read> b: array<Weight4>;
@group(0) @binding(3) var<storage, read> bias: array<vec4f>;
@group(0) @binding(4) var<storage, read> channel_add: array<Output4>;
@group(0) @binding(5) var<storage, read> residual: array<Output4>;
@group(0) @binding(6) var<storage, read_write> y: array<Output4>;

var<workgroup> a_tile: array<vec4f, DEPTH * ROWS4>;     // [DEPTH][ROWS / 4]
var<workgroup> b_tile: array<vec4f, DEPTH * COLUMNS4>;  // [DEPTH][COLUMNS / 4]

alias Sums = array<vec4f, 2u * SPAN>;  // rows of vec4 tx, then those of vec4 WIDE + tx

// Where a vec4 column of a tile's B begins; columns beyond the last read the last.
fn b_column(column_tile: u32, local: u32, batch: u32) -> u32 {
  let first = p.b_offset - p.b_base + batch * p.b_batch;
  if (GEGLU) {
    let column = min(column_tile * WIDE + local % WIDE, p.columns4 - 1u);
    return first + (2u * (column / 8u) + local / WIDE) * p.panel_stride + column % 8u;
  }
  let column = min(column_tile * COLUMNS4 + local, p.columns4 - 1u);
  return first + column / p.panel_width * p.panel_stride + column % p.panel_width;
}

// What a thread brings of a tile's B.
struct Weights { w0: Weight4, w1: Weight4, w2: Weight4, w3: Weight4 }

fn weights(at: u32) -> Weights {
  var w: Weights;
  w.w0 = b[at];
  if (LOADS > 1u) { w.w1 = b[at + LINES * p.k_stride]; }
  if (LOADS > 2u) {
    w.w2 = b[at + 2u * LINES * p.k_stride];
    w.w3 = b[at + 3u * LINES * p.k_stride];
  }
  return w;
}

// Four values of K of one row of a tile's A.
fn scatter(quad: u32, row: u32, x: vec4f) {
  let at = 4u * quad % DEPTH * ROWS4 + row / 4u % ROWS4;
  a_tile[at][row % 4u] = x.x;
  a_tile[(at + ROWS4) % (DEPTH * ROWS4)][row % 4u] = x.y;
  a_tile[(at + 2u * ROWS4) % (DEPTH * ROWS4)][row % 4u] = x.z;
  a_tile[(at + 3u * ROWS4) % (DEPTH * ROWS4)][row % 4u] = x.w;
}

// One value of K: eight rows by SPAN columns.
fn step(sums: ptr<function, Sums>, lo: vec4f, hi: vec4f, near: vec4f, far: vec4f) {
  (*sums)[0] = fma(vec4f(lo.x), near, (*sums)[0]);
  (*sums)[1] = fma(vec4f(lo.y), near, (*sums)[1]);
  (*sums)[2] = fma(vec4f(lo.z), near, (*sums)[2]);
  (*sums)[3] = fma(vec4f(lo.w), near, (*sums)[3]);
  (*sums)[4] = fma(vec4f(hi.x), near, (*sums)[4]);
  (*sums)[5] = fma(vec4f(hi.y), near, (*sums)[5]);
  (*sums)[6] = fma(vec4f(hi.z), near, (*sums)[6]);
  (*sums)[7] = fma(vec4f(hi.w), near, (*sums)[7]);
  if (SPAN > 4u) {
    (*sums)[8u % (2u * SPAN)] = fma(vec4f(lo.x), far, (*sums)[8u % (2u * SPAN)]);
    (*sums)[9u % (2u * SPAN)] = fma(vec4f(lo.y), far, (*sums)[9u % (2u * SPAN)]);
    (*sums)[10u % (2u * SPAN)] = fma(vec4f(lo.z), far, (*sums)[10u % (2u * SPAN)]);
    (*sums)[11u % (2u * SPAN)] = fma(vec4f(lo.w), far, (*sums)[11u % (2u * SPAN)]);
    (*sums)[12u % (2u * SPAN)] = fma(vec4f(hi.x), far, (*sums)[12u % (2u * SPAN)]);
    (*sums)[13u % (2u * SPAN)] = fma(vec4f(hi.y), far, (*sums)[13u % (2u * SPAN)]);
    (*sums)[14u % (2u * SPAN)] = fma(vec4f(hi.z), far, (*sums)[14u % (2u * SPAN)]);
    (*sums)[15u % (2u * SPAN)] = fma(vec4f(hi.w), far, (*sums)[15u % (2u * SPAN)]);
  }
}

// Adds finished partial sums to the totals.
fn settle(totals: ptr<function, Sums>, sums: ptr<function, Sums>) {
  (*totals)[0] += (*sums)[0];
  (*totals)[1] += (*sums)[1];
  (*totals)[2] += (*sums)[2];
  (*totals)[3] += (*sums)[3];
  (*totals)[4] += (*sums)[4];
  (*totals)[5] += (*sums)[5];
  (*totals)[6] += (*sums)[6];
  (*totals)[7] += (*sums)[7];
  if (SPAN > 4u) {
    (*totals)[8u % (2u * SPAN)] += (*sums)[8u % (2u * SPAN)];
    (*totals)[9u % (2u * SPAN)] += (*sums)[9u % (2u * SPAN)];
    (*totals)[10u % (2u * SPAN)] += (*sums)[10u % (2u * SPAN)];
    (*totals)[11u % (2u * SPAN)] += (*sums)[11u % (2u * SPAN)];
    (*totals)[12u % (2u * SPAN)] += (*sums)[12u % (2u * SPAN)];
    (*totals)[13u % (2u * SPAN)] += (*sums)[13u % (2u * SPAN)];
    (*totals)[14u % (2u * SPAN)] += (*sums)[14u % (2u * SPAN)];
    (*totals)[15u % (2u * SPAN)] += (*sums)[15u % (2u * SPAN)];
  }
}

fn store(row: u32, batch: u32, column: u32, sum: vec4f, gate: vec4f, shift: vec4f, gate_shift: vec4f) -> vec4f {
  if (row >= p.rows || column >= p.columns4) { return vec4f(0.0); }
  var v: vec4f;
  if (GEGLU) {
    v = (sum + shift) * activate(2u, gate + gate_shift);
  } else {
    v = activate(ACTIVATION, sum * p.scale + shift);
  }
  return finish(row, batch, column, v);
}

// Halves of a slab lie in neighbouring threads of a column: odd ones hand theirs over where the tiles of A and B were.
fn hand_over(odd: u32, column: u32, m: Moments) {
  let at = odd * COLUMNS4 + column;
  a_tile[at % (DEPTH * ROWS4)] = m.shift;
  a_tile[(HANDED + at) % (DEPTH * ROWS4)] = m.mean;
  b_tile[at % (DEPTH * COLUMNS4)] = m.squares;
}

fn take_over(even: u32, column: u32, m: Moments) -> Moments {
  let at = even * COLUMNS4 + column;
  let other = Moments(a_tile[at % (DEPTH * ROWS4)], a_tile[(HANDED + at) % (DEPTH * ROWS4)], b_tile[at % (DEPTH * COLUMNS4)]);
  return merge(m, other, 8.0);
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) thread: u32) {
  let tile = p.first_tile + wid.y * nwg.x + wid.x;
  if (tile >= p.end_tile) { return; }
  let place = place_of(tile);
  let batch = place.batch;
  let column_tile = place.column_tile;
  let tx = thread % WIDE;
  let ty = thread / WIDE % TALL;
  let row0 = place.row_tile * ROWS;

  // Loading: each thread brings a 4 x 4 block of A and turns it, or one or two vec4 of A that it stores value by value; and LOADS
  // vec4 of B.
  let quad = thread % QUADS;
  let line = thread / QUADS % BETWEEN;
  let load_row = row0 + select(line, 4u * line, BRINGS == 4u);
  let next_row = select(BETWEEN, 1u, BRINGS == 4u);
  let b_local = thread % COLUMNS4;
  let b_line = thread / COLUMNS4 % LINES;
  var b_at = b_column(column_tile, b_local, batch) + b_line * p.k_stride;

  var sums: Sums;
  var totals: Sums;
  for (var ky = 0u; ky < p.taps_y; ky++) {
    for (var kx = 0u; kx < p.taps_x; kx++) {
      let start0 = row_start(load_row, batch, kx, ky);
      let start1 = row_start(load_row + next_row, batch, kx, ky);
      let start2 = row_start(load_row + 2u, batch, kx, ky);
      let start3 = row_start(load_row + 3u, batch, kx, ky);
      let first = select(kx * p.block, 0u, CONV);
      let end = select(min(first + p.block, p.k), p.k, CONV);
      if (BLOCKED) { sums = Sums(); }  // here, not behind a block: zeros that live from block to block take registers
      for (var k0 = first; k0 < end; k0 += DEPTH) {
        let at = k0 / 4u + quad;
        var w: Weights;
        if (WEIGHTS_FIRST) { w = weights(b_at); }
        let x0 = a[start0.at + at];
        var x1: Input4; var x2: Input4; var x3: Input4;
        if (BRINGS > 1u) { x1 = a[start1.at + at]; }
        if (BRINGS > 2u) {
          x2 = a[start2.at + at];
          x3 = a[start3.at + at];
        }
        if (!WEIGHTS_FIRST) { w = weights(b_at); }
        b_at += DEPTH * p.k_stride;
        workgroupBarrier();  // what was read is converted behind it: compilers that convert a value where it comes wait for each
        let v0 = inside_picture(start0, x0);
        let v1 = inside_picture(start1, x1);
        if (BRINGS == 4u) {
          let turned = transpose(mat4x4f(v0, v1, inside_picture(start2, x2), inside_picture(start3, x3)));
          a_tile[4u * quad * ROWS4 + line % ROWS4] = turned[0];
          a_tile[(4u * quad + 1u) * ROWS4 + line % ROWS4] = turned[1];
          a_tile[(4u * quad + 2u) * ROWS4 + line % ROWS4] = turned[2];
          a_tile[(4u * quad + 3u) * ROWS4 + line % ROWS4] = turned[3];
        } else {
          scatter(quad, line, v0);
          if (BRINGS > 1u) { scatter(quad, line + BETWEEN, v1); }
        }
        b_tile[b_line * COLUMNS4 + b_local] = weight_load(w.w0);
        if (LOADS > 1u) { b_tile[(LINES + b_line) * COLUMNS4 + b_local] = weight_load(w.w1); }
        if (LOADS > 2u) {
          b_tile[(2u * LINES + b_line) % DEPTH * COLUMNS4 + b_local] = weight_load(w.w2);
          b_tile[(3u * LINES + b_line) % DEPTH * COLUMNS4 + b_local] = weight_load(w.w3);
        }
        workgroupBarrier();
        // In this form Tint proves every index in range, and clamps none.
        for (var k = 0u; k < DEPTH / UNROLL; k++) {
          step(&sums, a_tile[(UNROLL * k + 0u) * ROWS4 + 2u * ty], a_tile[(UNROLL * k + 0u) * ROWS4 + 2u * ty + 1u],
               b_tile[(UNROLL * k + 0u) * COLUMNS4 + tx], b_tile[(UNROLL * k + 0u) * COLUMNS4 + FAR + tx]);
          if (UNROLL == 8u) {
            step(&sums, a_tile[(UNROLL * k + 1u) * ROWS4 + 2u * ty], a_tile[(UNROLL * k + 1u) * ROWS4 + 2u * ty + 1u],
                 b_tile[(UNROLL * k + 1u) * COLUMNS4 + tx], b_tile[(UNROLL * k + 1u) * COLUMNS4 + FAR + tx]);
            step(&sums, a_tile[(UNROLL * k + 2u) * ROWS4 + 2u * ty], a_tile[(UNROLL * k + 2u) * ROWS4 + 2u * ty + 1u],
                 b_tile[(UNROLL * k + 2u) * COLUMNS4 + tx], b_tile[(UNROLL * k + 2u) * COLUMNS4 + FAR + tx]);
            step(&sums, a_tile[(UNROLL * k + 3u) * ROWS4 + 2u * ty], a_tile[(UNROLL * k + 3u) * ROWS4 + 2u * ty + 1u],
                 b_tile[(UNROLL * k + 3u) * COLUMNS4 + tx], b_tile[(UNROLL * k + 3u) * COLUMNS4 + FAR + tx]);
            step(&sums, a_tile[(UNROLL * k + 4u) * ROWS4 + 2u * ty], a_tile[(UNROLL * k + 4u) * ROWS4 + 2u * ty + 1u],
                 b_tile[(UNROLL * k + 4u) * COLUMNS4 + tx], b_tile[(UNROLL * k + 4u) * COLUMNS4 + FAR + tx]);
            step(&sums, a_tile[(UNROLL * k + 5u) * ROWS4 + 2u * ty], a_tile[(UNROLL * k + 5u) * ROWS4 + 2u * ty + 1u],
                 b_tile[(UNROLL * k + 5u) * COLUMNS4 + tx], b_tile[(UNROLL * k + 5u) * COLUMNS4 + FAR + tx]);
            step(&sums, a_tile[(UNROLL * k + 6u) * ROWS4 + 2u * ty], a_tile[(UNROLL * k + 6u) * ROWS4 + 2u * ty + 1u],
                 b_tile[(UNROLL * k + 6u) * COLUMNS4 + tx], b_tile[(UNROLL * k + 6u) * COLUMNS4 + FAR + tx]);
            step(&sums, a_tile[(UNROLL * k + 7u) * ROWS4 + 2u * ty], a_tile[(UNROLL * k + 7u) * ROWS4 + 2u * ty + 1u],
                 b_tile[(UNROLL * k + 7u) * COLUMNS4 + tx], b_tile[(UNROLL * k + 7u) * COLUMNS4 + FAR + tx]);
          }
        }
      }
      if (BLOCKED) { settle(&totals, &sums); }
    }
  }
  if (BLOCKED) { sums = totals; }

  let row = row0 + ty * 8u;
  let column = column_tile * select(COLUMNS4, WIDE, GEGLU) + tx;
  let known = min(column, p.columns4 - 1u);
  if (GEGLU) {
    let shift_at = 16u * (known / 8u) + known % 8u;  // biases alternate as the panels do
    let shift = bias_at(shift_at);
    let gate_shift = bias_at(shift_at + 8u);
    for (var i = 0u; i < 8u; i++) { store(row + i, batch, column, sums[i], sums[(8u + i) % (2u * SPAN)], shift, gate_shift); }
  } else {
    let shift = bias_at(known);
    let far_shift = bias_at(min(column + FAR, p.columns4 - 1u));
    for (var i = 0u; i < 8u; i++) {
      let stored = store(row + i, batch, column, sums[i], vec4f(0.0), shift, vec4f(0.0));
      if (MEASURES) { sums[i] = stored; }
      if (SPAN > 4u) {
        let at = (8u + i) % (2u * SPAN);
        let far_stored = store(row + i, batch, column + FAR, sums[at], vec4f(0.0), far_shift, vec4f(0.0));
        if (MEASURES) { sums[at] = far_stored; }
      }
    }
    if (MEASURES) {
      let near = half_slab(&sums, 0u);
      let far = half_slab(&sums, 8u % (2u * SPAN));
      workgroupBarrier();  // all have read the last tiles
      if (ty % 2u == 1u) {
        hand_over(ty / 2u, tx, near);
        if (SPAN > 4u) { hand_over(ty / 2u, FAR + tx, far); }
      }
      workgroupBarrier();
      if (ty % 2u == 0u && row < p.rows) {
        if (column < p.columns4) { store_moments(slab_of(row, batch), column, take_over(ty / 2u, tx, near)); }
        if (SPAN > 4u && column + FAR < p.columns4) { store_moments(slab_of(row, batch), column + FAR, take_over(ty / 2u, FAR + tx, far)); }
      }
    }
  }
}

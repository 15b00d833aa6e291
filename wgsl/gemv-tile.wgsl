// gemv-tile: y = act(A * B + bias), then + or * residual, for 1 to 16 rows of A, as in decoding token by token; for GPUs
// (docs/decisions/0003-two-families.md).
//
//   a            [rows, a_pitch]       Input
//   b            panels [N/32][K][32]  Weight   packed weights, read in the order in which they lie
//   bias         [N]                   f32
//   residual, y  [rows, y_pitch]       Output
//
// A workgroup makes ROWS rows of one panel: thread (slice, tx) of SLICES x 8 takes 4 of every 4 SLICES values of K for one vec4
// column and all rows: with 32 slices a workgroup reads 16 KiB of f32 weights in one stretch. Then the slices of each sum meet by
// halves in workgroup memory (16 KiB), four rows at a time.
// Tiles: ceil(N / 32) x ceil(M / ROWS), rows fastest. Traffic: B once, A once per panel (from the cache), y once.
// Sums in f32: SLICES interleaved chains, then a tree; the order does not depend on the number of rows.
// Reference: torch.nn.functional.linear.
// Needs: lib/input, lib/weight, lib/output, lib/activation, lib/gemv.

const ROWS: u32 = 1;        // rows of a tile: 1, 2, 4, 8 or 16
const ACTIVATION: u32 = 0;  // lib/activation
const SLICES: u32 = 32;     // threads along K: a power of two
const THREADS: u32 = 8u * SLICES;

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<Input4>;
@group(0) @binding(2) var<storage, read> b: array<Weight4>;
@group(0) @binding(3) var<storage, read> bias: array<vec4f>;
@group(0) @binding(4) var<storage, read> residual: array<Output4>;
@group(0) @binding(5) var<storage, read_write> y: array<Output4>;

var<workgroup> partial: array<vec4f, 4u * THREADS>;  // [4 rows][SLICES][8 columns]

// Adds four values of K of one row: w holds their four rows of B.
fn add(sum: vec4f, row: u32, k: u32, w: mat4x4f) -> vec4f {
  let x = input_load(a[(min(row, p.rows - 1u) * p.a_pitch + k) / 4u]);
  return fma(vec4f(x.w), w[3], fma(vec4f(x.z), w[2], fma(vec4f(x.y), w[1], fma(vec4f(x.x), w[0], sum))));
}

fn store(row: u32, column: u32, sum: vec4f) {
  if (row >= p.rows || column >= p.columns4) { return; }
  finish(row, column, sum, bias_at(column));
}

struct Place { thread: u32, slice: u32, row0: u32, column: u32 }

// Adds the slices of four rows from row `first` of the tile on, or of as many as there are, and stores them.
fn meet(first: u32, s0: vec4f, s1: vec4f, s2: vec4f, s3: vec4f, at: Place) {
  let some = min(p.tile_rows, 4u);  // no constant: software compilers need minutes where its loops are unrolled
  workgroupBarrier();  // the rows before have been read
  partial[at.thread] = s0;
  if (ROWS > 1u) { partial[THREADS + at.thread] = s1; }
  if (ROWS > 2u) {
    partial[2u * THREADS + at.thread] = s2;
    partial[3u * THREADS + at.thread] = s3;
  }
  for (var half = SLICES / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (at.slice < half) {
      for (var r = 0u; r < some; r++) { partial[THREADS * r + at.thread] += partial[THREADS * r + at.thread + 8u * half]; }
    }
  }
  workgroupBarrier();
  if (at.slice < some) { store(at.row0 + first + at.slice, at.column, partial[THREADS * at.slice + at.thread % 8u]); }
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) thread: u32) {
  let tile = p.first_tile + wid.y * nwg.x + wid.x;
  if (tile >= p.end_tile) { return; }
  let panel = tile / p.row_tiles;
  let row0 = tile % p.row_tiles * ROWS;
  let column = panel * 8u + thread % 8u;  // vec4 columns of y; panels are whole, so that every load lies inside
  let slice = thread / 8u;
  let place = Place(thread, slice, row0, column);

  var s: array<vec4f, 16>;
  var b_at = p.b_offset + panel * p.panel_stride + slice * 32u + thread % 8u;
  for (var k = 4u * slice; k < p.k; k += 4u * SLICES) {
    let w = mat4x4f(weight_load(b[b_at]), weight_load(b[b_at + 8u]), weight_load(b[b_at + 16u]), weight_load(b[b_at + 24u]));
    s[0] = add(s[0], row0, k, w);
    if (ROWS > 1u) { s[1] = add(s[1], row0 + 1u, k, w); }
    if (ROWS > 2u) {
      s[2] = add(s[2], row0 + 2u, k, w);
      s[3] = add(s[3], row0 + 3u, k, w);
    }
    if (ROWS > 4u) {
      s[4] = add(s[4], row0 + 4u, k, w);
      s[5] = add(s[5], row0 + 5u, k, w);
      s[6] = add(s[6], row0 + 6u, k, w);
      s[7] = add(s[7], row0 + 7u, k, w);
    }
    if (ROWS > 8u) {
      s[8] = add(s[8], row0 + 8u, k, w);
      s[9] = add(s[9], row0 + 9u, k, w);
      s[10] = add(s[10], row0 + 10u, k, w);
      s[11] = add(s[11], row0 + 11u, k, w);
      s[12] = add(s[12], row0 + 12u, k, w);
      s[13] = add(s[13], row0 + 13u, k, w);
      s[14] = add(s[14], row0 + 14u, k, w);
      s[15] = add(s[15], row0 + 15u, k, w);
    }
    b_at += 32u * SLICES;
  }

  meet(0u, s[0], s[1], s[2], s[3], place);
  if (ROWS > 4u) { meet(4u, s[4], s[5], s[6], s[7], place); }
  if (ROWS > 8u) {
    meet(8u, s[8], s[9], s[10], s[11], place);
    meet(12u, s[12], s[13], s[14], s[15], place);
  }
}

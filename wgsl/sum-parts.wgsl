// sum-parts: y = act(scale * sum_i partials[i] + bias) + channel_add, then + or * residual: what follows a product whose K axis was cut,
// each part summed by workgroups of its own. Reference: split-K, https://docs.nvidia.com/cutlass/media/docs/cpp/efficient_gemm.html.
//
//   partials     [rows, PARTS, columns]  f32
//   bias         [columns]               f32
//   channel_add  [images, channel_pitch] Output   one row an image
//   residual, y  [rows, y_pitch]         Output
//   moments      of y                    f32      where a norm follows: lib/moments
//
// A workgroup makes 16 rows by WIDE vec4 columns, which are a slab of lib/moments; each invocation EACH neighbouring rows of one column.
// Tiles: ceil(rows / 16) x ceil(columns / (4 WIDE)), columns fastest. Traffic: partials once, y once. Sums in f32 in the order of the parts.
// Needs: lib/output, lib/activation, lib/epilogue, lib/moments.

const WIDE: u32 = 64;
const EACH: u32 = 4;
const ROWS: u32 = 16;
const PARTS: u32 = 2;       // 2, 3 or 4
const ACTIVATION: u32 = 0;  // lib/activation
const MOMENTS: u32 = 6u;    // binding of lib/moments
const WORKGROUP: u32 = WIDE * (ROWS / EACH);
const HANDED: u32 = WORKGROUP - WIDE;  // vec4 columns of rows that others measured
const_assert PARTS >= 2u && PARTS <= 4u && ROWS == SLAB;

struct Params {
  first_tile: u32, end_tile: u32,
  rows: u32,
  columns4: u32,       // vec4s of a row of the result
  column_tiles: u32,
  partials_base: u32,  // vec4
  y_pitch: u32, y_offset: u32, y_base: u32,                          // vec4
  rows_per_image: u32,
  channel_pitch: u32, channel_offset: u32, channel_base: u32,        // vec4
  scale: f32,
  has_bias: u32, has_channel_add: u32,
  has_residual: u32,   // 1: added, 2: multiplied
  moments_pitch: u32, moments_offset: u32, moments_base: u32,        // vec2, of lib/moments
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> partials: array<vec4f>;
@group(0) @binding(2) var<storage, read> bias: array<vec4f>;
@group(0) @binding(3) var<storage, read> channel_add: array<Output4>;
@group(0) @binding(4) var<storage, read> residual: array<Output4>;
@group(0) @binding(5) var<storage, read_write> y: array<Output4>;

var<workgroup> handed: array<vec4f, select(1u, 3u * HANDED, MEASURES)>;  // shifts, means, squares

// Rows below the first EACH hand over what they measured.
fn hand_over(at: u32, m: Moments) {
  handed[at % HANDED] = m.shift;
  handed[HANDED + at % HANDED] = m.mean;
  handed[2u * HANDED + at % HANDED] = m.squares;
}

fn handed_over(at: u32) -> Moments {
  return Moments(handed[at % HANDED], handed[HANDED + at % HANDED], handed[2u * HANDED + at % HANDED]);
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let tile = p.first_tile + wid.y * nwg.x + wid.x;
  if (tile >= p.end_tile) { return; }
  let local = lane % WIDE;
  let column = tile % p.column_tiles * WIDE + local;
  let row0 = tile / p.column_tiles * ROWS + lane / WIDE * EACH;
  let known = min(column, p.columns4 - 1u);
  var sums: array<vec4f, EACH>;
  for (var i = 0u; i < EACH; i++) {
    let at = min(row0 + i, p.rows - 1u) * PARTS * p.columns4 + known - p.partials_base;
    sums[i] = partials[at] + partials[at + p.columns4];
    if (PARTS > 2u) { sums[i] += partials[at + 2u * p.columns4]; }
    if (PARTS > 3u) { sums[i] += partials[at + 3u * p.columns4]; }
  }
  let shift = bias_at(known);
  var measured: Moments;
  for (var i = 0u; i < EACH; i++) {
    let row = row0 + i;
    if (row < p.rows && column < p.columns4) {
      let v = activate(ACTIVATION, sums[i] * p.scale + shift);
      let stored = finish_at(row * p.y_pitch + p.y_offset + column - p.y_base, row, column, v);
      if (MEASURES) { measured = measure(measured, i, stored); }
    }
  }
  if (MEASURES) {
    if (lane >= WIDE) { hand_over(lane - WIDE, measured); }
    workgroupBarrier();
    if (lane < WIDE && row0 < p.rows && column < p.columns4) {
      let upper = merge(measured, handed_over(local), f32(EACH));
      let lower = merge(handed_over(WIDE + local), handed_over(2u * WIDE + local), f32(EACH));
      store_moments(row0 / SLAB, column, merge(upper, lower, f32(2u * EACH)));
    }
  }
}

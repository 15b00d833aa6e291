// gemv-broadcast: y = act(A * B + bias), then + or * residual, for at most a few rows of A, as in decoding token by token;
// for software Vulkan: one subgroup a workgroup, no barrier, no workgroup memory (docs/decisions/0003-two-families.md).
//
//   a            [rows, a_pitch]     Input
//   b            panels [N/32][K][32]  Weight   packed weights, read in the order in which they lie
//   bias         [N]                 f32
//   residual, y  [rows, y_pitch]     Output
//
// A workgroup makes ROWS rows by LANES * 4 columns: each lane keeps one vec4 a row. One load brings 8 values of K for a row
// (a lane each), subgroupBroadcast hands them round.
// Tiles: ceil(N / (4 LANES)) x ceil(M / ROWS), rows fastest, so that a panel is still in cache for the second tile.
// Traffic: B once, A once per column tile, y once. Sums in f32, one chain per output in the order of K, as gemm-broadcast.
// Reference: torch.nn.functional.linear.
// Needs: lib/input, lib/weight, lib/output, lib/activation, lib/gemv.
enable subgroups;

const LANES: u32 = 8;       // the subgroup size: 4 to 16
const ROWS: u32 = 1;        // rows of a tile: 1, 2, 4 or 8
const ACTIVATION: u32 = 0;  // lib/activation
const STEP: u32 = min(LANES, 8u);

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<Input1>;
@group(0) @binding(2) var<storage, read> b: array<Weight4>;
@group(0) @binding(3) var<storage, read> bias: array<vec4f>;
@group(0) @binding(4) var<storage, read> residual: array<Output4>;
@group(0) @binding(5) var<storage, read_write> y: array<Output4>;

alias Sums = array<vec4f, ROWS>;

// One value of K for each row of the tile: component i of lo, then of hi.
struct Values { lo: vec4f, hi: vec4f }

fn a_at(row: u32, k: u32) -> f32 {
  let element = min(row, p.rows - 1u) * p.a_pitch + k;
  return input_pick(a[input_slot(element)], element);
}

fn values_at(row0: u32, k: u32) -> Values {
  var v: Values;
  v.lo.x = a_at(row0, k);
  if (ROWS > 1u) { v.lo.y = a_at(row0 + 1u, k); }
  if (ROWS > 2u) {
    v.lo.z = a_at(row0 + 2u, k);
    v.lo.w = a_at(row0 + 3u, k);
  }
  if (ROWS > 4u) { v.hi = vec4f(a_at(row0 + 4u, k), a_at(row0 + 5u, k), a_at(row0 + 6u, k), a_at(row0 + 7u, k)); }
  return v;
}

fn accumulate(sums: ptr<function, Sums>, lo: vec4f, hi: vec4f, w: vec4f) {
  (*sums)[0] = fma(vec4f(lo.x), w, (*sums)[0]);
  if (ROWS > 1u) { (*sums)[min(1u, ROWS - 1u)] = fma(vec4f(lo.y), w, (*sums)[min(1u, ROWS - 1u)]); }
  if (ROWS > 2u) {
    (*sums)[min(2u, ROWS - 1u)] = fma(vec4f(lo.z), w, (*sums)[min(2u, ROWS - 1u)]);
    (*sums)[min(3u, ROWS - 1u)] = fma(vec4f(lo.w), w, (*sums)[min(3u, ROWS - 1u)]);
  }
  if (ROWS > 4u) {
    (*sums)[min(4u, ROWS - 1u)] = fma(vec4f(hi.x), w, (*sums)[min(4u, ROWS - 1u)]);
    (*sums)[min(5u, ROWS - 1u)] = fma(vec4f(hi.y), w, (*sums)[min(5u, ROWS - 1u)]);
    (*sums)[min(6u, ROWS - 1u)] = fma(vec4f(hi.z), w, (*sums)[min(6u, ROWS - 1u)]);
    (*sums)[min(7u, ROWS - 1u)] = fma(vec4f(hi.w), w, (*sums)[min(7u, ROWS - 1u)]);
  }
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let tile = p.first_tile + wid.y * nwg.x + wid.x;
  if (tile >= p.end_tile) { return; }
  let row0 = tile % p.row_tiles * ROWS;
  let column = tile / p.row_tiles * LANES + lane;  // vec4 columns of y
  let clamped = min(column, p.columns4 - 1u);

  var sums: Sums;
  var b_at = p.b_offset + clamped / 8u * p.panel_stride + clamped % 8u;
  for (var k0 = 0u; k0 < p.k; k0 += STEP) {
    let v = values_at(row0, k0 + lane % STEP);
    accumulate(&sums, subgroupBroadcast(v.lo, 0u), subgroupBroadcast(v.hi, 0u), weight_load(b[b_at]));
    accumulate(&sums, subgroupBroadcast(v.lo, 1u), subgroupBroadcast(v.hi, 1u), weight_load(b[b_at + 8u]));
    accumulate(&sums, subgroupBroadcast(v.lo, 2u), subgroupBroadcast(v.hi, 2u), weight_load(b[b_at + 16u]));
    accumulate(&sums, subgroupBroadcast(v.lo, 3u), subgroupBroadcast(v.hi, 3u), weight_load(b[b_at + 24u]));
    if (LANES > 4u) {
      accumulate(&sums, subgroupBroadcast(v.lo, 4u), subgroupBroadcast(v.hi, 4u), weight_load(b[b_at + 32u]));
      accumulate(&sums, subgroupBroadcast(v.lo, 5u), subgroupBroadcast(v.hi, 5u), weight_load(b[b_at + 40u]));
      accumulate(&sums, subgroupBroadcast(v.lo, 6u), subgroupBroadcast(v.hi, 6u), weight_load(b[b_at + 48u]));
      accumulate(&sums, subgroupBroadcast(v.lo, 7u), subgroupBroadcast(v.hi, 7u), weight_load(b[b_at + 56u]));
    }
    b_at += 8u * STEP;
  }

  if (column >= p.columns4) { return; }
  let shift = bias_at(column);
  var finished = sums;
  let rows = min(p.rows - row0, p.tile_rows);  // of unknown length, so that the loop stays one: unrolled it compiles slowly
  for (var i = 0u; i < rows; i++) {
    finish(row0 + i, column, finished[i], shift);
  }
}

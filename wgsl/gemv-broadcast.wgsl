// gemv-broadcast: y = act(A * B + bias), then + or * residual, for at most 16 rows of A, as in decoding token by token;
// for software Vulkan: one subgroup a workgroup, no barrier, no workgroup memory (docs/decisions/0003-two-families.md).
//
//   a            [rows, a_pitch]     Input
//   b            panels [N/32][K][32]  Weight   packed weights, read in the order in which they lie
//   bias         [N]                 f32
//   residual, y  [rows, y_pitch]     Output
//
// A workgroup makes ROWS rows by LANES * 4 columns: each lane keeps one vec4 a row. One load brings 8 values of K for a row
// (a lane each), subgroupBroadcast hands them round. Row after row takes in all 8: its sum stays in a register meanwhile, and the 8
// vec4 of weights are operands in memory, which spilled sums are not (they are stored as well).
// Tiles: ceil(N / (4 LANES)) x ceil(M / ROWS), rows fastest, so that a panel is still in cache for the second tile.
// Traffic: B once, A once per column tile, y once. Sums in f32 in the order of K, one chain per output
// and block of K, as gemm-broadcast.
// LINES: a lane's own address makes a load a gather, from which no processor foresees the next one: weights that come from memory
// wait for it. Where the driver makes one plain load of a load with an address that all lanes share, such a load of each 64 bytes
// goes before and has them brought to the cache in time.
// Reference: torch.nn.functional.linear.
// Needs: lib/input, lib/weight, lib/output, lib/activation, lib/gemv.
enable subgroups;

const LANES: u32 = 8;       // the subgroup size: 4 to 16
const ROWS: u32 = 1;        // rows of a tile: 1, 2, 4, 8 or 16
const ACTIVATION: u32 = 0;  // lib/activation
const LINES: u32 = 0;       // plain loads ahead for each value of K: 0, 1 (64 bytes of a panel: halves) or 2 (f32)
const STEP: u32 = min(LANES, 8u);

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<Input1>;
@group(0) @binding(2) var<storage, read> b: array<Weight4>;
@group(0) @binding(3) var<storage, read> bias: array<vec4f>;
@group(0) @binding(4) var<storage, read> residual: array<Output4>;
@group(0) @binding(5) var<storage, read_write> y: array<Output4>;

alias Sums = array<vec4f, 16>;  // a row each

// Weights of a lane's columns for a step of K.
struct Step { w0: vec4f, w1: vec4f, w2: vec4f, w3: vec4f, w4: vec4f, w5: vec4f, w6: vec4f, w7: vec4f }

fn step_at(at: u32) -> Step {
  var w: Step;
  w.w0 = weight_load(b[at]);
  w.w1 = weight_load(b[at + 8u]);
  w.w2 = weight_load(b[at + 16u]);
  w.w3 = weight_load(b[at + 24u]);
  if (LANES > 4u) {
    w.w4 = weight_load(b[at + 32u]);
    w.w5 = weight_load(b[at + 40u]);
    w.w6 = weight_load(b[at + 48u]);
    w.w7 = weight_load(b[at + 56u]);
  }
  return w;
}

// Adds a step of K to the sum of one row; `k` is the lane's own.
fn add(sum: vec4f, row: u32, k: u32, w: Step) -> vec4f {
  let element = min(row, p.rows - 1u) * p.a_pitch + k;
  let v = input_pick(a[input_slot(element)], element);
  var s = fma(vec4f(subgroupBroadcast(v, 0u)), w.w0, sum);
  s = fma(vec4f(subgroupBroadcast(v, 1u)), w.w1, s);
  s = fma(vec4f(subgroupBroadcast(v, 2u)), w.w2, s);
  s = fma(vec4f(subgroupBroadcast(v, 3u)), w.w3, s);
  if (LANES > 4u) {
    s = fma(vec4f(subgroupBroadcast(v, 4u)), w.w4, s);
    s = fma(vec4f(subgroupBroadcast(v, 5u)), w.w5, s);
    s = fma(vec4f(subgroupBroadcast(v, 6u)), w.w6, s);
    s = fma(vec4f(subgroupBroadcast(v, 7u)), w.w7, s);
  }
  return s;
}

// Adds finished sums of a block of K to the totals and begins anew.
fn settle(totals: ptr<function, Sums>, s: ptr<function, Sums>) {
  (*totals)[0] += (*s)[0];
  if (ROWS > 1u) { (*totals)[1] += (*s)[1]; }
  if (ROWS > 2u) {
    (*totals)[2] += (*s)[2];
    (*totals)[3] += (*s)[3];
  }
  if (ROWS > 4u) {
    (*totals)[4] += (*s)[4];
    (*totals)[5] += (*s)[5];
    (*totals)[6] += (*s)[6];
    (*totals)[7] += (*s)[7];
  }
  if (ROWS > 8u) {
    (*totals)[8] += (*s)[8];
    (*totals)[9] += (*s)[9];
    (*totals)[10] += (*s)[10];
    (*totals)[11] += (*s)[11];
    (*totals)[12] += (*s)[12];
    (*totals)[13] += (*s)[13];
    (*totals)[14] += (*s)[14];
    (*totals)[15] += (*s)[15];
  }
  *s = Sums();
}

// A plain load: `at` is the same in all lanes.
fn touch(at: u32) -> u32 { return bitcast<u32>(weight_load(b[at]).x); }

fn touch_line(at: u32) -> u32 {
  var most = max(max(touch(at), touch(at + 8u)), max(touch(at + 16u), touch(at + 24u)));
  if (LANES > 4u) { most = max(most, max(max(touch(at + 32u), touch(at + 40u)), max(touch(at + 48u), touch(at + 56u)))); }
  return most;
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let tile = p.first_tile + wid.y * nwg.x + wid.x;
  if (tile >= p.end_tile) { return; }
  let row0 = tile % p.row_tiles * ROWS;
  let column0 = tile / p.row_tiles * LANES;
  let column = column0 + lane;  // vec4 columns of y
  let clamped = min(column, p.columns4 - 1u);

  var s: Sums;
  var totals: Sums;
  var touched = 0u;
  var line = p.b_offset + column0 / 8u * p.panel_stride;
  var b_at = p.b_offset + clamped / 8u * p.panel_stride + clamped % 8u;
  for (var first = 0u; first < p.k; first += p.block) {
    let end = min(p.k, first + p.block);
    for (var k0 = first; k0 < end; k0 += STEP) {
      if (LINES > 0u) { touched = max(touched, touch_line(line)); }
      if (LINES > 1u) { touched = max(touched, touch_line(line + 4u)); }
      let w = step_at(b_at);
      let k = k0 + lane % STEP;
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
      line += 8u * STEP;
      b_at += 8u * STEP;
    }
    settle(&totals, &s);
  }

  if (touched < p.zero) { return; }  // never, which the compiler cannot know: what is loaded for nothing is not loaded
  if (column >= p.columns4) { return; }
  let shift = bias_at(column);
  var finished = totals;
  let rows = min(p.rows - row0, p.tile_rows);  // of unknown length, so that the loop stays one: unrolled it compiles slowly
  for (var i = 0u; i < rows; i++) {
    finish(row0 + i, column, finished[i], shift);
  }
}

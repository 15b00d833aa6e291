// embedding: y[n * L + l] = table[ids[n, l]], for the ids that one window of the table holds.
//
//   ids    [N, ids_pitch]   u32     the first L of each row count
//   table  [window, pitch]  Weight  rows table_first to table_first + window_rows - 1 of the whole table; padding zero
//   y      [N * L, pitch]   Output
//
// Each window writes only the rows whose id lies in it; with `clear` also zeros where the whole table lacks the id.
// Tiles: WORKGROUP * EACH neighbouring vec4s of y. Traffic: one table row a row, y once.
// Numerics: none but the rounding to Output.
// Reference: torch.nn.functional.embedding.
// Needs: lib/weight, lib/output.

const WORKGROUP: u32 = 256;
const EACH: u32 = 4;

struct Params {
  first_tile: u32, end_tile: u32,
  count: u32,    // vec4s of y
  columns: u32,  // vec4s of a row, in the table and in y
  length: u32, ids_pitch: u32,
  table_first: u32, window_rows: u32, table_rows: u32,
  clear: u32,    // 1 or 0
  ids_base: u32, // element
  y_base: u32,   // vec4
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> ids: array<u32>;
@group(0) @binding(2) var<storage, read> table: array<Weight4>;
@group(0) @binding(3) var<storage, read_write> y: array<Output4>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let tile = p.first_tile + wid.y * nwg.x + wid.x;
  if (tile >= p.end_tile) { return; }
  for (var j = 0u; j < EACH; j++) {
    let i = (tile * EACH + j) * WORKGROUP + lane;
    if (i >= p.count) { return; }
    let row = i / p.columns;
    let id = ids[row / p.length * p.ids_pitch + row % p.length - p.ids_base];
    let slot = id - p.table_first;  // wraps to a huge number below the window
    if (slot < p.window_rows) {
      y[i - p.y_base] = output_store(weight_load(table[slot * p.columns + i % p.columns]));
    } else if (p.clear == 1u && id >= p.table_rows) {
      y[i - p.y_base] = output_store(vec4f(0.0));
    }
  }
}

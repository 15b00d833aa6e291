// embedding: y[n * L + l] = table[ids[n, l]], for the ids that one window of the table holds.
//
//   ids    [N, ids_pitch]   u32     the first L of each row count
//   table  [window, pitch]  Weight  rows table_first to table_first + window_rows - 1 of the whole table; padding zero;
//                                   with PANELS [window / 32][pitch][32], as the matrix that the table also is lies for products
//   y      [N * L, pitch]   Output
//
// Each window writes only the rows whose id lies in it; with `clear` also zeros where the whole table lacks the id.
// Tiles: WORKGROUP * EACH neighbouring vec4s of y. Traffic: one table row a row (a whole panel with PANELS), y once.
// Numerics: none but the rounding to Output.
// Reference: torch.nn.functional.embedding.
// Needs: lib/weight, lib/output.

const WORKGROUP: u32 = 256;
const EACH: u32 = 4;
const PANELS: bool = false;  // rows lie as columns of panels

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

// Four values of a row of the window, from vec4 `column` on.
fn entry(slot: u32, column: u32) -> vec4f {
  if (!PANELS) { return weight_load(table[slot * p.columns + column]); }
  let at = (slot / 32u * p.columns + column) * 32u + slot % 32u / 4u;
  let lane = slot % 4u;
  return vec4f(
    weight_load(table[at])[lane], weight_load(table[at + 8u])[lane],
    weight_load(table[at + 16u])[lane], weight_load(table[at + 24u])[lane],
  );
}

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
      y[i - p.y_base] = output_store(entry(slot, i % p.columns));
    } else if (p.clear == 1u && id >= p.table_rows) {
      y[i - p.y_base] = output_store(vec4f(0.0));
    }
  }
}

// gather-columns: y[h, j] = table[ids[j], h], rows of a table by number, laid side by side as columns.
//
//   ids    [n]               u32
//   table  [rows, pitch]     Weight
//   y      [width, y_pitch]  f32     padding zero
//
// Tiles: WORKGROUP neighbouring vec4s of y. Traffic: y once, the table from the cache. Exact.
// Reference: torch.index_select and a transpose.
// Needs: lib/weight.

const WORKGROUP: u32 = 64;

struct Params {
  first_tile: u32, end_tile: u32,
  count: u32,     // vec4s of y
  columns: u32,   // of a row of y, in vec4
  n: u32,
  pitch: u32,     // of the table, in vec4
  rows: u32,      // of the table
  y_base: u32,    // vec4
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> ids: array<u32>;
@group(0) @binding(2) var<storage, read> table: array<Weight4>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4f>;

fn value(j: u32, h: u32) -> f32 {
  if (j >= p.n) { return 0.0; }
  return weight_load(table[min(ids[j], p.rows - 1u) * p.pitch + h / 4u])[h % 4u];
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let tile = p.first_tile + wid.y * nwg.x + wid.x;
  let i = tile * WORKGROUP + lane;
  if (tile >= p.end_tile || i >= p.count) { return; }
  let h = i / p.columns;
  let j = i % p.columns * 4u;
  y[i - p.y_base] = vec4f(value(j, h), value(j + 1u, h), value(j + 2u, h), value(j + 3u, h));
}

// cache-gather: sequences of a cache take over each other's rows, in place: after it, sequence r holds what sequence index[r]
// held. Beam search reorders by it.
//
//   cache[r, t, c] = cache[index[r], t, c]   for t < lengths[0]; index[r] lies in the same group of `group` sequences as r
//
//   index    [N]                          u32
//   lengths  [1]                          u32     rows of a sequence that hold something
//   cache    [N * capacity, cache_pitch]  Storage
//
// One invocation owns one vec4 of one position for a whole group: it reads all before it writes any, so that no second cache
// is needed. Sequences that stay where they are are not written.
// Tiles: WORKGROUP vec4s of a group's positions. Traffic: the filled rows once each way. Exact: bits are copied.
// Reference: transformers Cache.reorder_cache.
// Needs: lib/output.

const WORKGROUP: u32 = 64;
const ROWS: u32 = 4;  // most sequences of a group

struct Params {
  first_tile: u32, end_tile: u32,
  count: u32,        // groups * capacity * columns
  columns: u32,      // of a row, in vec4
  group: u32,        // sequences of a group: 1 to ROWS
  capacity: u32,
  index_base: u32,   // element
  cache_base: u32,   // vec4
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> index: array<u32>;
@group(0) @binding(2) var<storage, read> lengths: array<u32>;
@group(0) @binding(3) var<storage, read_write> cache: array<Output4>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let tile = p.first_tile + wid.y * nwg.x + wid.x;
  let i = tile * WORKGROUP + lane;
  if (tile >= p.end_tile || i >= p.count) { return; }
  let size = p.capacity * p.columns;  // of a sequence
  let within = i % size;
  if (within / p.columns >= lengths[0]) { return; }
  let first = i / size * p.group;
  var held: array<Output4, ROWS>;
  let own = first - p.index_base;
  let at = first * size + within - p.cache_base;
  for (var r = 0u; r < p.group; r++) { held[r] = cache[min(index[own + r] - first, p.group - 1u) * size + at]; }
  for (var r = 0u; r < p.group; r++) {
    if (index[own + r] != first + r) { cache[r * size + at] = held[r]; }
  }
}

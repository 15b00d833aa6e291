// cache-append: the new keys and values of each sequence into its cache, behind what lies there already.
//
//   cache[n, start + l, c] = x[n, l, first + c]   for l < L and start + l < capacity, start = lengths[1]
//
//   x        [N * L, x_pitch]                Input   keys and values side by side from vec4 `x_first` on
//   lengths  [2]                             u32     keys after this call, position of the first new one
//   cache    [N * capacity, cache_pitch]     Output  only the new rows are written
//
// The position comes from a buffer, so that one recorded plan serves every step.
// Tiles: WORKGROUP * EACH neighbouring vec4s of the new rows. Traffic: the new rows once each way. Numerics: none but the
// rounding to Output.
// Reference: transformers StaticCache.update.
// Needs: lib/input, lib/output.

const WORKGROUP: u32 = 64;
const EACH: u32 = 4;

struct Params {
  first_tile: u32, end_tile: u32,
  count: u32,              // vec4s to write
  columns: u32,            // of a row, in vec4
  length: u32,             // new rows a sequence
  capacity: u32,           // rows a sequence
  x_pitch: u32, x_first: u32, cache_pitch: u32,  // vec4
  x_base: u32, cache_base: u32,                  // vec4
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<Input4>;
@group(0) @binding(2) var<storage, read> lengths: array<u32>;
@group(0) @binding(3) var<storage, read_write> cache: array<Output4>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let tile = p.first_tile + wid.y * nwg.x + wid.x;
  if (tile >= p.end_tile) { return; }
  for (var j = 0u; j < EACH; j++) {
    let i = (tile * EACH + j) * WORKGROUP + lane;
    if (i >= p.count) { return; }
    let row = i / p.columns;
    let column = i % p.columns;
    let position = lengths[1] + row % p.length;
    if (position < p.capacity) {
      let at = (row / p.length * p.capacity + position) * p.cache_pitch + column - p.cache_base;
      cache[at] = output_store(input_load(x[row * p.x_pitch + p.x_first + column - p.x_base]));
    }
  }
}

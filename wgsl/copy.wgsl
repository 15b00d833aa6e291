// copy: rows of one tensor, or of two side by side on channels, into rows of another; repeats, slices and casts on the way.
//
//   y[t(i), y_first + k] = x1[s(i), first1 + k]       for k < count1
//                          x2[s(i), first2 + k - count1]  for k < count1 + count2
//                          0                          up to the last column
//   item = i / item_rows, within = i % item_rows
//   t(i) = target_first + item * target_stride + within
//   s(i) = source_first + item / times % source_items * source_stride + within
//
//   x1, x2  [rows of s, pitch]  Input   x2 unused where count2 is 0
//   y       [rows of t, pitch]  Output  only the columns of this call are written
//
// Tiles: WORKGROUP * EACH neighbouring vec4s of the columns. Each vec4 gathers four single elements, so channels may start
// anywhere. Traffic: the channels once, the columns once. Numerics: none but the rounding to Output.
// Reference: torch.cat, narrow, repeat, repeat_interleave and to. Exact but for the rounding to Output.
// Needs: lib/input, lib/output.

const WORKGROUP: u32 = 256;
const EACH: u32 = 4;

struct Params {
  first_tile: u32, end_tile: u32,
  items: u32,           // vec4s to write
  columns: u32,         // vec4s a row to write
  first1: u32, count1: u32, pitch1: u32,  // elements
  first2: u32, count2: u32, pitch2: u32,  // elements
  y_column: u32, y_pitch: u32,            // vec4
  item_rows: u32, times: u32, source_items: u32,
  source_first: u32, source_stride: u32,  // rows
  target_first: u32, target_stride: u32,  // rows
  x1_base: u32, x2_base: u32, y_base: u32,  // vec4
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x1: array<Input1>;
@group(0) @binding(2) var<storage, read> x2: array<Input1>;
@group(0) @binding(3) var<storage, read_write> y: array<Output4>;

fn element(row: u32, channel: u32) -> f32 {
  if (channel < p.count1) {
    let at = row * p.pitch1 + p.first1 + channel - 4u * p.x1_base;
    return input_pick(x1[input_slot(at)], at);
  }
  let behind = channel - p.count1;
  if (behind < p.count2) {
    let at = row * p.pitch2 + p.first2 + behind - 4u * p.x2_base;
    return input_pick(x2[input_slot(at)], at);
  }
  return 0.0;
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let tile = p.first_tile + wid.y * nwg.x + wid.x;
  if (tile >= p.end_tile) { return; }
  for (var j = 0u; j < EACH; j++) {
    let i = (tile * EACH + j) * WORKGROUP + lane;
    if (i >= p.items) { return; }
    let column = i % p.columns;
    let item = i / p.columns / p.item_rows;
    let within = i / p.columns % p.item_rows;
    let source = p.source_first + item / p.times % p.source_items * p.source_stride + within;
    let target_row = p.target_first + item * p.target_stride + within;
    let c = 4u * column;
    let v = vec4f(element(source, c), element(source, c + 1u), element(source, c + 2u), element(source, c + 3u));
    y[target_row * p.y_pitch + p.y_column + column - p.y_base] = output_store(v);
  }
}

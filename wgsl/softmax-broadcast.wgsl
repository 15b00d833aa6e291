// softmax: y = exp(scale * x - max) / sum over each row. Variant for software Vulkan: one subgroup a row, no barrier.
// A row that is -inf throughout gives NaN, as the formula does.
//
//   x  [rows, x_pitch]  Input
//   y  [rows, y_pitch]  Output  padding zero
//
// Tiles: ROWS rows. Three passes: maximum, sum of exponentials, quotient.
// Traffic: x three times, of which memory serves one and the cache the rest; y once. Sums in f32.
// Reference: torch.nn.functional.softmax.
// Needs: lib/input, lib/output, lib/softmax.
enable subgroups;

const LANES: u32 = 8;
const ROWS: u32 = 4;
const LOWEST: f32 = -3.4028234e38;

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<Input4>;
@group(0) @binding(2) var<storage, read_write> y: array<Output4>;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let tile = p.first_tile + wid.y * nwg.x + wid.x;
  if (tile >= p.end_tile) { return; }
  let end = min(p.rows, (tile + 1u) * ROWS);
  for (var row = tile * ROWS; row < end; row++) {
    softmax_row(row, lane);
  }
}

fn softmax_row(row: u32, lane: u32) {
  let columns = (p.width + 3u) / 4u;
  let start = row * p.x_pitch - p.x_base;
  var highest = vec4f(LOWEST);
  for (var c = lane; c < columns; c += LANES) {
    highest = max(highest, select(vec4f(LOWEST), p.scale * input_load(x[start + c]), inside(c)));
  }
  let top = subgroupMax(max(max(highest.x, highest.y), max(highest.z, highest.w)));
  var sums = vec4f(0.0);
  for (var c = lane; c < columns; c += LANES) {
    sums += select(vec4f(0.0), exp(p.scale * input_load(x[start + c]) - top), inside(c));
  }
  let inverse = 1.0 / subgroupAdd(sums.x + sums.y + sums.z + sums.w);
  for (var c = lane; c < p.y_pitch; c += LANES) {
    var v = vec4f(0.0);
    if (c < columns) { v = exp(p.scale * input_load(x[start + c]) - top) * inverse; }
    y[row * p.y_pitch + c - p.y_base] = output_store(select(vec4f(0.0), v, inside(c)));
  }
}

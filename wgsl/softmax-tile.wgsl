// softmax: y = exp(scale * x - max) / sum over each row. Variant for GPUs: LANES invocations a row,
// ROWS rows a workgroup.
// A row that is -inf throughout gives NaN, as the formula does.
//
//   x  [rows, x_pitch]  Input
//   y  [rows, y_pitch]  Output  padding zero
//
// Tiles: ROWS rows. Three passes: maximum, sum of exponentials, quotient.
// Traffic: x three times, of which memory serves one and the cache the rest; y once. Sums in f32.
// Reference: torch.nn.functional.softmax.
// Needs: lib/input, lib/output, lib/softmax.

const LANES: u32 = 64;  // a power of two, at least 8
const ROWS: u32 = 4;
const SHARERS: u32 = 8;  // invocations of a row that go through what all have
const LOWEST: f32 = -3.4028234e38;

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<Input4>;
@group(0) @binding(2) var<storage, read_write> y: array<Output4>;

var<workgroup> shared_values: array<f32, LANES * ROWS>;

@compute @workgroup_size(LANES * ROWS)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) local: u32) {
  let tile = p.first_tile + wid.y * nwg.x + wid.x;
  if (tile >= p.end_tile) { return; }
  let row = tile * ROWS + local / LANES;
  let lane = local % LANES;
  let columns = select(0u, (p.width + 3u) / 4u, row < p.rows);  // none in the rows behind the last
  let start = row * p.x_pitch - p.x_base;
  var highest = vec4f(LOWEST);
  for (var c = lane; c < columns; c += LANES) {
    highest = max(highest, select(vec4f(LOWEST), p.scale * input_load(x[start + c]), inside(c)));
  }
  let top = row_max(local, max(max(highest.x, highest.y), max(highest.z, highest.w)));
  var sums = vec4f(0.0);
  for (var c = lane; c < columns; c += LANES) {
    sums += select(vec4f(0.0), exp(p.scale * input_load(x[start + c]) - top), inside(c));
  }
  let inverse = 1.0 / row_sum(local, sums.x + sums.y + sums.z + sums.w);
  if (row >= p.rows) { return; }
  for (var c = lane; c < p.y_pitch; c += LANES) {
    var v = vec4f(0.0);
    if (c < columns) { v = exp(p.scale * input_load(x[start + c]) - top) * inverse; }
    y[row * p.y_pitch + c - p.y_base] = output_store(select(vec4f(0.0), v, inside(c)));
  }
}

// Maximum over the LANES invocations of a row, the same in all of them: a few go through the others', then everyone through theirs.
fn row_max(local: u32, value: f32) -> f32 {
  let lane = local % LANES;
  let first = local - lane;
  workgroupBarrier();  // the previous result has been read
  shared_values[local] = value;
  workgroupBarrier();
  if (lane < SHARERS) {
    var most = shared_values[local];
    for (var i = lane + SHARERS; i < LANES; i += SHARERS) { most = max(most, shared_values[first + i]); }
    shared_values[local] = most;
  }
  workgroupBarrier();
  var most = shared_values[first];
  for (var i = 1u; i < SHARERS; i++) { most = max(most, shared_values[first + i]); }
  return most;
}

// Sum over the LANES invocations of a row, the same in all of them: a few add up the others', then everyone adds up theirs.
fn row_sum(local: u32, value: f32) -> f32 {
  let lane = local % LANES;
  let first = local - lane;
  workgroupBarrier();  // the previous result has been read
  shared_values[local] = value;
  workgroupBarrier();
  if (lane < SHARERS) {
    var sum = shared_values[local];
    for (var i = lane + SHARERS; i < LANES; i += SHARERS) { sum += shared_values[first + i]; }
    shared_values[local] = sum;
  }
  workgroupBarrier();
  var sum = shared_values[first];
  for (var i = 1u; i < SHARERS; i++) { sum += shared_values[first + i]; }
  return sum;
}

// layer-norm: y = (x - mean) / sqrt(var + eps) * weight + bias over each row; or, where RMS,
// rms-norm: y = x / sqrt(mean(x^2) + eps) * weight. Variant for GPUs: LANES invocations a row, ROWS rows a workgroup.
// Ba et al. 2016, https://arxiv.org/abs/1607.06450; Zhang & Sennrich 2019, https://arxiv.org/abs/1910.07467
//
//   x       [rows, x_pitch]  Input
//   weight  [pitch]          f32    padded like a row
//   bias    [pitch]          f32    unused where RMS
//   y       [rows, y_pitch]  Output padding zero
//
// Tiles: ROWS rows. Mean first, squared differences second, so that a large mean cancels nothing.
// Traffic: x three times (twice where RMS), of which memory serves one and the cache the rest; y once. Sums in f32.
// Needs: lib/input, lib/output, lib/layer-norm.

const LANES: u32 = 64;  // a power of two, at least 8
const ROWS: u32 = 4;
const SHARERS: u32 = 8;  // invocations of a row that add up what all have
const RMS: bool = false;

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<Input4>;
@group(0) @binding(2) var<storage, read> weight: array<vec4f>;
@group(0) @binding(3) var<storage, read> bias: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> y: array<Output4>;

var<workgroup> shared_sums: array<f32, LANES * ROWS>;

@compute @workgroup_size(LANES * ROWS)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) local: u32) {
  let tile = p.first_tile + wid.y * nwg.x + wid.x;
  if (tile >= p.end_tile) { return; }
  let row = tile * ROWS + local / LANES;
  let lane = local % LANES;
  let columns = select(0u, (p.width + 3u) / 4u, row < p.rows);  // none in the rows behind the last
  let start = row * p.x_pitch - p.x_base;
  var mean = 0.0;
  if (!RMS) {
    var sum = vec4f(0.0);  // padding is zero
    for (var c = lane; c < columns; c += LANES) { sum += input_load(x[start + c]); }
    mean = row_sum(local, sum.x + sum.y + sum.z + sum.w) / f32(p.width);
  }
  var squares = vec4f(0.0);
  for (var c = lane; c < columns; c += LANES) {
    let d = select(vec4f(0.0), input_load(x[start + c]) - mean, inside(c));
    squares += d * d;
  }
  let rstd = 1.0 / sqrt(row_sum(local, squares.x + squares.y + squares.z + squares.w) / f32(p.width) + p.eps);
  if (row >= p.rows) { return; }
  for (var c = lane; c < p.y_pitch; c += LANES) {
    var v = vec4f(0.0);
    if (c < columns) {
      v = (input_load(x[start + c]) - mean) * rstd * weight[c];
      if (!RMS) { v += bias[c]; }
    }
    y[row * p.y_pitch + c - p.y_base] = output_store(select(vec4f(0.0), v, inside(c)));
  }
}

// Sum over the LANES invocations of a row, the same in all of them: a few add up the others', then everyone adds up theirs.
fn row_sum(local: u32, value: f32) -> f32 {
  let lane = local % LANES;
  let first = local - lane;
  workgroupBarrier();  // the previous result has been read
  shared_sums[local] = value;
  workgroupBarrier();
  if (lane < SHARERS) {
    var sum = shared_sums[local];
    for (var i = lane + SHARERS; i < LANES; i += SHARERS) { sum += shared_sums[first + i]; }
    shared_sums[local] = sum;
  }
  workgroupBarrier();
  var sum = shared_sums[first];
  for (var i = 1u; i < SHARERS; i++) { sum += shared_sums[first + i]; }
  return sum;
}

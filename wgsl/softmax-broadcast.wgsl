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

fn scaled(at: u32) -> vec4f { return p.scale * input_load(x[at]); }

fn softmax_row(row: u32, lane: u32) {
  // Columns that are whole, in steps of four a lane as far as they go: loops cost as much as what is in them there. The column that the width
  // cuts, if it cuts any, is masked by the lane whose turn it is.
  let whole = p.width / 4u;
  let stride = 4u * LANES;
  let fours = whole - whole % stride;
  let is_cut = p.width % 4u != 0u && whole % LANES == lane;
  let start = row * p.x_pitch - p.x_base;
  let out = row * p.y_pitch - p.y_base;
  var c = lane;
  var highest = vec4f(LOWEST);
  for (; c < fours; c += stride) {
    let at = start + c;
    let a = max(scaled(at), scaled(at + LANES));
    let b = max(scaled(at + 2u * LANES), scaled(at + 3u * LANES));
    highest = max(highest, max(a, b));
  }
  for (; c < whole; c += LANES) { highest = max(highest, scaled(start + c)); }
  if (is_cut) { highest = max(highest, select(vec4f(LOWEST), scaled(start + whole), inside(whole))); }
  let top = subgroupMax(max(max(highest.x, highest.y), max(highest.z, highest.w)));
  c = lane;
  var sums = vec4f(0.0);
  for (; c < fours; c += stride) {
    let at = start + c;
    sums += exp(scaled(at) - top);
    sums += exp(scaled(at + LANES) - top);
    sums += exp(scaled(at + 2u * LANES) - top);
    sums += exp(scaled(at + 3u * LANES) - top);
  }
  for (; c < whole; c += LANES) { sums += exp(scaled(start + c) - top); }
  if (is_cut) { sums += select(vec4f(0.0), exp(scaled(start + whole) - top), inside(whole)); }
  let inverse = 1.0 / subgroupAdd(sums.x + sums.y + sums.z + sums.w);
  c = lane;
  for (; c < fours; c += stride) {
    let at = start + c;
    y[out + c] = output_store(exp(scaled(at) - top) * inverse);
    y[out + c + LANES] = output_store(exp(scaled(at + LANES) - top) * inverse);
    y[out + c + 2u * LANES] = output_store(exp(scaled(at + 2u * LANES) - top) * inverse);
    y[out + c + 3u * LANES] = output_store(exp(scaled(at + 3u * LANES) - top) * inverse);
  }
  for (; c < whole; c += LANES) { y[out + c] = output_store(exp(scaled(start + c) - top) * inverse); }
  for (; c < p.y_pitch; c += LANES) {
    var v = vec4f(0.0);
    if (is_cut && c == whole) { v = select(v, exp(scaled(start + c) - top) * inverse, inside(c)); }
    y[out + c] = output_store(v);
  }
}

// group-norm-finalize: merges the slabs' statistics of a group and turns them into one scale and shift a channel; second
// of three calls. Variant for GPUs: one workgroup per group.
// scale = weight / sqrt(var + eps), shift = bias - mean * scale, so that y = x * scale + shift.
// Wu & He 2018, Group Normalization, https://arxiv.org/abs/1803.08494
//
//   partials     parts of all groups   f32  of group-norm-stats or of products: lib/group-norm-finalize
//   weight, bias [C]                   f32
//   scale_shift  [N, 2, pitch]         f32  row 0 scale, row 1 shift, padding zero
//
// Tiles: one per (image, group). Means are taken relative to the group's first shift; differences between slabs and
// channels enter as sum of w * (mean_i - mean)^2, in a second pass.
// Traffic: partials twice. Sums in f32, invocation by invocation, then eight of them, then theirs.
// Needs: lib/group-norm-finalize.

const LANES: u32 = 64;  // a power of two, at least 8
const SHARERS: u32 = 8;  // invocations that add up what all have
const TWO: bool = false;  // parts of two sources: lib/group-norm-finalize-moments

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> partials: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> scale_shift: array<f32>;

var<workgroup> shared_sums: array<f32, LANES>;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let tile = p.first_tile + wid.y * nwg.x + wid.x;
  if (tile >= p.end_tile) { return; }
  let image = tile / p.groups;
  let first = tile % p.groups * p.group_channels;
  let parts = parts_of_group();
  let origin = origin_of(image, first);

  var sum = 0.0;
  var squares = 0.0;
  for (var i = lane; i < parts; i += LANES) {
    let part = part_of(image, first, i, origin);
    sum += part.count * part.mean;
    squares += part.squares;
  }
  let total = f32(p.pixels * p.group_channels);
  let offset = workgroup_sum(lane, sum) / total;
  for (var i = lane; i < parts; i += LANES) {
    let part = part_of(image, first, i, origin);
    let delta = part.mean - offset;
    squares += part.count * delta * delta;
  }
  let rstd = 1.0 / sqrt(workgroup_sum(lane, squares) / total + p.eps);
  let mean = origin + offset;

  let row = image * 2u * p.pitch - p.scale_shift_base;
  for (var c = first + lane; c < first + p.group_channels; c += LANES) {
    let scale = weight[c] * rstd;
    scale_shift[row + c] = scale;
    scale_shift[row + p.pitch + c] = bias[c] - mean * scale;
  }
  if (first + p.group_channels == p.channels) {
    for (var c = p.channels + lane; c < p.pitch; c += LANES) {
      scale_shift[row + c] = 0.0;
      scale_shift[row + p.pitch + c] = 0.0;
    }
  }
}

// Sum over the workgroup, the same in all invocations: a few add up the others', then everyone adds up theirs.
fn workgroup_sum(lane: u32, value: f32) -> f32 {
  workgroupBarrier();  // the previous result has been read
  shared_sums[lane] = value;
  workgroupBarrier();
  if (lane < SHARERS) {
    var sum = shared_sums[lane];
    for (var i = lane + SHARERS; i < LANES; i += SHARERS) { sum += shared_sums[i]; }
    shared_sums[lane] = sum;
  }
  workgroupBarrier();
  var sum = shared_sums[0];
  for (var i = 1u; i < SHARERS; i++) { sum += shared_sums[i]; }
  return sum;
}

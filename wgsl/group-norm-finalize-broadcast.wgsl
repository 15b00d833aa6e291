// group-norm-finalize: merges the slabs' statistics of a group and turns them into one scale and shift a channel; second
// of three calls. Variant for software Vulkan: one subgroup per group, no barrier.
// scale = weight / sqrt(var + eps), shift = bias - mean * scale, so that y = x * scale + shift.
// Wu & He 2018, Group Normalization, https://arxiv.org/abs/1803.08494
//
//   partials     parts of all groups   f32  of group-norm-stats or of products: lib/group-norm-finalize
//   weight, bias [C]                   f32
//   scale_shift  [N, 2, pitch]         f32  row 0 scale, row 1 shift, padding zero
//
// Tiles: one per (image, group). Means are taken relative to the group's first shift; differences between slabs and
// channels enter as sum of w * (mean_i - mean)^2, in a second pass.
// Traffic: partials twice. Sums in f32, lane by lane, then subgroupAdd.
// Needs: lib/group-norm-finalize.
enable subgroups;

const LANES: u32 = 8;
const TWO: bool = false;  // parts of two sources: lib/group-norm-finalize-moments

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> partials: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> scale_shift: array<f32>;

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
  let offset = subgroupAdd(sum) / total;
  for (var i = lane; i < parts; i += LANES) {
    let part = part_of(image, first, i, origin);
    let delta = part.mean - offset;
    squares += part.count * delta * delta;
  }
  let rstd = 1.0 / sqrt(subgroupAdd(squares) / total + p.eps);
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

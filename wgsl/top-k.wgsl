// top-k: the k largest values of each row with their columns, in descending order; of equal values the lower column first.
// With k = 1 this is argmax, the first maximum.
//
//   x       [rows, pitch]              Input
//   ids     [rows / group, out_pitch]  u32   columns; the k of each of `group` neighbouring rows side by side, zeros behind
//   values  [rows / group, out_pitch]  f32   likewise
//
// Tiles: one row a workgroup. Each invocation keeps the best of its own columns (lane, lane + WORKGROUP, ... in vec4s);
// the best of all is written, and only the invocation that gave it looks through its columns again for its next one.
// Traffic: x once, and k * width / WORKGROUP elements more. Exact. NaN is never chosen while a number is left.
// Reference: torch.topk, torch.argmax.
// Needs: lib/input.

const WORKGROUP: u32 = 256;
const NONE: u32 = 0xffffffffu;

struct Params {
  first_tile: u32, end_tile: u32,
  width: u32, pitch: u32,  // pitch in vec4
  k: u32,
  group: u32, out_pitch: u32,
  x_base: u32,             // vec4
  ids_base: u32, values_base: u32,  // elements
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<Input4>;
@group(0) @binding(2) var<storage, read_write> ids: array<u32>;
@group(0) @binding(3) var<storage, read_write> values: array<f32>;

struct Candidate { value: f32, id: u32 }

var<workgroup> lane_best: array<Candidate, WORKGROUP>;
var<workgroup> group_best: array<Candidate, 16>;

// Whether a comes before b; NONE comes last.
fn before(a: Candidate, b: Candidate) -> bool {
  if (a.id == NONE || b.id == NONE) { return b.id == NONE && a.id != NONE; }
  return a.value > b.value || (a.value == b.value && a.id < b.id);
}

// The first of this lane's candidates that comes after `last` (with `last` NONE: the first of all).
fn search(row: u32, lane: u32, last: Candidate) -> Candidate {
  var best = Candidate(0.0, NONE);
  for (var c = lane; 4u * c < p.width; c += WORKGROUP) {
    let v = input_load(x[row * p.pitch + c - p.x_base]);
    for (var j = 0u; j < 4u; j++) {
      let id = 4u * c + j;
      let candidate = Candidate(v[j], id);
      let is_nan = (bitcast<u32>(v[j]) & 0x7fffffffu) > 0x7f800000u;
      if (id < p.width && !is_nan && (last.id == NONE || before(last, candidate)) && before(candidate, best)) { best = candidate; }
    }
  }
  return best;
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = p.first_tile + wid.y * nwg.x + wid.x;
  if (row >= p.end_tile) { return; }
  let start = row / p.group * p.out_pitch + row % p.group * p.k;
  if (row % p.group + 1u == p.group) {
    for (var i = start + p.k + lane; i < (row / p.group + 1u) * p.out_pitch; i += WORKGROUP) {
      ids[i - p.ids_base] = 0u;
      values[i - p.values_base] = 0.0;
    }
  }
  var own = search(row, lane, Candidate(0.0, NONE));
  for (var i = 0u; i < p.k; i++) {
    lane_best[lane] = own;
    workgroupBarrier();
    if (lane < 16u) {
      var best = lane_best[16u * lane];
      for (var j = 1u; j < 16u; j++) {
        let other = lane_best[16u * lane + j];
        if (before(other, best)) { best = other; }
      }
      group_best[lane] = best;
    }
    workgroupBarrier();
    var winner = group_best[0];
    for (var j = 1u; j < 16u; j++) {
      let other = group_best[j];
      if (before(other, winner)) { winner = other; }
    }
    if (lane == 0u) {
      ids[start + i - p.ids_base] = select(winner.id, 0u, winner.id == NONE);  // a row of NaN
      values[start + i - p.values_base] = winner.value;
    }
    if (winner.id != NONE && winner.id == own.id) { own = search(row, lane, winner); }
  }
}

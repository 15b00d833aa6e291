// mask-cleanup: F = the map above its threshold, closed by a 3 x 3 square, its holes filled, its specks dropped; in place.
//
//   A = D > threshold
//   B(q) = any A within 3 x 3 of q, C(q) = all B within 3 x 3 of q, on a plane that is empty outside of the picture
//   F = C and what C encloses: places without C that no path of 4 neighbours without C joins to the border
//   F keeps those of its components (8 neighbours) that have 3/20 of the largest one's pixels or more
//   mask = F, or where LIFT max(D, F, box / 2), box = the mean of F within 3 x 3, its edge repeated
//
//   mask    [N, H, W, 8]  f32  lane 0: D, then the mask; the others zero
//   labels  [N, pitch]    u32  scratch: H * W + 1 labels, then as many counts
//
// Components are trees of labels that point downwards: the smaller of two neighbouring roots takes the larger over, then all point to their
// roots, until neighbours agree. A tree that no smaller one takes over has taken one over itself after two rounds, so that every second round
// at least halves their number: rounds = 2 log2(H W) are enough. Komura 2015, https://doi.org/10.1016/j.cpc.2015.04.015, is the kin.
//
// Tiles: one mask a workgroup. Traffic: mask up to 81 times, by the caches; labels a few times a round. Exact, but for the box's quotient in
// f32.
// Needs: nothing.

const WORKGROUP: u32 = 256;
const LIFT: bool = false;

const NONE: u32 = 0xffffffffu;

struct Params {
  first_tile: u32, end_tile: u32,
  height: u32, width: u32,
  rounds: u32,
  threshold: f32,
  pitch: u32,        // words of a mask's labels
  mask_base: u32,    // vec4
  labels_base: u32,  // word
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> mask: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> labels: array<atomic<u32>>;

var<workgroup> shared_differ: atomic<u32>;
var<workgroup> shared_again: u32;
var<workgroup> shared_largest: atomic<u32>;

var<private> mask_at: u32;    // of the first pixel
var<private> labels_at: u32;  // of label 0, the outside; that of pixel i is i + 1

fn inside(y: i32, x: i32) -> bool { return y >= 0 && x >= 0 && y < i32(p.height) && x < i32(p.width); }

fn index(y: i32, x: i32) -> u32 { return u32(y) * p.width + u32(x); }

fn label_of(i: u32) -> u32 { return atomicLoad(&labels[labels_at + i + 1u]); }

// B of a place within one pixel of the picture.
fn dilated(y: i32, x: i32) -> bool {
  for (var v = y - 1; v <= y + 1; v++) {
    for (var u = x - 1; u <= x + 1; u++) {
      if (inside(v, u) && mask[mask_at + 2u * index(v, u)].x > p.threshold) { return true; }
    }
  }
  return false;
}

fn closed(y: i32, x: i32) -> bool {
  for (var v = y - 1; v <= y + 1; v++) {
    for (var u = x - 1; u <= x + 1; u++) {
      if (!dilated(v, u)) { return false; }
    }
  }
  return true;
}

// Makes the larger of two neighbouring labels point to the smaller.
fn join(own: u32, y: i32, x: i32) {
  if (!inside(y, x)) { return; }
  let other = label_of(index(y, x));
  if (other == NONE || other == own) { return; }
  atomicStore(&shared_differ, 1u);
  atomicMin(&labels[labels_at + max(own, other)], min(own, other));
}

// Labels that are none or their own become the smallest of their component. In uniform control flow.
fn unite(lane: u32, diagonal: bool) {
  let pixels = p.height * p.width;
  for (var round = 0u; round < p.rounds; round++) {
    if (lane == 0u) { atomicStore(&shared_differ, 0u); }
    workgroupBarrier();
    for (var i = lane; i < pixels; i += WORKGROUP) {
      let own = label_of(i);
      if (own == NONE) { continue; }
      let y = i32(i / p.width);
      let x = i32(i % p.width);
      join(own, y, x - 1);
      join(own, y - 1, x);
      if (diagonal) {
        join(own, y - 1, x - 1);
        join(own, y - 1, x + 1);
      }
    }
    storageBarrier();
    for (var i = lane; i < pixels; i += WORKGROUP) {
      var root = label_of(i);
      if (root == NONE) { continue; }
      // Ends: what a label points to is smaller, or itself.
      for (var next = atomicLoad(&labels[labels_at + root]); next < root; next = atomicLoad(&labels[labels_at + root])) { root = next; }
      atomicStore(&labels[labels_at + i + 1u], root);
    }
    storageBarrier();
    if (lane == 0u) { shared_again = atomicLoad(&shared_differ); }
    if (workgroupUniformLoad(&shared_again) == 0u) { break; }
  }
}

// Whether F has a pixel, once components are counted.
fn kept(y: i32, x: i32) -> bool {
  let root = label_of(index(y, x));
  if (root == NONE) { return false; }
  return 20u * atomicLoad(&labels[labels_at + p.height * p.width + 1u + root]) >= 3u * atomicLoad(&shared_largest);
}

// The mean of F around a pixel.
fn box(y: i32, x: i32) -> f32 {
  var sum = 0.0;
  for (var v = y - 1; v <= y + 1; v++) {
    for (var u = x - 1; u <= x + 1; u++) {
      sum += select(0.0, 1.0, kept(clamp(v, 0, i32(p.height) - 1), clamp(u, 0, i32(p.width) - 1)));
    }
  }
  return sum / 9.0;
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let image = p.first_tile + wid.y * nwg.x + wid.x;
  if (image >= p.end_tile) { return; }
  let pixels = p.height * p.width;
  mask_at = 2u * image * pixels - p.mask_base;
  labels_at = image * p.pitch - p.labels_base;

  // The outside, and places without C that touch it, are label 0.
  if (lane == 0u) { atomicStore(&labels[labels_at], 0u); }
  for (var i = lane; i < pixels; i += WORKGROUP) {
    let y = i32(i / p.width);
    let x = i32(i % p.width);
    let border = y == 0 || x == 0 || y == i32(p.height) - 1 || x == i32(p.width) - 1;
    atomicStore(&labels[labels_at + i + 1u], select(select(i + 1u, 0u, border), NONE, closed(y, x)));
  }
  storageBarrier();
  unite(lane, false);

  for (var i = lane; i <= pixels; i += WORKGROUP) { atomicStore(&labels[labels_at + pixels + 1u + i], 0u); }
  for (var i = lane; i < pixels; i += WORKGROUP) {
    atomicStore(&labels[labels_at + i + 1u], select(i + 1u, NONE, label_of(i) == 0u));
  }
  storageBarrier();
  unite(lane, true);

  for (var i = lane; i < pixels; i += WORKGROUP) {
    let root = label_of(i);
    if (root == NONE) { continue; }
    let count = atomicAdd(&labels[labels_at + pixels + 1u + root], 1u) + 1u;
    atomicMax(&shared_largest, count);
  }
  storageBarrier();
  workgroupBarrier();

  for (var i = lane; i < pixels; i += WORKGROUP) {
    let y = i32(i / p.width);
    let x = i32(i % p.width);
    var value = select(0.0, 1.0, kept(y, x));
    if (LIFT) { value = max(max(mask[mask_at + 2u * i].x, value), 0.5 * box(y, x)); }
    mask[mask_at + 2u * i] = vec4f(value, 0.0, 0.0, 0.0);
    mask[mask_at + 2u * i + 1u] = vec4f(0.0);
  }
}

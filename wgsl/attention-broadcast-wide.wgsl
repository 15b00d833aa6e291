// attention-broadcast-wide: out = softmax(scale * q k^T) v per batch and head, without ever storing the scores, for software
// Vulkan and problems of many queries: one subgroup a workgroup, no barrier, no workgroup memory
// (docs/decisions/0003-two-families.md).
// Online softmax: Milakov & Gimelshein 2018, https://arxiv.org/abs/1805.02867; blocks: Dao et al. 2022,
// https://arxiv.org/abs/2205.14135
//
//   q         [N * L, q_pitch]        Input    head h of a row: head4 vec4 from q_offset + h * head4 on
//   k, v      [B * kv_rows, pitch]    Weight   the same; batch n uses n / kv_divide % kv_batches
//   bias, key_mask                    f32      not read
//   lengths   [2]                     u32      key count and position of query 0, where they change between runs
//   out       [N * L, out_pitch]      Output   columns right of the last head are zeroed
//
// A workgroup makes QUERIES * LANES queries of one head, some a lane: scores, statistics and sums of a query stay within its lane.
// A step takes 4 * LANES keys. A vec4 of k or v is gathered with lane = key and broadcast key by key: on lavapipe a gather
// costs what 50 multiply-adds cost, so it should feed many. Gathers of a step and vec4 column: 4 of k, 4 of v and
// 2 * QUERIES of q, for 16 * QUERIES * LANES multiply-adds of a vec4; the sums come from memory once a step, and are rescaled there.
// The loops over columns are kept loops: unrolled they compile ten times longer.
// Tiles: N x A x ceil(L / (QUERIES * LANES)), heads of any width. Traffic: q twice per step (it stays in cache), k and v once per row
// tile, out once. Statistics and sums in f32; powers of two (the scale carries log2 e).
// Keys past the end or hidden by causality get exactly 0, and a row without any key is zero.
// Needs: lib/input, lib/weight, lib/output, lib/attention.
enable subgroups;

const LANES: u32 = 8;     // the subgroup size: 4 or 8
const QUERIES: u32 = 4;   // queries of a lane: 2 or 4
const COLUMNS: u32 = 16;  // vec4 that sums have room for: at least head4

const ROWS: u32 = QUERIES * LANES;  // queries of a tile
const KEYS: u32 = 4 * LANES;        // keys of a step

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> q: array<Input4>;
@group(0) @binding(2) var<storage, read> k: array<Weight4>;
@group(0) @binding(3) var<storage, read> v: array<Weight4>;
@group(0) @binding(4) var<storage, read> bias: array<f32>;
@group(0) @binding(5) var<storage, read> key_mask: array<f32>;
@group(0) @binding(6) var<storage, read> lengths: array<u32>;
@group(0) @binding(7) var<storage, read_write> out: array<Output4>;

// A lane's value for each of LANES keys.
struct Eight { lo: vec4f, hi: vec4f }

// Scores or weights of one query for the keys of a step.
struct Scores { a: Eight, b: Eight, c: Eight, d: Eight }

// The same vec4 column of LANES keys.
alias Lanes = array<vec4f, 8>;

// Running maximum and sum of one query, and what its sums so far are multiplied by.
struct Statistics { largest: f32, sum: f32, factor: f32 }

fn all_lanes(x: vec4f) -> Lanes {
  return Lanes(subgroupBroadcast(x, 0u), subgroupBroadcast(x, 1u), subgroupBroadcast(x, 2u), subgroupBroadcast(x, 3u),
               subgroupBroadcast(x, min(4u, LANES - 1u)), subgroupBroadcast(x, min(5u, LANES - 1u)),
               subgroupBroadcast(x, min(6u, LANES - 1u)), subgroupBroadcast(x, min(7u, LANES - 1u)));
}

fn dot_add(a: vec4f, b: vec4f, sum: f32) -> f32 {
  return fma(a.x, b.x, fma(a.y, b.y, fma(a.z, b.z, fma(a.w, b.w, sum))));
}

// One vec4 column of a query against LANES keys.
fn score(a: vec4f, keys: Lanes, s: Eight) -> Eight {
  let lo = vec4f(dot_add(a, keys[0], s.lo.x), dot_add(a, keys[1], s.lo.y),
                 dot_add(a, keys[2], s.lo.z), dot_add(a, keys[3], s.lo.w));
  if (LANES == 4u) { return Eight(lo, s.hi); }
  return Eight(lo, vec4f(dot_add(a, keys[4], s.hi.x), dot_add(a, keys[5], s.hi.y),
                         dot_add(a, keys[6], s.hi.z), dot_add(a, keys[7], s.hi.w)));
}

// LANES weighted values of one vec4 column.
fn weigh(w: Eight, values: Lanes, sum: vec4f) -> vec4f {
  let half = fma(vec4f(w.lo.w), values[3], fma(vec4f(w.lo.z), values[2],
             fma(vec4f(w.lo.y), values[1], fma(vec4f(w.lo.x), values[0], sum))));
  if (LANES == 4u) { return half; }
  return fma(vec4f(w.hi.w), values[7], fma(vec4f(w.hi.z), values[6],
         fma(vec4f(w.hi.y), values[5], fma(vec4f(w.hi.x), values[4], half))));
}

// Keeps x where key base + 0 .. LANES - 1 of the step is below `visible`, and puts `other` elsewhere.
fn keep(x: Eight, base: u32, visible: u32, other: f32) -> Eight {
  let lo = vec4u(0u, 1u, 2u, 3u) + base < vec4u(visible);
  let hi = vec4u(4u, 5u, 6u, 7u) + base < vec4u(select(0u, visible, LANES > 4u));
  return Eight(select(vec4f(other), x.lo, lo), select(vec4f(other), x.hi, hi));
}

fn keep_all(s: Scores, visible: u32, other: f32) -> Scores {
  return Scores(keep(s.a, 0u, visible, other), keep(s.b, LANES, visible, other),
                keep(s.c, 2u * LANES, visible, other), keep(s.d, 3u * LANES, visible, other));
}

fn scaled(x: Eight) -> Eight { return Eight(x.lo * p.scale, x.hi * p.scale); }

fn weights_of(x: Eight, largest: f32) -> Eight { return Eight(exp2(x.lo - largest), exp2(x.hi - largest)); }

fn larger(x: Eight, y: Eight) -> vec4f { return max(max(x.lo, x.hi), max(y.lo, y.hi)); }

fn both(x: Eight, y: Eight) -> vec4f { return (x.lo + x.hi) + (y.lo + y.hi); }

// Turns the scores of a step into weights, of which the first `visible` count.
fn make_weights(s: ptr<function, Scores>, visible: u32, before: Statistics) -> Statistics {
  let hidden = keep_all(Scores(scaled((*s).a), scaled((*s).b), scaled((*s).c), scaled((*s).d)), visible, HIDDEN);
  let four = max(larger(hidden.a, hidden.b), larger(hidden.c, hidden.d));
  let largest = max(before.largest, max(max(four.x, four.y), max(four.z, four.w)));
  let weights = keep_all(Scores(weights_of(hidden.a, largest), weights_of(hidden.b, largest),
                                weights_of(hidden.c, largest), weights_of(hidden.d, largest)), visible, 0.0);
  *s = weights;
  let sum = both(weights.a, weights.b) + both(weights.c, weights.d);
  let factor = exp2(before.largest - largest);
  return Statistics(largest, fma(before.sum, factor, (sum.x + sum.y) + (sum.z + sum.w)), factor);
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let tile = p.first_tile + wid.y * nwg.x + wid.x;
  if (tile >= p.end_tile) { return; }
  let place = place_of(tile);
  let row0 = place.row_tile * ROWS;
  let column0 = place.head * p.head4;

  let start = first_position();
  var count = key_count();
  if (p.causal == 1u) { count = min(count, start + row0 + ROWS); }

  // Queries lane, lane + LANES and so on of the tile; those past the last repeat it.
  let row = min(vec4u(0u, LANES, 2u * LANES, 3u * LANES) + row0 + lane, vec4u(p.queries - 1u));
  let q_at = (place.batch * p.queries + row) * p.q_pitch + p.q_offset + column0 - p.q_base;
  let end = select(vec4u(count), start + row + 1u, vec4<bool>(p.causal == 1u));
  let k_at = place.kv_row * p.k_pitch + p.k_offset + column0 - p.k_base;
  let v_at = place.kv_row * p.v_pitch + p.v_offset + column0 - p.v_base;

  var o: array<vec4f, QUERIES * COLUMNS>;
  var t0 = Statistics(HIDDEN, 0.0, 0.0);
  var t1 = t0;
  var t2 = t0;
  var t3 = t0;
  for (var key0 = 0u; key0 < count; key0 += KEYS) {
    let steps = min(KEYS, count - key0) - 1u;
    // Keys past the last repeat it.
    let key = key0 + min(vec4u(0u, LANES, 2u * LANES, 3u * LANES) + lane, vec4u(steps));
    let k_row = k_at + key * p.k_pitch;
    let v_row = v_at + key * p.v_pitch;

    var s0 = Scores();
    var s1 = Scores();
    var s2 = Scores();
    var s3 = Scores();
    for (var c = 0u; c < p.head4; c++) {
      let a0 = input_load(q[q_at.x + c]);
      let a1 = input_load(q[q_at.y + c]);
      let a2 = input_load(q[q_at.z + c]);
      let a3 = input_load(q[q_at.w + c]);
      let x = all_lanes(weight_load(k[k_row.x + c]));
      s0.a = score(a0, x, s0.a);
      s1.a = score(a1, x, s1.a);
      if (QUERIES > 2u) {
        s2.a = score(a2, x, s2.a);
        s3.a = score(a3, x, s3.a);
      }
      let y = all_lanes(weight_load(k[k_row.y + c]));
      s0.b = score(a0, y, s0.b);
      s1.b = score(a1, y, s1.b);
      if (QUERIES > 2u) {
        s2.b = score(a2, y, s2.b);
        s3.b = score(a3, y, s3.b);
      }
    }
    let far = select(0u, p.head4, steps >= 2u * LANES);
    for (var c = 0u; c < far; c++) {
      let a0 = input_load(q[q_at.x + c]);
      let a1 = input_load(q[q_at.y + c]);
      let a2 = input_load(q[q_at.z + c]);
      let a3 = input_load(q[q_at.w + c]);
      let x = all_lanes(weight_load(k[k_row.z + c]));
      s0.c = score(a0, x, s0.c);
      s1.c = score(a1, x, s1.c);
      if (QUERIES > 2u) {
        s2.c = score(a2, x, s2.c);
        s3.c = score(a3, x, s3.c);
      }
      let y = all_lanes(weight_load(k[k_row.w + c]));
      s0.d = score(a0, y, s0.d);
      s1.d = score(a1, y, s1.d);
      if (QUERIES > 2u) {
        s2.d = score(a2, y, s2.d);
        s3.d = score(a3, y, s3.d);
      }
    }

    // Keys 0 .. visible - 1 of this step count for the lane's queries.
    let visible = min(max(end, vec4u(key0)) - key0, vec4u(steps + 1u));
    t0 = make_weights(&s0, visible.x, t0);
    t1 = make_weights(&s1, visible.y, t1);
    if (QUERIES > 2u) {
      t2 = make_weights(&s2, visible.z, t2);
      t3 = make_weights(&s3, visible.w, t3);
    }

    for (var c = 0u; c < p.head4; c++) {
      let at = min(c, COLUMNS - 1u);
      var r0 = o[at] * t0.factor;
      var r1 = o[COLUMNS + at] * t1.factor;
      var r2 = vec4f(0.0);
      var r3 = vec4f(0.0);
      if (QUERIES > 2u) {
        r2 = o[2u * COLUMNS + at] * t2.factor;
        r3 = o[3u * COLUMNS + at] * t3.factor;
      }
      let x = all_lanes(weight_load(v[v_row.x + c]));
      r0 = weigh(s0.a, x, r0);
      r1 = weigh(s1.a, x, r1);
      if (QUERIES > 2u) {
        r2 = weigh(s2.a, x, r2);
        r3 = weigh(s3.a, x, r3);
      }
      let y = all_lanes(weight_load(v[v_row.y + c]));
      r0 = weigh(s0.b, y, r0);
      r1 = weigh(s1.b, y, r1);
      if (QUERIES > 2u) {
        r2 = weigh(s2.b, y, r2);
        r3 = weigh(s3.b, y, r3);
      }
      let z = all_lanes(weight_load(v[v_row.z + c]));
      r0 = weigh(s0.c, z, r0);
      r1 = weigh(s1.c, z, r1);
      if (QUERIES > 2u) {
        r2 = weigh(s2.c, z, r2);
        r3 = weigh(s3.c, z, r3);
      }
      let w = all_lanes(weight_load(v[v_row.w + c]));
      r0 = weigh(s0.d, w, r0);
      r1 = weigh(s1.d, w, r1);
      if (QUERIES > 2u) {
        r2 = weigh(s2.d, w, r2);
        r3 = weigh(s3.d, w, r3);
      }
      o[at] = r0;
      o[COLUMNS + at] = r1;
      if (QUERIES > 2u) {
        o[2u * COLUMNS + at] = r2;
        o[3u * COLUMNS + at] = r3;
      }
    }
  }

  let sum = vec4f(t0.sum, t1.sum, t2.sum, t3.sum);
  let factor = select(vec4f(0.0), 1.0 / sum, sum > vec4f(0.0));
  // One store site in a loop, because a scatter from every lane is long code. Zeros follow the last head.
  let width = select(p.head4, p.out_pitch - p.out_offset - column0, place.head == p.heads - 1u);
  for (var i = 0u; i < QUERIES; i++) {
    let line = row0 + i * LANES + lane;
    if (line >= p.queries) { break; }
    let out_at = (place.batch * p.queries + line) * p.out_pitch + p.out_offset + column0 - p.out_base;
    for (var c = 0u; c < width; c++) {
      let value = o[i * COLUMNS + min(c, COLUMNS - 1u)] * factor[i];
      out[out_at + c] = output_store(select(vec4f(0.0), value, c < p.head4));
    }
  }
}

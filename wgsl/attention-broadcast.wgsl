// attention-broadcast: out = softmax(scale * q k^T + bias + mask) v per batch and head, without ever storing the scores,
// for software Vulkan: one subgroup a workgroup, no barrier, no workgroup memory (docs/decisions/0003-two-families.md).
// Online softmax: Milakov & Gimelshein 2018, https://arxiv.org/abs/1805.02867; blocks: Dao et al. 2022,
// https://arxiv.org/abs/2205.14135
//
//   q         [N * L, q_pitch]        Input    head h of a row: head4 vec4 from q_offset + h * head4 on
//   k, v      [B * kv_rows, pitch]    Weight   the same; batch n uses n / kv_divide % kv_batches
//   bias      [A or 1, rows, pitch]   f32      additive, row = absolute position of the query; or [A or 1, distances]
//   key_mask  [N, pitch]              f32      additive
//   lengths   [2]                     u32      key count and position of query 0, where they change between runs
//   out       [N * L, out_pitch]      Output   columns right of the last head are zeroed
//
// A workgroup makes ROWS queries of one head by LANES * BLOCKS vec4 columns; wider heads take several slices, which
// repeat the scores. A step takes 2 * ROWS keys. Scores: lane = query, keys broadcast, so that maximum and sum of a row
// stay within its lane; 12 gathers feed 64 FMAs. Values: lane = column, weights broadcast; 4 gathers feed 32 FMAs. The
// loop over keys is kept a loop: unrolled it compiles five times longer and runs slower.
// Tiles: N x A x ceil(L/ROWS) x slices, slices fastest. Traffic: q once per step (it stays in cache), k and v once per
// row tile, out once. Statistics and sums in f32; powers of two (scale and additive terms carry log2 e).
// Additive terms count from -1e30 up, so that -inf is finite; keys past the end or hidden by causality get exactly 0,
// and a row without any key is zero.
// Needs: lib/input, lib/weight, lib/output, lib/attention.
enable subgroups;

const LANES: u32 = 8;          // the subgroup size: 4 to 16
const BLOCKS: u32 = 2;         // vec4 columns that a lane owns: 1 to 5
const SINGLE: bool = false;    // one query a batch: only row 0 is summed
const ADDITIVE: bool = false;  // a bias or a mask, or both
const ROWS: u32 = min(LANES, 8u);  // queries of a tile


@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> q: array<Input4>;
@group(0) @binding(2) var<storage, read> k: array<Weight4>;
@group(0) @binding(3) var<storage, read> v: array<Weight4>;
@group(0) @binding(4) var<storage, read> bias: array<f32>;
@group(0) @binding(5) var<storage, read> key_mask: array<f32>;
@group(0) @binding(6) var<storage, read> lengths: array<u32>;
@group(0) @binding(7) var<storage, read_write> out: array<Output4>;

// One lane's vec4 column for each query of the tile.
alias Rows = array<vec4f, 8>;

// Eight values of a lane's query, one a key.
struct Eight { lo: vec4f, hi: vec4f }

fn dot_add(a: vec4f, b: vec4f, sum: f32) -> f32 {
  return fma(a.x, b.x, fma(a.y, b.y, fma(a.z, b.z, fma(a.w, b.w, sum))));
}

// Adds one vec4 of the head to the scores: a is the lane's query, b the lane's key.
fn add_scores(s: ptr<function, Eight>, a: vec4f, b: vec4f) {
  (*s).lo.x = dot_add(a, subgroupBroadcast(b, 0u), (*s).lo.x);
  (*s).lo.y = dot_add(a, subgroupBroadcast(b, 1u), (*s).lo.y);
  (*s).lo.z = dot_add(a, subgroupBroadcast(b, 2u), (*s).lo.z);
  (*s).lo.w = dot_add(a, subgroupBroadcast(b, 3u), (*s).lo.w);
  if (ROWS > 4u) {
    (*s).hi.x = dot_add(a, subgroupBroadcast(b, min(4u, LANES - 1u)), (*s).hi.x);
    (*s).hi.y = dot_add(a, subgroupBroadcast(b, min(5u, LANES - 1u)), (*s).hi.y);
    (*s).hi.z = dot_add(a, subgroupBroadcast(b, min(6u, LANES - 1u)), (*s).hi.z);
    (*s).hi.w = dot_add(a, subgroupBroadcast(b, min(7u, LANES - 1u)), (*s).hi.w);
  }
}

// Adds one key to the sums: lane i of `weight` belongs to row i, `value` to the lane's column.
fn add_value(o: ptr<function, Rows>, weight: f32, value: vec4f) {
  (*o)[0] = fma(vec4f(subgroupBroadcast(weight, 0u)), value, (*o)[0]);
  if (SINGLE) { return; }
  (*o)[1] = fma(vec4f(subgroupBroadcast(weight, 1u)), value, (*o)[1]);
  (*o)[2] = fma(vec4f(subgroupBroadcast(weight, 2u)), value, (*o)[2]);
  (*o)[3] = fma(vec4f(subgroupBroadcast(weight, 3u)), value, (*o)[3]);
  if (ROWS > 4u) {
    (*o)[4] = fma(vec4f(subgroupBroadcast(weight, min(4u, LANES - 1u))), value, (*o)[4]);
    (*o)[5] = fma(vec4f(subgroupBroadcast(weight, min(5u, LANES - 1u))), value, (*o)[5]);
    (*o)[6] = fma(vec4f(subgroupBroadcast(weight, min(6u, LANES - 1u))), value, (*o)[6]);
    (*o)[7] = fma(vec4f(subgroupBroadcast(weight, min(7u, LANES - 1u))), value, (*o)[7]);
  }
}

// Multiplies row i by lane i of `factor`.
fn rescale(o: ptr<function, Rows>, factor: f32) {
  (*o)[0] *= subgroupBroadcast(factor, 0u);
  if (SINGLE) { return; }
  (*o)[1] *= subgroupBroadcast(factor, 1u);
  (*o)[2] *= subgroupBroadcast(factor, 2u);
  (*o)[3] *= subgroupBroadcast(factor, 3u);
  if (ROWS > 4u) {
    (*o)[4] *= subgroupBroadcast(factor, min(4u, LANES - 1u));
    (*o)[5] *= subgroupBroadcast(factor, min(5u, LANES - 1u));
    (*o)[6] *= subgroupBroadcast(factor, min(6u, LANES - 1u));
    (*o)[7] *= subgroupBroadcast(factor, min(7u, LANES - 1u));
  }
}

// Finished rows of one block into the array that the store loop indexes.
fn settle(all: ptr<function, array<vec4f, 8 * BLOCKS>>, o: ptr<function, Rows>, factor: f32, block: u32) {
  rescale(o, factor);
  (*all)[8u * block] = (*o)[0];
  if (SINGLE) { return; }
  (*all)[8u * block + 1u] = (*o)[1];
  (*all)[8u * block + 2u] = (*o)[2];
  (*all)[8u * block + 3u] = (*o)[3];
  if (ROWS > 4u) {
    (*all)[8u * block + 4u] = (*o)[4];
    (*all)[8u * block + 5u] = (*o)[5];
    (*all)[8u * block + 6u] = (*o)[6];
    (*all)[8u * block + 7u] = (*o)[7];
  }
}

// scale * s + bias + mask in powers of two, for keys key0 + base + 0 .. 7; lane u of `mask` belongs to key u.
fn complete(s: Eight, base: u32, steps: u32, bias_at: u32, mask: f32) -> Eight {
  var lo = s.lo * p.scale;
  var hi = s.hi * p.scale;
  if (ADDITIVE) {
    lo += vec4f(additive(bias_at + min(base, steps), subgroupBroadcast(mask, 0u)),
                additive(bias_at + min(base + 1u, steps), subgroupBroadcast(mask, 1u)),
                additive(bias_at + min(base + 2u, steps), subgroupBroadcast(mask, 2u)),
                additive(bias_at + min(base + 3u, steps), subgroupBroadcast(mask, 3u)));
    if (ROWS > 4u) {
      hi += vec4f(additive(bias_at + min(base + 4u, steps), subgroupBroadcast(mask, min(4u, LANES - 1u))),
                  additive(bias_at + min(base + 5u, steps), subgroupBroadcast(mask, min(5u, LANES - 1u))),
                  additive(bias_at + min(base + 6u, steps), subgroupBroadcast(mask, min(6u, LANES - 1u))),
                  additive(bias_at + min(base + 7u, steps), subgroupBroadcast(mask, min(7u, LANES - 1u))));
    }
  }
  return Eight(lo, hi);
}

fn mask_of(at: u32) -> f32 {
  if (!ADDITIVE) { return 0.0; }
  return select(0.0, key_mask[select(0u, at, p.has_mask == 1u)], p.has_mask == 1u);
}

fn additive(bias_at: u32, mask: f32) -> f32 {
  let given = select(0.0, bias[select(0u, bias_at, p.has_bias == 1u)], p.has_bias == 1u);
  return max(given + mask, LOWEST) * LOG2_E;
}

// Keeps x where key base + 0 .. 7 of the step is below `visible`, and puts `other` elsewhere.
fn keep(x: Eight, base: u32, visible: u32, other: f32) -> Eight {
  let lo = vec4u(0u, 1u, 2u, 3u) + base < vec4u(visible);
  let hi = vec4u(4u, 5u, 6u, 7u) + base < vec4u(select(0u, visible, ROWS > 4u));
  return Eight(select(vec4f(other), x.lo, lo), select(vec4f(other), x.hi, hi));
}

fn largest_of(x: Eight) -> f32 {
  let four = max(x.lo, x.hi);
  return max(max(four.x, four.y), max(four.z, four.w));
}

fn sum_of(x: Eight) -> f32 {
  let four = x.lo + x.hi;
  return (four.x + four.y) + (four.z + four.w);
}

fn weights_of(x: Eight, largest: f32) -> Eight {
  return Eight(exp2(x.lo - largest), exp2(x.hi - largest));
}

// Spreads one group of weights over the array that the loop over keys indexes.
fn spread(w: ptr<function, array<f32, 16>>, x: Eight, base: u32) {
  (*w)[base] = x.lo.x;
  (*w)[base + 1u] = x.lo.y;
  (*w)[base + 2u] = x.lo.z;
  (*w)[base + 3u] = x.lo.w;
  if (ROWS > 4u) {
    (*w)[base + 4u] = x.hi.x;
    (*w)[base + 5u] = x.hi.y;
    (*w)[base + 6u] = x.hi.z;
    (*w)[base + 7u] = x.hi.w;
  }
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let tile = p.first_tile + wid.y * nwg.x + wid.x;
  if (tile >= p.end_tile) { return; }
  let place = place_of(tile);
  let slice = place.slice;
  let row0 = place.row_tile * ROWS;
  let head = place.head;
  let batch = place.batch;
  let kv_row = place.kv_row;

  let start = first_position();
  var count = key_count();
  let position = start + row0 + lane % ROWS;  // of the lane's query
  if (p.causal == 1u) { count = min(count, start + row0 + ROWS); }

  let row = min(row0 + lane % ROWS, p.queries - 1u);
  let q_at = (batch * p.queries + row) * p.q_pitch + p.q_offset + head * p.head4 - p.q_base;
  let k_at = kv_row * p.k_pitch + p.k_offset + head * p.head4 - p.k_base;
  let column = slice * (LANES * BLOCKS) + lane;  // vec4 within the head
  let last = p.head4 - 1u;
  let v_at = kv_row * p.v_pitch + p.v_offset + head * p.head4 - p.v_base;
  let bias_at = p.bias_first + head * p.bias_head + (start + row) * p.bias_pitch - p.bias_base;
  let mask_at = batch * p.mask_pitch - p.mask_base;

  var o0: Rows; var o1: Rows; var o2: Rows; var o3: Rows; var o4: Rows;
  var largest = HIDDEN;
  var sum = 0.0;  // of the lane's query
  for (var key0 = 0u; key0 < count; key0 += 2u * ROWS) {
    let steps = min(2u * ROWS, count - key0) - 1u;
    // Keys past the last repeat it.
    let near = key0 + min(lane % ROWS, steps);
    let far = key0 + min(lane % ROWS + ROWS, steps);

    var s = Eight();
    var t = Eight();
    let near_row = k_at + near * p.k_pitch;
    let far_row = k_at + far * p.k_pitch;
    for (var c = 0u; c < p.head4; c++) {
      let query = input_load(q[q_at + c]);
      add_scores(&s, query, weight_load(k[near_row + c]));
      add_scores(&t, query, weight_load(k[far_row + c]));
    }
    s = complete(s, 0u, steps, bias_at + key0, mask_of(mask_at + near));
    t = complete(t, ROWS, steps, bias_at + key0, mask_of(mask_at + far));

    // Keys 0 .. visible - 1 of this step count for the lane's query.
    var visible = steps + 1u;
    if (p.causal == 1u) { visible = min(visible, max(position + 1u, key0) - key0); }
    s = keep(s, 0u, visible, HIDDEN);
    t = keep(t, ROWS, visible, HIDDEN);
    let grown = max(largest, max(largest_of(s), largest_of(t)));
    let factor = exp2(largest - grown);
    largest = grown;
    s = keep(weights_of(s, grown), 0u, visible, 0.0);
    t = keep(weights_of(t, grown), ROWS, visible, 0.0);
    sum = fma(sum, factor, sum_of(s) + sum_of(t));

    rescale(&o0, factor);
    if (BLOCKS > 1u) { rescale(&o1, factor); }
    if (BLOCKS > 2u) { rescale(&o2, factor); }
    if (BLOCKS > 3u) { rescale(&o3, factor); }
    if (BLOCKS > 4u) { rescale(&o4, factor); }

    var w: array<f32, 16>;
    spread(&w, s, 0u);
    spread(&w, t, ROWS);
    var v_row = v_at + key0 * p.v_pitch;
    for (var u = 0u; u <= steps; u++) {
      let weight = w[u];
      add_value(&o0, weight, weight_load(v[v_row + min(column, last)]));
      if (BLOCKS > 1u) { add_value(&o1, weight, weight_load(v[v_row + min(column + LANES, last)])); }
      if (BLOCKS > 2u) { add_value(&o2, weight, weight_load(v[v_row + min(column + 2u * LANES, last)])); }
      if (BLOCKS > 3u) { add_value(&o3, weight, weight_load(v[v_row + min(column + 3u * LANES, last)])); }
      if (BLOCKS > 4u) { add_value(&o4, weight, weight_load(v[v_row + min(column + 4u * LANES, last)])); }
      v_row += p.v_pitch;
    }
  }

  let factor = select(0.0, 1.0 / sum, sum > 0.0);
  var all: array<vec4f, 8 * BLOCKS>;
  settle(&all, &o0, factor, 0u);
  if (BLOCKS > 1u) { settle(&all, &o1, factor, 1u); }
  if (BLOCKS > 2u) { settle(&all, &o2, factor, 2u); }
  if (BLOCKS > 3u) { settle(&all, &o3, factor, 3u); }
  if (BLOCKS > 4u) { settle(&all, &o4, factor, 4u); }
  // One store site in a loop, because a scatter from every lane is long code. Zeros follow the last head.
  let out_head = p.out_offset + head * p.head4;
  let closing = head == p.heads - 1u && slice == p.slices - 1u;
  let end = select(min(p.head4, (slice + 1u) * LANES * BLOCKS), p.out_pitch - out_head, closing);
  for (var i = 0u; i < min(ROWS, p.queries - row0); i++) {
    let out_at = (batch * p.queries + row0 + i) * p.out_pitch + out_head - p.out_base;
    var slot = i;
    for (var c = column; c < end; c += LANES) {
      out[out_at + c] = output_store(select(vec4f(0.0), all[min(slot, 8u * BLOCKS - 1u)], c < p.head4));
      slot += 8u;
    }
  }
}

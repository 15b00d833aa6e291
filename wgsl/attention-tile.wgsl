// attention-tile: out = softmax(scale * q k^T + bias + mask) v per batch and head, without ever storing the scores, for
// GPUs without matrix units in reach: workgroup tiles and register tiles (docs/decisions/0003-two-families.md).
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
// A workgroup of 128 makes 64 queries of one head by 16 * BLOCKS vec4 columns; wider heads take several slices, which
// repeat the scores. A step takes 32 keys. Scores: 8 x 16 threads of 4 keys x 4 queries, 16 columns of the head at a time
// through workgroup memory. Statistics: two threads a query. Values: 16 x 8 threads of one vec4 column x 8 queries; v
// comes straight from its buffer, since the few queries of a thread would gain nothing from a detour.
// Workgroup memory: 15.75 KiB. Rows of q and k are padded to 5 vec4, so that eight threads meet eight different banks.
// Tiles: N x A x ceil(L/64) x slices, slices fastest. Traffic: q once per step (it stays in cache), k and v once per row
// tile, out once. Statistics and sums in f32; powers of two (scale and additive terms carry log2 e).
// Additive terms count from -1e30 up, so that -inf is finite; keys past the end or hidden by causality get exactly 0,
// and a row without any key is zero.
// Needs: lib/input, lib/weight, lib/output, lib/attention.

const BLOCKS: u32 = 1;         // vec4 columns that a thread owns: 1 to 4
const ADDITIVE: bool = false;  // a bias or a mask, or both

const ROWS: u32 = 64;          // queries of a tile
const KEYS: u32 = 32;          // keys of a step
const K_STAGE: u32 = 320;      // where k starts in `stage`, after 64 padded rows of q
const SEEN: f32 = -1e38;       // between HIDDEN and every real score

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> q: array<Input4>;
@group(0) @binding(2) var<storage, read> k: array<Weight4>;
@group(0) @binding(3) var<storage, read> v: array<Weight4>;
@group(0) @binding(4) var<storage, read> bias: array<f32>;
@group(0) @binding(5) var<storage, read> key_mask: array<f32>;
@group(0) @binding(6) var<storage, read> lengths: array<u32>;
@group(0) @binding(7) var<storage, read_write> out: array<Output4>;

var<workgroup> stage: array<vec4f, 480>;    // q [64][5] and k [32][5]
var<workgroup> weights: array<vec4f, 512>;  // [64][8]: slot x of a row holds keys x, x + 8, x + 16, x + 24 of the step
var<workgroup> factors: array<f32, 64>;     // what the sums of a row are multiplied by

// One thread's vec4 column for its eight queries.
alias Rows = array<vec4f, 8>;

// What a thread needs to know of its tile.
struct Place {
  thread: u32,
  row0: u32,
  start: u32,     // position of query 0 among the keys
  count: u32,     // keys that any query of the tile may see
  q_at: u32, k_at: u32, v_at: u32,  // vec4 where row 0 of this head starts
  bias_at: u32,   // element of query 0, key 0
  mask_at: u32,
  column0: u32,   // first vec4 of the slice within the head
}

fn dot_add(a: vec4f, b: vec4f, sum: f32) -> f32 {
  return fma(a.x, b.x, fma(a.y, b.y, fma(a.z, b.z, fma(a.w, b.w, sum))));
}

// One vec4 of a query against four keys.
fn score(a: vec4f, b: mat4x4f, sum: vec4f) -> vec4f {
  return vec4f(dot_add(a, b[0], sum.x), dot_add(a, b[1], sum.y), dot_add(a, b[2], sum.z), dot_add(a, b[3], sum.w));
}

// Four weighted rows of v.
fn weigh(w: vec4f, rows: mat4x4f, sum: vec4f) -> vec4f {
  return fma(vec4f(w.x), rows[0], fma(vec4f(w.y), rows[1], fma(vec4f(w.z), rows[2], fma(vec4f(w.w), rows[3], sum))));
}

fn q_load(at: Place, local: u32, column: u32) -> vec4f {
  let row = at.row0 + local;
  let value = input_load(q[at.q_at + min(row, p.queries - 1u) * p.q_pitch + min(column, p.head4 - 1u)]);
  return select(vec4f(0.0), value, row < p.queries && column < p.head4);
}

fn k_load(at: Place, key: u32, column: u32) -> vec4f {
  let value = weight_load(k[at.k_at + min(key, at.count - 1u) * p.k_pitch + min(column, p.head4 - 1u)]);
  return select(vec4f(0.0), value, key < at.count && column < p.head4);
}

fn v_load(at: Place, key: u32, column: u32) -> vec4f {
  let value = weight_load(v[at.v_at + min(key, at.count - 1u) * p.v_pitch + min(column, p.head4 - 1u)]);
  return select(vec4f(0.0), value, key < at.count && column < p.head4);
}

// Scores of 64 queries and 32 keys into `weights`.
fn make_scores(at: Place, key0: u32) {
  let x = at.thread % 8u;
  let y = at.thread / 8u;
  let line = at.thread / 4u;
  let lane = at.thread % 4u;
  var s0 = vec4f(0.0);  // queries y, y + 16, y + 32, y + 48
  var s1 = vec4f(0.0);
  var s2 = vec4f(0.0);
  var s3 = vec4f(0.0);
  for (var c = 0u; c < p.head4; c += 4u) {
    let a = q_load(at, line, c + lane);
    let b = q_load(at, line + 32u, c + lane);
    let d = k_load(at, key0 + line, c + lane);
    workgroupBarrier();
    stage[line * 5u + lane] = a;
    stage[(line + 32u) * 5u + lane] = b;
    stage[K_STAGE + line * 5u + lane] = d;
    workgroupBarrier();
    for (var i = 0u; i < min(4u, p.head4 - c); i++) {
      let keys = mat4x4f(stage[K_STAGE + x * 5u + i], stage[K_STAGE + (x + 8u) * 5u + i],
                         stage[K_STAGE + (x + 16u) * 5u + i], stage[K_STAGE + (x + 24u) * 5u + i]);
      s0 = score(stage[y * 5u + i], keys, s0);
      s1 = score(stage[(y + 16u) * 5u + i], keys, s1);
      s2 = score(stage[(y + 32u) * 5u + i], keys, s2);
      s3 = score(stage[(y + 48u) * 5u + i], keys, s3);
    }
  }
  weights[y * 8u + x] = s0;
  weights[(y + 16u) * 8u + x] = s1;
  weights[(y + 32u) * 8u + x] = s2;
  weights[(y + 48u) * 8u + x] = s3;
}

// Scaled scores of one slot with bias and mask in powers of two, HIDDEN where the query does not see the key.
fn complete(at: Place, sums: vec4f, row: u32, key0: u32) -> vec4f {
  let key = vec4u(key0, key0 + 8u, key0 + 16u, key0 + 24u);
  let end = select(at.count, min(at.count, at.start + row + 1u), p.causal == 1u);
  let safe = min(key, vec4u(at.count - 1u));
  var extra = vec4f(0.0);
  if (ADDITIVE) {
    if (p.has_bias == 1u) {
      let line = at.bias_at + min(row, p.queries - 1u) * p.bias_pitch;
      extra += vec4f(bias[line + safe.x], bias[line + safe.y], bias[line + safe.z], bias[line + safe.w]);
    }
    if (p.has_mask == 1u) {
      let line = at.mask_at;
      extra += vec4f(key_mask[line + safe.x], key_mask[line + safe.y], key_mask[line + safe.z], key_mask[line + safe.w]);
    }
    extra = max(extra, vec4f(LOWEST)) * LOG2_E;
  }
  return select(vec4f(HIDDEN), fma(sums, vec4f(p.scale), extra), key < vec4u(end));
}

// Running maximum and half the running sum of one query; two threads share a row.
struct Statistics { largest: f32, sum: f32 }

// Turns the scores of a row into weights, half a row a thread. Each thread starts at a slot of its own, so that banks do
// not collide; the two maxima meet in `stage`, which is idle.
fn make_weights(at: Place, key0: u32, before: Statistics) -> Statistics {
  let row = at.thread / 2u;
  let half = at.thread % 2u * 4u;
  var four = vec4f(before.largest);
  for (var i = half; i < half + 4u; i++) {
    let slot = half + (i + row) % 4u;
    let s = complete(at, weights[row * 8u + slot], at.row0 + row, key0 + slot);
    weights[row * 8u + slot] = s;
    four = max(four, s);
  }
  stage[at.thread].x = max(max(four.x, four.y), max(four.z, four.w));
  workgroupBarrier();
  let largest = max(stage[at.thread].x, stage[at.thread ^ 1u].x);
  let factor = exp2(before.largest - largest);
  var sum = vec4f(0.0);
  for (var i = half; i < half + 4u; i++) {
    let slot = row * 8u + half + (i + row) % 4u;
    let s = weights[slot];
    let w = select(vec4f(0.0), exp2(s - largest), s > vec4f(SEEN));
    weights[slot] = w;
    sum += w;
  }
  if (half == 0u) { factors[row] = factor; }
  return Statistics(largest, fma(before.sum, factor, (sum.x + sum.y) + (sum.z + sum.w)));
}

fn rescale(o: ptr<function, Rows>, row: u32) {
  (*o)[0] *= factors[row];
  (*o)[1] *= factors[row + 1u];
  (*o)[2] *= factors[row + 2u];
  (*o)[3] *= factors[row + 3u];
  (*o)[4] *= factors[row + 4u];
  (*o)[5] *= factors[row + 5u];
  (*o)[6] *= factors[row + 6u];
  (*o)[7] *= factors[row + 7u];
}

// Adds the keys of one slot to one block of 16 vec4 columns.
fn add_values(o: ptr<function, Rows>, at: Place, key: u32, slot: u32, block: u32) {
  let column = at.column0 + block * 16u + at.thread % 16u;
  let values = mat4x4f(v_load(at, key, column), v_load(at, key + 8u, column),
                       v_load(at, key + 16u, column), v_load(at, key + 24u, column));
  (*o)[0] = weigh(weights[slot], values, (*o)[0]);
  (*o)[1] = weigh(weights[slot + 8u], values, (*o)[1]);
  (*o)[2] = weigh(weights[slot + 16u], values, (*o)[2]);
  (*o)[3] = weigh(weights[slot + 24u], values, (*o)[3]);
  (*o)[4] = weigh(weights[slot + 32u], values, (*o)[4]);
  (*o)[5] = weigh(weights[slot + 40u], values, (*o)[5]);
  (*o)[6] = weigh(weights[slot + 48u], values, (*o)[6]);
  (*o)[7] = weigh(weights[slot + 56u], values, (*o)[7]);
}

// Finished queries of one block into the array that the store loop indexes.
fn settle(all: ptr<function, array<vec4f, 8 * BLOCKS>>, o: ptr<function, Rows>, block: u32) {
  (*all)[8u * block] = (*o)[0];
  (*all)[8u * block + 1u] = (*o)[1];
  (*all)[8u * block + 2u] = (*o)[2];
  (*all)[8u * block + 3u] = (*o)[3];
  (*all)[8u * block + 4u] = (*o)[4];
  (*all)[8u * block + 5u] = (*o)[5];
  (*all)[8u * block + 6u] = (*o)[6];
  (*all)[8u * block + 7u] = (*o)[7];
}

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) thread: u32) {
  let tile = p.first_tile + wid.y * nwg.x + wid.x;
  if (tile >= p.end_tile) { return; }
  let place = place_of(tile);
  let slice = place.slice;
  let row0 = place.row_tile * ROWS;
  let head = place.head;
  let batch = place.batch;
  let kv_row = place.kv_row;
  let column0 = head * p.head4;

  let start = first_position();
  var count = key_count();
  if (p.causal == 1u) { count = min(count, start + min(row0 + ROWS, p.queries)); }
  let at = Place(
    thread, row0, start, count,
    batch * p.queries * p.q_pitch + p.q_offset + column0 - p.q_base,
    kv_row * p.k_pitch + p.k_offset + column0 - p.k_base,
    kv_row * p.v_pitch + p.v_offset + column0 - p.v_base,
    p.bias_first + head * p.bias_head + start * p.bias_pitch - p.bias_base,
    batch * p.mask_pitch - p.mask_base,
    slice * 16u * BLOCKS,
  );

  let row = thread / 16u * 8u;  // the first of eight that this thread sums
  var o0: Rows; var o1: Rows; var o2: Rows; var o3: Rows;
  var statistics = Statistics(HIDDEN, 0.0);
  for (var key0 = 0u; key0 < count; key0 += KEYS) {
    make_scores(at, key0);
    workgroupBarrier();
    statistics = make_weights(at, key0, statistics);
    workgroupBarrier();
    rescale(&o0, row);
    if (BLOCKS > 1u) { rescale(&o1, row); }
    if (BLOCKS > 2u) { rescale(&o2, row); }
    if (BLOCKS > 3u) { rescale(&o3, row); }
    let slots = min(8u, count - key0);
    for (var i = 0u; i < slots; i++) {
      add_values(&o0, at, key0 + i, row * 8u + i, 0u);
      if (BLOCKS > 1u) { add_values(&o1, at, key0 + i, row * 8u + i, 1u); }
      if (BLOCKS > 2u) { add_values(&o2, at, key0 + i, row * 8u + i, 2u); }
      if (BLOCKS > 3u) { add_values(&o3, at, key0 + i, row * 8u + i, 3u); }
    }
  }

  // 1 / sum of each row, from the halves of its two threads.
  workgroupBarrier();
  if (thread % 2u == 0u) { factors[thread / 2u] = statistics.sum; }
  workgroupBarrier();
  if (thread % 2u == 1u) {
    let sum = factors[thread / 2u] + statistics.sum;
    factors[thread / 2u] = select(0.0, 1.0 / sum, sum > 0.0);
  }
  workgroupBarrier();
  let out_at = batch * p.queries * p.out_pitch + p.out_offset + column0 - p.out_base;
  // One store site in a loop keeps the code short. Zeros follow the last head.
  var all: array<vec4f, 8 * BLOCKS>;
  settle(&all, &o0, 0u);
  if (BLOCKS > 1u) { settle(&all, &o1, 1u); }
  if (BLOCKS > 2u) { settle(&all, &o2, 2u); }
  if (BLOCKS > 3u) { settle(&all, &o3, 3u); }
  let closing = head == p.heads - 1u && slice == p.slices - 1u;
  let end = select(min(p.head4, at.column0 + 16u * BLOCKS), p.out_pitch - p.out_offset - column0, closing);
  for (var i = 0u; row0 + row + i < p.queries && i < 8u; i++) {
    var slot = i;
    for (var c = at.column0 + thread % 16u; c < end; c += 16u) {
      let value = all[min(slot, 8u * BLOCKS - 1u)] * factors[row + i];
      out[out_at + (row0 + row + i) * p.out_pitch + c] = output_store(select(vec4f(0.0), value, c < p.head4));
      slot += 8u;
    }
  }
}

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
// A workgroup of 128 (or 256, for wide heads) makes 64 queries of one head by 16 (or 32) * BLOCKS vec4 columns; heads wider than
// that take several slices, which repeat the scores. A step takes 64 keys (or 32). Scores: threads of 8 (or 4) keys x 4 queries, 16 columns
// of the head at a time through workgroup memory: 12 reads there feed 128 multiply-adds. Then, twice, 32 of the keys:
// statistics by two (or four) threads a query, values by threads of one vec4 column x 8 queries; v comes straight from its
// buffer, since the few queries of a thread would gain nothing from a detour. Sums are rescaled once in 32 keys.
// Indices are such that the compiler can prove them in range, and rows and columns past the end are the last ones, read without a
// branch: what came of them is hidden or not stored.
// Workgroup memory: 10.75 (or 11.25) KiB; operands of the scores and weights take turns there. Rows of q and k are padded to 5 vec4, so
// that eight threads meet eight different banks.
// Tiles: N x A x ceil(L/64) x slices, slices fastest. Traffic: q once per step (it stays in cache), k and v once per row
// tile, out once. Statistics and sums in f32; powers of two (scale and additive terms carry log2 e).
// Additive terms count from -1e30 up, so that -inf is finite; keys past the end or hidden by causality get exactly 0,
// and a row without any key is zero.
// Needs: lib/input, lib/weight, lib/output, lib/attention.

const THREADS: u32 = 128;      // 128 or 256
const KEYS: u32 = 64;          // keys whose scores are made at once: 64, or 32 by 128 threads that have few registers
const BLOCKS: u32 = 1;         // vec4 columns that a thread owns: 1 or 2
const ADDITIVE: bool = false;  // a bias or a mask, or both
const PAIRED: bool = false;    // keeps conversions of v apart from products, so that RDNA3 issues two of these at once

const ROWS: u32 = 64;          // queries of a tile
const PART: u32 = 32;          // keys that are weighed at once
const K_STAGE: u32 = 320;      // where k starts in `stage`, after 64 padded rows of q
const FAR: bool = KEYS == 64u && THREADS == 128u;  // a thread makes eight keys, else four
const COLUMNS: u32 = THREADS / 8u;    // vec4 columns of a block
const SHARERS: u32 = THREADS / 64u;   // threads that share the statistics of a row
const SLOTS: u32 = 8u / SHARERS;      // slots of a row that one of them weighs
const SEEN: f32 = -1e38;       // between HIDDEN and every real score

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> q: array<Input4>;
@group(0) @binding(2) var<storage, read> k: array<Weight4>;
@group(0) @binding(3) var<storage, read> v: array<Weight4>;
@group(0) @binding(4) var<storage, read> bias: array<f32>;
@group(0) @binding(5) var<storage, read> key_mask: array<f32>;
@group(0) @binding(6) var<storage, read> lengths: array<u32>;
@group(0) @binding(7) var<storage, read_write> out: array<Output4>;

// While scores are made: q [64][5] and k [64][5]. Then weights [64][8]: slot x of a row holds keys x, x + 8, x + 16, x + 24 of 32.
var<workgroup> stage: array<vec4f, 640>;
var<workgroup> maxima: array<f32, THREADS>;  // of the shares of a row
var<workgroup> factors: array<f32, 64>;      // what the sums of a row are multiplied by

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

// One vec4 of four queries against one key.
fn score(q0: vec4f, q1: vec4f, q2: vec4f, q3: vec4f, key: vec4f, sum: vec4f) -> vec4f {
  return vec4f(dot_add(q0, key, sum.x), dot_add(q1, key, sum.y), dot_add(q2, key, sum.z), dot_add(q3, key, sum.w));
}

// Four weighted rows of v.
fn weigh(w: vec4f, rows: mat4x4f, sum: vec4f) -> vec4f {
  return fma(vec4f(w.x), rows[0], fma(vec4f(w.y), rows[1], fma(vec4f(w.z), rows[2], fma(vec4f(w.w), rows[3], sum))));
}

// Scores of four keys of a thread, each for its four queries.
struct Scores { k0: vec4f, k1: vec4f, k2: vec4f, k3: vec4f }

// Scores of 64 queries and KEYS keys: a thread's are queries y + 0, 16, 32, 48 and keys x + 0, 8 .. 56. Of 256 threads, each half
// makes 32 keys, in `near`.
fn make_scores(at: Place, key0: u32, near: ptr<function, Scores>, far: ptr<function, Scores>) {
  let x = at.thread % 8u + at.thread / 128u % 2u * 32u;
  let y = at.thread / 8u % 16u;
  let line = at.thread / 4u % (THREADS / 4u);
  let lane = at.thread % 4u;
  let last = p.queries - 1u;
  let q_near = at.q_at + min(at.row0 + line, last) * p.q_pitch;
  let q_far = at.q_at + min(at.row0 + line + 32u, last) * p.q_pitch;
  let k_near = at.k_at + min(key0 + line, at.count - 1u) * p.k_pitch;
  let k_far = at.k_at + min(key0 + line + 32u, at.count - 1u) * p.k_pitch;
  for (var c = 0u; c < p.head4; c += 4u) {
    let column = min(c + lane, p.head4 - 1u);
    let a = input_load(q[q_near + column]);
    let d = weight_load(k[k_near + column]);
    var b = vec4f(0.0);
    var e = vec4f(0.0);
    if (THREADS == 128u) { b = input_load(q[q_far + column]); }
    if (FAR) { e = weight_load(k[k_far + column]); }
    let inside = c + lane < p.head4;
    workgroupBarrier();
    stage[line * 5u + lane] = select(vec4f(0.0), a, inside);
    stage[K_STAGE + line * 5u + lane] = d;
    if (THREADS == 128u) { stage[(line % 32u + 32u) * 5u + lane] = select(vec4f(0.0), b, inside); }
    if (FAR) { stage[K_STAGE + (line % 32u + 32u) * 5u + lane] = e; }
    workgroupBarrier();
    for (var i = 0u; i < 4u; i++) {
      let q0 = stage[y * 5u + i];
      let q1 = stage[(y + 16u) * 5u + i];
      let q2 = stage[(y + 32u) * 5u + i];
      let q3 = stage[(y + 48u) * 5u + i];
      (*near).k0 = score(q0, q1, q2, q3, stage[K_STAGE + x * 5u + i], (*near).k0);
      (*near).k1 = score(q0, q1, q2, q3, stage[K_STAGE + (x + 8u) * 5u + i], (*near).k1);
      (*near).k2 = score(q0, q1, q2, q3, stage[K_STAGE + (x + 16u) * 5u + i], (*near).k2);
      (*near).k3 = score(q0, q1, q2, q3, stage[K_STAGE + (x + 24u) * 5u + i], (*near).k3);
      if (FAR) {
        let z = x % 8u + 32u;
        (*far).k0 = score(q0, q1, q2, q3, stage[K_STAGE + z * 5u + i], (*far).k0);
        (*far).k1 = score(q0, q1, q2, q3, stage[K_STAGE + (z + 8u) * 5u + i], (*far).k1);
        (*far).k2 = score(q0, q1, q2, q3, stage[K_STAGE + (z + 16u) * 5u + i], (*far).k2);
        (*far).k3 = score(q0, q1, q2, q3, stage[K_STAGE + (z + 24u) * 5u + i], (*far).k3);
      }
    }
  }
}

// Scaled scores of one slot with bias and mask in powers of two, HIDDEN where the query does not see the key.
fn complete(at: Place, sums: vec4f, row: u32, key0: u32) -> vec4f {
  let key = vec4u(key0, key0 + 8u, key0 + 16u, key0 + 24u);
  let end = select(at.count, min(at.count, at.start + row + 1u), p.causal == 1u);
  var extra = vec4f(0.0);
  if (ADDITIVE) { extra = added_terms(at.bias_at + min(row, p.queries - 1u) * p.bias_pitch, at.mask_at, min(key, vec4u(at.count - 1u))); }
  return select(vec4f(HIDDEN), fma(sums, vec4f(p.scale), extra), key < vec4u(end));
}

// Running maximum of one query and a thread's share of its running sum.
struct Statistics { largest: f32, sum: f32 }

// Turns the scores of a row into weights, a share of a row a thread. Each thread starts at a slot of its own, so that banks do
// not collide.
fn make_weights(at: Place, key0: u32, before: Statistics) -> Statistics {
  let row = at.thread / SHARERS % 64u;
  let share = at.thread % SHARERS * SLOTS;
  var four = vec4f(before.largest);
  for (var i = 0u; i < SLOTS; i++) {
    let slot = share + (i + row) % SLOTS;
    let s = complete(at, stage[row * 8u + slot], at.row0 + row, key0 + slot);
    stage[row * 8u + slot] = s;
    four = max(four, s);
  }
  maxima[at.thread % THREADS] = max(max(four.x, four.y), max(four.z, four.w));
  workgroupBarrier();
  var largest = maxima[row * SHARERS];
  for (var i = 1u; i < SHARERS; i++) { largest = max(largest, maxima[row * SHARERS + i]); }
  let factor = exp2(before.largest - largest);
  var sum = vec4f(0.0);
  for (var i = 0u; i < SLOTS; i++) {
    let slot = row * 8u + share + (i + row) % SLOTS;
    let s = stage[slot];
    let w = select(vec4f(0.0), exp2(s - largest), s > vec4f(SEEN));
    stage[slot] = w;
    sum += w;
  }
  if (share == 0u) { factors[row] = factor; }
  return Statistics(largest, fma(before.sum, factor, (sum.x + sum.y) + (sum.z + sum.w)));
}

fn rescale(o: ptr<function, Rows>, thread: u32) {
  let row = thread / COLUMNS % 8u * 8u;
  (*o)[0] *= factors[row];
  (*o)[1] *= factors[row + 1u];
  (*o)[2] *= factors[row + 2u];
  (*o)[3] *= factors[row + 3u];
  (*o)[4] *= factors[row + 4u];
  (*o)[5] *= factors[row + 5u];
  (*o)[6] *= factors[row + 6u];
  (*o)[7] *= factors[row + 7u];
}

// The rows of v of one slot, a vec4 of each.
struct Four { x: Weight4, y: Weight4, z: Weight4, w: Weight4 }

fn v_load(rows_at: vec4u, column: u32) -> Four {
  let at = rows_at + min(column, p.head4 - 1u);
  return Four(v[at.x], v[at.y], v[at.z], v[at.w]);
}

// Times a one that the compiler does not know, halves cannot be converted within each product that uses them.
fn v_values(read: Weight4) -> vec4f {
  let value = weight_load(read);
  if (PAIRED) { return value * f32(min(p.heads, 1u)); }
  return value;
}

// Adds the keys of one slot to one block of columns.
fn add_values(o: ptr<function, Rows>, read: Four, thread: u32, i: u32) {
  let slot = thread / COLUMNS % 8u * 64u + i % 8u;
  let values = mat4x4f(v_values(read.x), v_values(read.y), v_values(read.z), v_values(read.w));
  (*o)[0] = weigh(stage[slot], values, (*o)[0]);
  (*o)[1] = weigh(stage[slot + 8u], values, (*o)[1]);
  (*o)[2] = weigh(stage[slot + 16u], values, (*o)[2]);
  (*o)[3] = weigh(stage[slot + 24u], values, (*o)[3]);
  (*o)[4] = weigh(stage[slot + 32u], values, (*o)[4]);
  (*o)[5] = weigh(stage[slot + 40u], values, (*o)[5]);
  (*o)[6] = weigh(stage[slot + 48u], values, (*o)[6]);
  (*o)[7] = weigh(stage[slot + 56u], values, (*o)[7]);
}

// Stores one block: the first of the rows of out starts at `first`, and the thread's eight at `row` of the tile.
fn store_block(o: ptr<function, Rows>, first: u32, column: u32, thread: u32, rows: u32) {
  let row = thread / COLUMNS % 8u * 8u;
  if (column >= p.head4) { return; }
  let at = first + column;
  if (rows > 0u) { out[at] = output_store((*o)[0] * factors[row]); }
  if (rows > 1u) { out[at + p.out_pitch] = output_store((*o)[1] * factors[row + 1u]); }
  if (rows > 2u) { out[at + 2u * p.out_pitch] = output_store((*o)[2] * factors[row + 2u]); }
  if (rows > 3u) { out[at + 3u * p.out_pitch] = output_store((*o)[3] * factors[row + 3u]); }
  if (rows > 4u) { out[at + 4u * p.out_pitch] = output_store((*o)[4] * factors[row + 4u]); }
  if (rows > 5u) { out[at + 5u * p.out_pitch] = output_store((*o)[5] * factors[row + 5u]); }
  if (rows > 6u) { out[at + 6u * p.out_pitch] = output_store((*o)[6] * factors[row + 6u]); }
  if (rows > 7u) { out[at + 7u * p.out_pitch] = output_store((*o)[7] * factors[row + 7u]); }
}

@compute @workgroup_size(THREADS)
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
    slice * COLUMNS * BLOCKS,
  );

  let x = thread % 8u;
  let y = thread / 8u % 16u;
  let row = thread / COLUMNS * 8u;  // the first of eight that this thread sums
  let column = at.column0 + thread % COLUMNS;
  var o0: Rows;
  var o1: Rows;
  var statistics = Statistics(HIDDEN, 0.0);
  for (var key0 = 0u; key0 < count; key0 += KEYS) {
    var s = Scores();
    var far = Scores();
    make_scores(at, key0, &s, &far);
    for (var part = 0u; part < KEYS / PART; part++) {
      let first = key0 + part * PART;
      if (first >= count) { break; }
      workgroupBarrier();
      if (THREADS == 128u || thread / 128u == part) {
        stage[y * 8u + x] = vec4f(s.k0.x, s.k1.x, s.k2.x, s.k3.x);
        stage[(y + 16u) * 8u + x] = vec4f(s.k0.y, s.k1.y, s.k2.y, s.k3.y);
        stage[(y + 32u) * 8u + x] = vec4f(s.k0.z, s.k1.z, s.k2.z, s.k3.z);
        stage[(y + 48u) * 8u + x] = vec4f(s.k0.w, s.k1.w, s.k2.w, s.k3.w);
      }
      if (FAR) { s = far; }
      workgroupBarrier();
      statistics = make_weights(at, first, statistics);
      workgroupBarrier();
      rescale(&o0, thread);
      if (BLOCKS > 1u) { rescale(&o1, thread); }
      let slots = min(8u, count - first);
      for (var i = 0u; i < slots; i++) {
        let key = min(vec4u(0u, 8u, 16u, 24u) + (first + i), vec4u(count - 1u));
        let rows_at = at.v_at + key * p.v_pitch;
        let near = v_load(rows_at, column);
        var far: Four;
        if (BLOCKS > 1u) { far = v_load(rows_at, column + COLUMNS); }
        add_values(&o0, near, thread, i);
        if (BLOCKS > 1u) { add_values(&o1, far, thread, i); }
      }
    }
  }

  // 1 / sum of each row, from the shares of its threads.
  workgroupBarrier();
  maxima[thread] = statistics.sum;
  workgroupBarrier();
  if (thread < 64u) {
    var sum = 0.0;
    for (var i = 0u; i < SHARERS; i++) { sum += maxima[thread % 64u * SHARERS + i]; }
    factors[thread % 64u] = select(0.0, 1.0 / sum, sum > 0.0);
  }
  workgroupBarrier();
  if (row0 + row >= p.queries) { return; }
  let rows = min(p.queries - row0 - row, 8u);
  let out_at = (batch * p.queries + row0 + row) * p.out_pitch + p.out_offset + column0 - p.out_base;
  store_block(&o0, out_at, column, thread, rows);
  if (BLOCKS > 1u) { store_block(&o1, out_at, column + COLUMNS, thread, rows); }
  if (head < p.heads - 1u || slice < p.slices - 1u) { return; }
  // Zeros follow the last head.
  let end = p.out_pitch - p.out_offset - column0;
  for (var c = p.head4 + thread % COLUMNS; c < end; c += COLUMNS) {
    for (var i = 0u; i < rows; i++) { out[out_at + i * p.out_pitch + c] = output_store(vec4f(0.0)); }
  }
}

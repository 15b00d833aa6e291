// attention-matrix: out = softmax(scale * q k^T + bias + mask) v per batch and head, without ever storing the scores, for GPUs
// whose matrix units are in reach: products of fragments that a subgroup keeps together.
// Online softmax: Milakov & Gimelshein 2018, https://arxiv.org/abs/1805.02867; blocks: Dao et al. 2022,
// https://arxiv.org/abs/2205.14135
//
//   q         [N * L, q_pitch]        Input    head h of a row: head4 vec4 from q_offset + h * head4 on; all in whole eights
//   k, v      [B * kv_rows, pitch]    Weight   the same; batch n uses n / kv_divide % kv_batches
//   bias      [A or 1, rows, pitch]   f32      additive, row = absolute position of the query; or [A or 1, distances]
//   key_mask  [N, pitch]              f32      additive
//   lengths   [2]                     u32      key count and position of query 0, where they change between runs
//   out       [N * L, out_pitch]      Output   columns right of the last head are zeroed
//
// A workgroup makes SUBGROUPS * SIDE_M queries of one head by WIDE fragments of its columns; wider heads take several slices, which
// repeat the scores. A step takes KEYS keys. A subgroup owns SIDE_M queries: their scores as fragments, then through its own part of
// workgroup memory as rows, LANES / SIDE_M lanes a row, and back as weights in Component. Where the head fits CHUNK, queries stay in
// registers, else they and the keys come CHUNK columns at a time. Keys and values share their place in workgroup memory. The
// next step's keys, values, bias and mask are asked for together before the values at hand are weighed: one wait a step.
// Sums of a row are relative to a maximum that may be stale by GROWTH powers of two, so that weights are at most 2^GROWTH: fragments
// have no rows, and to rescale them they pass through workgroup memory, which happens once or twice a tile.
// Tiles: N x A x ceil(L/rows) x slices, slices fastest. Traffic: q once, k and v once per row tile, out once. Factors in Component,
// statistics and sums in f32; powers of two (scale and additive terms carry log2 e).
// Additive terms count from -1e30 up, so that -inf is finite; keys past the end or hidden by causality get exactly 0,
// and a row without any key is zero.
// Needs: lib/matrix-input, lib/matrix-weight, lib/output, lib/attention, lib/matrix, lib/matrix-entry-pinned.

enable subgroups;
enable chromium_experimental_subgroup_matrix;

const SIDE_M: u32 = 16;        // fragments are [SIDE_M, SIDE_K] times [SIDE_K, SIDE_N]
const SIDE_N: u32 = 16;
const SIDE_K: u32 = 8;
const LANES: u32 = 64;         // of a subgroup
const SUBGROUPS: u32 = 2;
const KEYS: u32 = 32;          // keys of a step
const CHUNK: u32 = 16;         // columns of q and k in workgroup memory: a multiple of SIDE_K
const WIDE: u32 = 2;           // fragments of columns of a slice: up to 12
const HELD: bool = false;      // the head fits one chunk: queries stay in registers
const RAGGED: bool = true;     // CHUNK does not divide the head
const BIASED: bool = false;    // a bias is added
const MASKED: bool = false;    // and a mask

const GROWTH: f32 = 8.0;       // weights stay below 2^8, of 2^16 that a half holds
const SEEN: f32 = -1e38;       // between HIDDEN and every real score
const THREADS: u32 = SUBGROUPS * LANES;
const ROWS: u32 = SUBGROUPS * SIDE_M;
const PER_ROW: u32 = LANES / SIDE_M;            // lanes that share a row
const PART: u32 = KEYS / PER_ROW;               // keys of a lane
const FOURS: u32 = PART / 4u;
const CHUNK8: u32 = CHUNK / 8u;                 // eights of a staged row of q or k
const PITCH: u32 = (CHUNK8 + 1u) * SLOTS;
const SLICE8: u32 = WIDE * SIDE_N / 8u;         // eights of a staged row of v
const V_PITCH: u32 = (SLICE8 + 1u) * SLOTS;
const Q_STAGE: u32 = select(KEYS * PITCH, 0u, HELD);
const STAGED: u32 = max(select(Q_STAGE + ROWS * PITCH, KEYS * PITCH, HELD), KEYS * V_PITCH);
const S_PITCH: u32 = KEYS / 4u + 1u;            // slots of a row of scores
const SCRATCH: u32 = STAGED;                    // behind it: [SUBGROUPS][SIDE_M][S_PITCH]
const SLOTS_USED: u32 = max(SCRATCH + ROWS * S_PITCH, select(0u, ROWS * PITCH, HELD));
const K_LOADS: u32 = (KEYS * CHUNK8 + THREADS - 1u) / THREADS;  // eights that a thread brings
const Q_LOADS: u32 = (ROWS * CHUNK8 + THREADS - 1u) / THREADS;
const MASK_LOADS: u32 = (KEYS + THREADS - 1u) / THREADS;
const V_LOADS: u32 = (KEYS * SLICE8 + THREADS - 1u) / THREADS;
const_assert PER_ROW * SIDE_M == LANES && PART % SIDE_K == 0u && CHUNK % SIDE_K == 0u && KEYS % SIDE_N == 0u && KEYS >= SIDE_N;
const_assert SIDE_N / 4u % PER_ROW == 0u && WIDE <= 12u;

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> q: array<Input8>;
@group(0) @binding(2) var<storage, read> k: array<Weight8>;
@group(0) @binding(3) var<storage, read> v: array<Weight8>;
@group(0) @binding(4) var<storage, read> bias: array<f32>;
@group(0) @binding(5) var<storage, read> key_mask: array<f32>;
@group(0) @binding(6) var<storage, read> lengths: array<u32>;
@group(0) @binding(7) var<storage, read_write> out: array<Output4>;

var<workgroup> stage: array<Slot, SLOTS_USED>;
var<workgroup> masks: array<vec4f, KEYS / 4u>;  // of the keys of a step
var<workgroup> grown: u32;  // the last step in which a row outgrew its maximum, counted from 1

alias Left = subgroup_matrix_left<Component, SIDE_K, SIDE_M>;
alias Right = subgroup_matrix_right<Component, SIDE_N, SIDE_K>;
alias Result = subgroup_matrix_result<f32, SIDE_N, SIDE_M>;
alias Blocks = array<Result, WIDE>;
alias Chunk = array<Left, CHUNK / SIDE_K>;
alias Sums = array<Result, KEYS / SIDE_N>;
alias Scores = array<vec4f, FOURS>;
alias Keys = array<Weight8, K_LOADS>;
alias Values = array<Weight8, V_LOADS>;
alias Mask = array<f32, MASK_LOADS>;

// What an invocation needs to know of its tile.
struct Place {
  row0: u32,
  start: u32,     // position of query 0 among the keys
  count: u32,     // keys that any query of the tile may see
  q_at: u32, k_at: u32, v_at: u32,  // eights where row 0 of this head starts
  bias_at: u32,   // element of query 0, key 0
  mask_at: u32,
  column8: u32,   // first eight of the slice within the head
}

// Where a column is read: the head's last eight stands for those past it.
fn in_reach(column: u32) -> u32 { return select(column, min(column, p.head4 / 2u - 1u), RAGGED); }

// Columns past the head are not stored later; rows past the last key become zeros before they are weighed.
fn v_load(at: Place, key: u32, column: u32) -> Weight8 {
  let row = min(key, at.count - 1u);
  return v[at.v_at + row * (p.v_pitch / 2u) + min(at.column8 + column, p.head4 / 2u - 1u)];
}

// As components, zeros past the head.
fn in_head(value: Eight, column: u32) -> Eight {
  if (RAGGED) { return eight_or_zero(value, column < p.head4 / 2u); }
  return value;
}

// Columns of keys of a step. The last key stands for those past it: their scores are hidden later.
fn load_keys(at: Place, thread: u32, key0: u32, column: u32, k_next: ptr<function, Keys>) {
  for (var i = 0u; i < K_LOADS; i++) {
    let own = min(thread + i * THREADS, KEYS * CHUNK8 - 1u);
    (*k_next)[i] = k[at.k_at + min(key0 + own / CHUNK8, at.count - 1u) * (p.k_pitch / 2u) + in_reach(column + own % CHUNK8)];
  }
}

fn q_at(at: Place, local: u32, column: u32) -> u32 { return at.q_at + min(at.row0 + local, p.queries - 1u) * (p.q_pitch / 2u) + in_reach(column); }

// Columns of the tile's queries.
fn stage_queries(at: Place, thread: u32, column: u32) {
  var read: array<Input8, Q_LOADS>;
  for (var i = 0u; i < Q_LOADS; i++) {
    let own = min(thread + i * THREADS, ROWS * CHUNK8 - 1u);
    read[i] = q[q_at(at, own / CHUNK8, column + own % CHUNK8)];
  }
  for (var i = 0u; i < Q_LOADS; i++) {
    let own = min(thread + i * THREADS, ROWS * CHUNK8 - 1u);
    put(Q_STAGE + own / CHUNK8 * PITCH + own % CHUNK8 * SLOTS, in_head(input_eight(read[i]), column + own % CHUNK8));
  }
}

fn put_keys(thread: u32, column: u32, k_next: ptr<function, Keys>) {
  for (var i = 0u; i < K_LOADS; i++) {
    let own = min(thread + i * THREADS, KEYS * CHUNK8 - 1u);
    put(own / CHUNK8 * PITCH + own % CHUNK8 * SLOTS, in_head(weight_eight((*k_next)[i]), column + own % CHUNK8));
  }
}

fn mask_key(thread: u32, i: u32) -> u32 { return min(thread + i * THREADS, KEYS - 1u); }

// What a step takes from its beginning on: the keys of held queries, values and mask.
fn load_next(at: Place, thread: u32, key0: u32, k_next: ptr<function, Keys>, v_next: ptr<function, Values>, mask_next: ptr<function, Mask>) {
  if (HELD) { load_keys(at, thread, key0, 0u, k_next); }
  for (var i = 0u; i < V_LOADS; i++) {
    let own = min(thread + i * THREADS, KEYS * SLICE8 - 1u);
    (*v_next)[i] = v_load(at, key0 + own / SLICE8, own % SLICE8);
  }
  if (MASKED) {
    for (var i = 0u; i < MASK_LOADS; i++) { (*mask_next)[i] = key_mask[at.mask_at + min(key0 + mask_key(thread, i), at.count - 1u)]; }
  }
}

// Four scores with bias and mask in powers of two, HIDDEN where the query does not see the key.
fn complete(at: Place, sums: vec4f, extra: vec4f, row: u32, key0: u32) -> vec4f {
  let key = vec4u(key0, key0 + 1u, key0 + 2u, key0 + 3u);
  let end = select(at.count, min(at.count, at.start + row + 1u), p.causal == 1u);
  return select(vec4f(HIDDEN), fma(sums, vec4f(p.scale), max(extra, vec4f(LOWEST)) * LOG2_E), key < vec4u(end));
}

// The bias of a lane's keys of a step.
fn load_bias(at: Place, row: u32, key0: u32, bias_next: ptr<function, Scores>) {
  let start = at.bias_at + min(row, p.queries - 1u) * p.bias_pitch;
  for (var i = 0u; i < FOURS; i++) {
    let key = min(vec4u(key0 + 4u * i) + vec4u(0u, 1u, 2u, 3u), vec4u(at.count - 1u)) + start;
    (*bias_next)[i] = vec4f(bias[key.x], bias[key.y], bias[key.z], bias[key.w]);
  }
}

// Staged queries of a subgroup into registers.
fn hold(held: ptr<function, Chunk>, slot: u32) {
  for (var j = 0u; j < CHUNK / SIDE_K; j++) {
    (*held)[j] = subgroupMatrixLoad<Left, row_major>(&stage, slot + j * SIDE_K / 8u * SLOTS, PITCH);
  }
}

// Products of held queries with the staged keys.
fn add_scores(s: ptr<function, Sums>, held: ptr<function, Chunk>) {
  for (var j = 0u; j < CHUNK / SIDE_K; j++) {
    for (var n = 0u; n < KEYS / SIDE_N; n++) {
      let right = subgroupMatrixLoad<Right, col_major>(&stage, n * SIDE_N * PITCH + j * SIDE_K / 8u * SLOTS, PITCH);
      (*s)[n] = subgroupMatrixMultiplyAccumulate((*held)[j], right, (*s)[n]);
    }
  }
}
fn largest_of(v: vec4f) -> f32 { return max(max(v.x, v.y), max(v.z, v.w)); }

// Fragment `block` of a slice into workgroup memory.
fn keep(o: ptr<function, Blocks>, block: u32, to: u32) {
  if (block < 4u) {
    if (block == 0u) { subgroupMatrixStore<row_major>(&stage, to, (*o)[0], S_PITCH); }
    if (WIDE > 1u && block == 1u) { subgroupMatrixStore<row_major>(&stage, to, (*o)[1 % WIDE], S_PITCH); }
    if (WIDE > 2u && block == 2u) { subgroupMatrixStore<row_major>(&stage, to, (*o)[2 % WIDE], S_PITCH); }
    if (WIDE > 3u && block == 3u) { subgroupMatrixStore<row_major>(&stage, to, (*o)[3 % WIDE], S_PITCH); }
  } else if (block < 8u) {
    if (WIDE > 4u && block == 4u) { subgroupMatrixStore<row_major>(&stage, to, (*o)[4 % WIDE], S_PITCH); }
    if (WIDE > 5u && block == 5u) { subgroupMatrixStore<row_major>(&stage, to, (*o)[5 % WIDE], S_PITCH); }
    if (WIDE > 6u && block == 6u) { subgroupMatrixStore<row_major>(&stage, to, (*o)[6 % WIDE], S_PITCH); }
    if (WIDE > 7u && block == 7u) { subgroupMatrixStore<row_major>(&stage, to, (*o)[7 % WIDE], S_PITCH); }
  } else {
    if (WIDE > 8u && block == 8u) { subgroupMatrixStore<row_major>(&stage, to, (*o)[8 % WIDE], S_PITCH); }
    if (WIDE > 9u && block == 9u) { subgroupMatrixStore<row_major>(&stage, to, (*o)[9 % WIDE], S_PITCH); }
    if (WIDE > 10u && block == 10u) { subgroupMatrixStore<row_major>(&stage, to, (*o)[10 % WIDE], S_PITCH); }
    if (WIDE > 11u && block == 11u) { subgroupMatrixStore<row_major>(&stage, to, (*o)[11 % WIDE], S_PITCH); }
  }
}

// And back.
fn regain(o: ptr<function, Blocks>, block: u32, slot: u32) {
  if (block < 4u) {
    if (block == 0u) { (*o)[0] = subgroupMatrixLoad<Result, row_major>(&stage, slot, S_PITCH); }
    if (WIDE > 1u && block == 1u) { (*o)[1 % WIDE] = subgroupMatrixLoad<Result, row_major>(&stage, slot, S_PITCH); }
    if (WIDE > 2u && block == 2u) { (*o)[2 % WIDE] = subgroupMatrixLoad<Result, row_major>(&stage, slot, S_PITCH); }
    if (WIDE > 3u && block == 3u) { (*o)[3 % WIDE] = subgroupMatrixLoad<Result, row_major>(&stage, slot, S_PITCH); }
  } else if (block < 8u) {
    if (WIDE > 4u && block == 4u) { (*o)[4 % WIDE] = subgroupMatrixLoad<Result, row_major>(&stage, slot, S_PITCH); }
    if (WIDE > 5u && block == 5u) { (*o)[5 % WIDE] = subgroupMatrixLoad<Result, row_major>(&stage, slot, S_PITCH); }
    if (WIDE > 6u && block == 6u) { (*o)[6 % WIDE] = subgroupMatrixLoad<Result, row_major>(&stage, slot, S_PITCH); }
    if (WIDE > 7u && block == 7u) { (*o)[7 % WIDE] = subgroupMatrixLoad<Result, row_major>(&stage, slot, S_PITCH); }
  } else {
    if (WIDE > 8u && block == 8u) { (*o)[8 % WIDE] = subgroupMatrixLoad<Result, row_major>(&stage, slot, S_PITCH); }
    if (WIDE > 9u && block == 9u) { (*o)[9 % WIDE] = subgroupMatrixLoad<Result, row_major>(&stage, slot, S_PITCH); }
    if (WIDE > 10u && block == 10u) { (*o)[10 % WIDE] = subgroupMatrixLoad<Result, row_major>(&stage, slot, S_PITCH); }
    if (WIDE > 11u && block == 11u) { (*o)[11 % WIDE] = subgroupMatrixLoad<Result, row_major>(&stage, slot, S_PITCH); }
  }
}

fn make_tile(tile: u32, invocation: u32, own_subgroup: u32, own_lane: u32) {
  let thread = invocation % THREADS;  // the same, and provably in range
  let subgroup = own_subgroup % SUBGROUPS;
  let lane = own_lane % LANES;
  let place = place_of(tile);
  let row0 = place.row_tile * ROWS;
  let head4 = place.head * p.head4;
  let start = first_position();
  var count = key_count();
  if (p.causal == 1u) { count = min(count, start + min(row0 + ROWS, p.queries)); }
  let at = Place(
    row0, start, count,
    u32(i32(place.batch * p.queries * p.q_pitch + p.q_offset + head4 - p.q_base) >> 1u),  // row 0 may lie before a window
    (place.kv_row * p.k_pitch + p.k_offset + head4 - p.k_base) / 2u,
    (place.kv_row * p.v_pitch + p.v_offset + head4 - p.v_base) / 2u,
    p.bias_first + place.head * p.bias_head + start * p.bias_pitch - p.bias_base,
    place.batch * p.mask_pitch - p.mask_base,
    place.slice * SLICE8,
  );
  let blocks = min(WIDE, (p.head4 / 2u - at.column8 + SIDE_N / 8u - 1u) / (SIDE_N / 8u));  // no constant: its loops stay loops
  let scratch = SCRATCH + subgroup * (SIDE_M * S_PITCH);
  let line = lane / PER_ROW;                             // of the subgroup's queries
  let own = scratch + line * S_PITCH + lane % PER_ROW * FOURS;
  let row = row0 + subgroup * SIDE_M + line;

  var held: Chunk;
  if (HELD) {
    for (var i = thread; i < ROWS * CHUNK8; i += THREADS) {  // a loop as it stands: written out, it costs NAK 200 moves a step
      put(i / CHUNK8 * PITCH + i % CHUNK8 * SLOTS, in_head(input_eight(q[q_at(at, i / CHUNK8, i % CHUNK8)]), i % CHUNK8));
    }
    workgroupBarrier();
    hold(&held, subgroup * SIDE_M * PITCH);
    workgroupBarrier();
  }

  var o: Blocks;
  var s: Sums;
  // What the next pass needs, as it lies in memory: what converts a value where it is loaded waits for it there.
  var v_next: Values;
  var k_next: Keys;
  var mask_next: Mask;
  var bias_next: Scores;
  var largest = HIDDEN;  // what the sums of the row are relative to
  var sum = 0.0;         // of this lane's keys
  if (count > 0u) {
    load_next(at, thread, 0u, &k_next, &v_next, &mask_next);
    if (BIASED) { load_bias(at, row, lane % PER_ROW * PART, &bias_next); }
  }
  for (var key0 = 0u; key0 < count; key0 += KEYS) {
    let whole = key0 + KEYS <= count;
    for (var i = 0u; i < MASK_LOADS; i++) {
      if (MASKED) { masks[mask_key(thread, i) / 4u][mask_key(thread, i) % 4u] = mask_next[i]; }
    }
    for (var n = 0u; n < KEYS / SIDE_N; n++) { s[n] = Result(); }  // a declaration here would be zero in the first step alone
    if (HELD) {
      put_keys(thread, 0u, &k_next);
      workgroupBarrier();
      add_scores(&s, &held);
      workgroupBarrier();
    } else {
      for (var chunk = 0u; chunk < p.head4 / 2u; chunk += CHUNK8) {
        load_keys(at, thread, key0, chunk, &k_next);
        stage_queries(at, thread, chunk);
        put_keys(thread, chunk, &k_next);
        workgroupBarrier();
        hold(&held, Q_STAGE + subgroup * SIDE_M * PITCH);
        add_scores(&s, &held);
        workgroupBarrier();
      }
    }
    for (var n = 0u; n < KEYS / SIDE_N; n++) {
      subgroupMatrixStore<row_major>(&stage, scratch + n * (SIDE_N / 4u), s[n], S_PITCH);
    }
    for (var i = 0u; i < V_LOADS; i++) {
      let own_v = min(thread + i * THREADS, KEYS * SLICE8 - 1u);
      var value = weight_eight(v_next[i]);
      if (!whole) { value = eight_or_zero(value, key0 + own_v / SLICE8 < count); }
      put(own_v / SLICE8 * V_PITCH + own_v % SLICE8 * SLOTS, value);
    }
    workgroupBarrier();

    var scores: Scores;
    var four = vec4f(HIDDEN);
    var scale = 1.0;  // what the scores still lack
    if (!BIASED && !MASKED && p.causal == 0u && p.scale >= 0.0 && whole) {
      for (var i = 0u; i < FOURS; i++) {
        scores[i] = bitcast<vec4f>(stage[own + i]);
        four = max(four, scores[i]);
      }
      four *= p.scale;
      scale = p.scale;
    } else {
      for (var i = 0u; i < FOURS; i++) {
        let first = lane % PER_ROW * PART + 4u * i;
        var extra = bias_next[i];
        if (MASKED) { extra += masks[first / 4u]; }
        scores[i] = complete(at, bitcast<vec4f>(stage[own + i]), extra, row, key0 + first);
        four = max(four, scores[i]);
      }
    }
    var most = max(largest_of(four), largest);
    for (var other = 1u; other < PER_ROW; other *= 2u) { most = max(most, subgroupShuffleXor(most, other)); }
    let step = key0 / KEYS + 1u;
    if (key0 == 0u) { largest = most; }  // nothing is summed yet
    if (most > largest + GROWTH) { grown = step; }
    if (workgroupUniformLoad(&grown) == step) {
      let factor = exp2(largest - most);
      sum *= factor;
      largest = most;
      for (var block = 0u; block < blocks; block++) {
        keep(&o, block, scratch);
        workgroupBarrier();
        for (var i = 0u; i < SIDE_N / 4u / PER_ROW; i++) {
          let slot = scratch + line * S_PITCH + lane % PER_ROW * (SIDE_N / 4u / PER_ROW) + i;
          stage[slot] = bitcast<vec4u>(bitcast<vec4f>(stage[slot]) * factor);
        }
        workgroupBarrier();
        regain(&o, block, scratch);
        workgroupBarrier();
      }
    }
    // Weights over the beginning of a lane's own scores.
    let base = max(largest, SEEN);  // far above HIDDEN: what is hidden weighs nothing in a row without any key, too
    var added = vec4f(0.0);
    for (var i = 0u; i < FOURS; i += 2u) {
      let lo = exp2(fma(scores[i], vec4f(scale), vec4f(-base)));
      let hi = exp2(fma(scores[i + 1u], vec4f(scale), vec4f(-base)));
      added += lo + hi;
      put(own + i / 2u * SLOTS, eight_of(lo, hi));
    }
    sum += (added.x + added.y) + (added.z + added.w);
    load_next(at, thread, key0 + KEYS, &k_next, &v_next, &mask_next);
    if (BIASED) { load_bias(at, row, key0 + KEYS + lane % PER_ROW * PART, &bias_next); }
    workgroupBarrier();
    for (var j = 0u; j < KEYS / SIDE_K; j++) {
      let weights = scratch + j * SIDE_K / PART * FOURS + j * SIDE_K % PART / 8u * SLOTS;
      let left = subgroupMatrixLoad<Left, row_major>(&stage, weights, S_PITCH);
      for (var n = 0u; n < WIDE; n++) {
        let right = subgroupMatrixLoad<Right, row_major>(&stage, j * SIDE_K * V_PITCH + n * SIDE_N / 8u * SLOTS, V_PITCH);
        o[n] = subgroupMatrixMultiplyAccumulate(left, right, o[n]);
      }
    }
    workgroupBarrier();
  }

  for (var other = 1u; other < PER_ROW; other *= 2u) { sum += subgroupShuffleXor(sum, other); }
  let factor = select(0.0, 1.0 / sum, sum > 0.0);
  let out_at = (place.batch * p.queries + row) * p.out_pitch + p.out_offset + head4 - p.out_base;
  for (var block = 0u; block < blocks; block++) {
    keep(&o, block, scratch);
    workgroupBarrier();
    for (var i = 0u; i < SIDE_N / 4u / PER_ROW; i++) {
      let own4 = lane % PER_ROW * (SIDE_N / 4u / PER_ROW) + i;
      let column = at.column8 * 2u + block * (SIDE_N / 4u) + own4;
      if (row < p.queries && column < p.head4) {
        out[out_at + column] = output_store(bitcast<vec4f>(stage[scratch + line * S_PITCH + own4]) * factor);
      }
    }
    workgroupBarrier();
  }
  // Zeros behind the last head.
  if (place.head == p.heads - 1u && place.slice == p.slices - 1u && row < p.queries) {
    for (var c = p.head4 + lane % PER_ROW; c < p.out_pitch - p.out_offset - head4; c += PER_ROW) {
      out[out_at + c] = output_store(vec4f(0.0));
    }
  }
}

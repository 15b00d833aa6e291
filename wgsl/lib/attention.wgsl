// attention: what its texts share: the uniform block, the place of a tile, the keys that a batch has, and bounds of the scores.
// The kernel declares the bindings lengths, bias and key_mask.

const LOG2_E: f32 = 1.4426950408889634;
const LOWEST: f32 = -1e30;     // additive terms end here
const HIDDEN: f32 = -2e38;     // below every real score: the start of the running maximum

struct Params {
  first_tile: u32, end_tile: u32,
  queries: u32, keys: u32, heads: u32,
  head4: u32,                                   // vec4 of a head
  row_tiles: u32, slices: u32,
  q_pitch: u32, q_offset: u32,                  // vec4
  k_pitch: u32, k_offset: u32,
  v_pitch: u32, v_offset: u32,
  out_pitch: u32, out_offset: u32,
  kv_rows: u32, kv_divide: u32, kv_batches: u32,
  query_start: u32,
  causal: u32,                                  // 1: a query sees no later key
  dynamic: u32,                                 // 1: lengths stands for keys and query_start
  has_bias: u32, has_mask: u32,                 // 0: something else is bound there
  bias_head: u32, bias_pitch: u32, bias_first: u32,  // elements; a pitch of -1 where the bias goes by distance
  mask_pitch: u32,
  scale: f32,
  q_base: u32, k_base: u32, v_base: u32, out_base: u32,  // vec4 where the bound windows start
  bias_base: u32, mask_base: u32,               // elements
}

// What a workgroup makes: tiles count slices fastest, then rows, heads and batches; kv_row is its batch's first row of k and v.
struct TilePlace { slice: u32, row_tile: u32, head: u32, batch: u32, kv_row: u32 }

fn place_of(tile: u32) -> TilePlace {
  let rest = tile / p.slices;
  let batch = rest / p.row_tiles / p.heads;
  let kv_row = batch / p.kv_divide % p.kv_batches * p.kv_rows;
  return TilePlace(tile % p.slices, rest % p.row_tiles, rest / p.row_tiles % p.heads, batch, kv_row);
}

// Position of query row 0 among the keys.
fn first_position() -> u32 { return select(p.query_start, lengths[1], p.dynamic == 1u); }

// Keys that count, causality aside.
fn key_count() -> u32 { return select(p.keys, min(p.keys, lengths[0]), p.dynamic == 1u); }

// Bias and mask of four keys in powers of two, from the elements where the row of each begins.
fn added_terms(bias_row: u32, mask_row: u32, key: vec4u) -> vec4f {
  var sum = vec4f(0.0);
  if (p.has_bias == 1u) {
    sum += vec4f(bias[bias_row + key.x], bias[bias_row + key.y], bias[bias_row + key.z], bias[bias_row + key.w]);
  }
  if (p.has_mask == 1u) {
    sum += vec4f(key_mask[mask_row + key.x], key_mask[mask_row + key.y], key_mask[mask_row + key.z], key_mask[mask_row + key.w]);
  }
  return max(sum, vec4f(LOWEST)) * LOG2_E;
}

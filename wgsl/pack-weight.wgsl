// pack-weight: rows of a checkpoint, as its file holds them, into whole panels, or into rows whose taps follow each other.
//
//   source   raw little-endian values [rows][k][taps] from element source_base on   u32 words of SOURCE values
//   packed   panels [taps * k][32], every panel_step-th from panel_first on          u32 words of TARGET values
//            or, where ALONG, rows [taps * k], 32 of them where a panel would lie
//
// A workgroup takes 64 elements of the 32 rows of a panel: reads run along rows, writes along columns, and in between lies
// workgroup memory whose rows are one word apart in banks. Element e of a row holds input e / taps of tap e % taps, which lies
// at e % taps * k + e / taps along K. Rows beyond the last are zeros. From f32 to f16 by integer
// arithmetic, subnormals included, because WGSL leaves the rounding of pack2x16float open.
// ALONG: a workgroup takes 64 inputs of four rows; a thread makes whole words, whose values lie `taps` elements apart in the source.
// Tiles: panels x blocks of 64 elements, or fours of rows x blocks of 64 inputs. Traffic: every value once in, once out.
// Reference: docs/decisions/0002 and 0018; rounding as IEEE 754 convertFormat.
// Takes 8.25 KiB of workgroup memory. Needs: nothing.

const SOURCE: u32 = 0;  // 0 f32, 1 f16, 2 bf16
const TARGET: u32 = 0;  // 0 f32, 1 f16, 2 bf16 (only from bf16)
const ALONG: bool = false;  // into rows
const BLOCK: u32 = 64;
const FOUR: u32 = 4;        // rows of a workgroup where ALONG

struct Params {
  first_tile: u32, end_tile: u32,
  source_base: u32,                     // element of source where the first row starts
  rows: u32,                            // that source holds
  length: u32,                          // elements of a row: taps * k
  taps: u32, k: u32,
  panel_first: u32, panel_step: u32,
  blocks: u32,                          // of elements, or of inputs, to a row
  columns: u32,                         // where ALONG: rows that packed has
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> source: array<u32>;
@group(0) @binding(2) var<storage, read_write> packed: array<u32>;

var<workgroup> block: array<u32, 2112>; // [64 elements][33]: 32 rows and one word

// The raw bits of a source element, widened to 32 bits for f32.
fn bits_at(element: u32) -> u32 {
  if (SOURCE == 0u) { return source[element]; }
  return (source[element >> 1u] >> (16u * (element & 1u))) & 0xffffu;
}

fn converted(bits: u32) -> u32 {
  if (SOURCE == TARGET) { return bits; }
  if (TARGET == 0u) { return single_of(bits); }
  return round_to_half(select(bits, bits << 16u, SOURCE == 2u));
}

fn single_of(bits: u32) -> u32 {
  if (SOURCE == 2u) { return bits << 16u; }
  let sign = (bits & 0x8000u) << 16u;
  let exponent = (bits >> 10u) & 31u;
  let mantissa = bits & 0x3ffu;
  if (exponent == 31u) { return sign | 0x7f800000u | (mantissa << 13u); }
  if (exponent != 0u) { return sign | ((exponent + 112u) << 23u) | (mantissa << 13u); }
  if (mantissa == 0u) { return sign; }
  let top = firstLeadingBit(mantissa);
  return sign | ((top + 103u) << 23u) | ((mantissa << (23u - top)) & 0x7fffffu);
}

// f32 bits to f16 bits, round to nearest, ties to even.
fn round_to_half(bits: u32) -> u32 {
  let sign = (bits >> 16u) & 0x8000u;
  let magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) { return sign | 0x7e00u; }
  if (magnitude >= 0x477ff000u) { return sign | 0x7c00u; }  // rounds beyond 65504
  if (magnitude >= 0x38800000u) {
    let odd = (magnitude >> 13u) & 1u;
    return sign | ((magnitude - 0x38000000u + 0xfffu + odd) >> 13u);
  }
  let exponent = magnitude >> 23u;
  if (exponent < 102u) { return sign; }
  let mantissa = (magnitude & 0x7fffffu) | 0x800000u;
  let shift = 126u - exponent;  // 14 to 24
  let kept = mantissa >> shift;
  let rest = mantissa & ((1u << shift) - 1u);
  let middle = 1u << (shift - 1u);
  let up = rest > middle || (rest == middle && (kept & 1u) == 1u);
  return sign | (kept + select(0u, 1u, up));
}

// A value of a row as packed has it; behind the last row zeros.
fn value_at(row: u32, element: u32) -> u32 {
  if (row >= p.rows) { return 0u; }
  return converted(bits_at(p.source_base + row * p.length + element));
}

fn make_rows(tile: u32, thread: u32) {
  let each = select(2u, 1u, TARGET == 0u);  // values of a word
  let words = BLOCK / each;
  for (var at = thread; at < FOUR * p.taps * words; at += 64u) {
    let input = tile % p.blocks * BLOCK + at % words * each;
    let tap = at / words % p.taps;
    let row = tile / p.blocks * FOUR + at / words / p.taps;
    let to = (p.panel_first + row / 32u * p.panel_step) * 32u + row % 32u;
    if (input >= p.k || to >= p.columns) { continue; }
    let element = input * p.taps + tap;
    var word = value_at(row, element);
    if (TARGET != 0u) { word |= value_at(row, element + p.taps) << 16u; }
    packed[(to * p.length + tap * p.k + input) / each] = word;
  }
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) thread: u32) {
  let tile = p.first_tile + wid.y * nwg.x + wid.x;
  if (tile >= p.end_tile) { return; }
  if (ALONG) {
    make_rows(tile, thread);
    return;
  }
  let panel = tile / p.blocks;
  let first = tile % p.blocks * BLOCK;
  // Along a row, one row after another.
  let element = first + thread;
  for (var c = 0u; c < 32u; c++) {
    let row = panel * 32u + c;
    var bits = 0u;
    if (row < p.rows && element < p.length) { bits = converted(bits_at(p.source_base + row * p.length + element)); }
    block[thread * 33u + c] = bits;
  }
  workgroupBarrier();
  let target_panel = (p.panel_first + panel * p.panel_step) * p.length;
  let words = select(16u, 32u, TARGET == 0u);
  // Along columns: 64 threads write 2 or 4 places at a time.
  for (var at = thread; at < BLOCK * words; at += 64u) {
    let e = at / words;
    let column = at % words;
    if (first + e >= p.length) { break; }
    let place = (first + e) % p.taps * p.k + (first + e) / p.taps;
    let to = (target_panel + place) * words + column;
    if (TARGET == 0u) {
      packed[to] = block[e * 33u + column];
    } else {
      packed[to] = block[e * 33u + 2u * column] | (block[e * 33u + 2u * column + 1u] << 16u);
    }
  }
}

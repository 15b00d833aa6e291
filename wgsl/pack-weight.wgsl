// pack-weight: rearranges one checkpoint tensor, as its file holds it, into the form that kernels read.
//
//   source   raw little-endian values [out, in, taps]         u32 words of SOURCE values, row-major as torch stores them
//   packed   panels [N/32][taps * k][32], or rows [row_first, row_end) x [pitch]: u32 words of TARGET values, zero at first
//
// Panels: column n holds output o, K index tap * k + i holds input i of that tap. Heads of odd width are spread out: head h,
// element e lies at h * padded + e, on the output side, the input side, or both. GEGLU alternates panels of values and gates.
// One invocation makes one u32 of the result: one f32, or two neighbouring halves. Rounding from f32 to f16 is to
// nearest even, subnormals included, by integer arithmetic, because WGSL leaves the rounding of pack2x16float open.
// Tiles of 64 words. Traffic: every value once in, once out.
// Reference: layouts of docs/decisions/0002; rounding as IEEE 754 convertFormat.
// Needs: nothing.

const SOURCE: u32 = 0;  // 0 f32, 1 f16, 2 bf16
const TARGET: u32 = 0;  // 0 f32, 1 f16, 2 bf16 (only from bf16)
const PANELS: bool = true;

struct Params {
  first_tile: u32, end_tile: u32,
  words: u32,                           // of the result that this call looks at
  source_base: u32,                     // element of source where row `row_first` starts
  row_first: u32, row_end: u32,         // rows (outputs) that source holds
  outputs: u32, inputs: u32, taps: u32,
  k: u32,                               // padded inputs of a tap
  column_first: u32,                    // where output 0 of this tensor lies among the columns; a multiple of 8
  columns: u32,                         // padded columns this tensor spans; a multiple of 8
  out_true: u32, out_padded: u32,       // head widths, 0 where the side has no heads
  in_true: u32, in_padded: u32,
  geglu_half: u32,                      // outputs of one half, 0 without
  pitch: u32,                           // of rows
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> source: array<u32>;
@group(0) @binding(2) var<storage, read_write> packed: array<u32>;

const NONE: u32 = 0xffffffffu;

// Undoes the spreading of heads; NONE on padding.
fn unspread(index: u32, narrow: u32, padded: u32, count: u32) -> u32 {
  var i = index;
  if (padded != 0u) {
    if (index % padded >= narrow) { return NONE; }
    i = index / padded * narrow + index % padded;
  }
  return select(NONE, i, i < count);
}

fn output_of(column: u32) -> u32 {
  if (p.geglu_half == 0u) { return unspread(column, p.out_true, p.out_padded, p.outputs); }
  let value = column / 64u * 32u + column % 32u;
  if (value >= p.geglu_half) { return NONE; }
  return value + select(0u, p.geglu_half, column % 64u >= 32u);
}

// The raw bits of source element (o, i, tap), widened to 32 bits for f32.
fn bits_at(o: u32, i: u32, tap: u32) -> u32 {
  let element = p.source_base + ((o - p.row_first) * p.inputs + i) * p.taps + tap;
  if (SOURCE == 0u) { return source[element]; }
  return (source[element >> 1u] >> (16u * (element & 1u))) & 0xffffu;
}

fn half_of(bits: u32) -> u32 {
  if (SOURCE == TARGET) { return bits; }
  return round_to_half(select(bits, bits << 16u, SOURCE == 2u));
}

fn single_of(bits: u32) -> u32 {
  if (SOURCE == 0u) { return bits; }
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

struct Place { o: u32, i: u32, tap: u32, at: u32 }

// Which source element belongs to the result's element `index` of this call, and where it goes.
fn place(index: u32) -> Place {
  if (!PANELS) {
    let row = p.row_first + index / p.pitch;
    let i = index % p.pitch;
    return Place(select(NONE, row, row < p.row_end && i < p.inputs), i, 0u, index);
  }
  let column = p.column_first + index % p.columns;
  let k = index / p.columns;
  let i = unspread(k % p.k, p.in_true, p.in_padded, p.inputs);
  var o = output_of(index % p.columns);
  if (o < p.row_first || o >= p.row_end || i == NONE) { o = NONE; }
  return Place(o, i, k / p.k, (column / 32u * p.taps * p.k + k) * 32u + column % 32u);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) thread: u32) {
  let tile = p.first_tile + wid.y * nwg.x + wid.x;
  let word = tile * 64u + thread;
  if (tile >= p.end_tile || word >= p.words) { return; }
  if (TARGET == 0u) {
    let one = place(word);
    if (one.o != NONE) { packed[one.at] = single_of(bits_at(one.o, one.i, one.tap)); }
    return;
  }
  let low = place(2u * word);
  let high = place(2u * word + 1u);
  if (low.o == NONE && high.o == NONE) { return; }
  var bits = 0u;
  if (low.o != NONE) { bits |= half_of(bits_at(low.o, low.i, low.tap)); }
  if (high.o != NONE) { bits |= half_of(bits_at(high.o, high.i, high.tap)) << 16u; }
  packed[low.at >> 1u] = bits;
}

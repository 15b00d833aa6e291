// gemm: what the texts of a product share: the uniform block, the place of a tile, where a row of A starts, and where one of y lies.
// The kernel declares CONV and the binding a. Needs: lib/epilogue.

struct Params {
  first_tile: u32, end_tile: u32,
  rows: u32,            // of one batch
  row_tiles: u32,
  column_tiles: u32,
  columns4: u32,        // columns of y with padding, in vec4
  k: u32,               // length of the K axis in one tap: the padded channels
  a_pitch: u32, a_offset: u32, a_batch: u32, a_base: u32,
  k_stride: u32, panel_stride: u32, panel_width: u32, b_batch: u32, b_offset: u32, b_base: u32,  // vec4
  y_pitch: u32, y_offset: u32, y_batch: u32, y_base: u32,            // vec4
  rows_per_image: u32,
  channel_pitch: u32, channel_offset: u32, channel_base: u32,        // vec4
  scale: f32,
  block: u32,           // values of K that one chain of sums takes in
  taps_x: u32, taps_y: u32,  // without CONV: blocks of K, 1
  stride: u32, pad_top: u32, pad_left: u32,
  in_w: u32, in_h: u32, out_w: u32, out_h: u32,
  grow: u32,            // 1: conv reads a map twice as large by nearest neighbour
  phases: u32,          // products that share the rows of A: those of a doubling, or those of parts of K; else 1
  doubled: u32,         // 1: conv writes a map twice as large, batch = 2 py + px being the parity of its pixels; 0: batch is a line of taps
  has_bias: u32, has_channel_add: u32,
  has_residual: u32,    // 1: added, 2: multiplied
  tile_rows: u32,       // rows of a tile again: no constant, so that a loop over finished rows stays a loop
  moments_pitch: u32, moments_offset: u32, moments_base: u32,  // vec2, of lib/moments
}

// What a workgroup makes: tiles count columns fastest, then phases, then rows, then batches.
struct TilePlace { column_tile: u32, row_tile: u32, batch: u32 }

fn place_of(tile: u32) -> TilePlace {
  let rest = tile / p.column_tiles;
  let row_tile = rest / p.phases;
  return TilePlace(tile % p.column_tiles, row_tile % p.row_tiles, rest % p.phases + row_tile / p.row_tiles);
}

// Where row `row` of A starts for tap (kx, ky), in vec4; not valid where the tap falls outside the picture.
struct RowStart { at: u32, valid: bool }

fn row_start(row: u32, batch: u32, kx: u32, ky: u32) -> RowStart {
  if (!CONV) {
    let inside = min(row, p.rows - 1u);
    return RowStart((batch * p.a_batch + inside * p.a_pitch + p.a_offset - p.a_base) >> 2u, true);
  }
  let pixel = min(row, p.rows - 1u);
  let ox = pixel % p.out_w;
  let line = pixel / p.out_w;
  let oy = line % p.out_h;
  let image = line / p.out_h;
  var ix = ox * p.stride + kx + (batch & p.doubled) - p.pad_left;  // wraps to a huge number where negative
  var iy = oy * p.stride + ky + (batch >> p.doubled) - p.pad_top;
  let valid = ix < (p.in_w << p.grow) && iy < (p.in_h << p.grow);
  ix = select(0u, ix >> p.grow, valid);
  iy = select(min((oy * p.stride) >> p.grow, p.in_h - 1u), iy >> p.grow, valid);  // stays inside the bound window
  return RowStart((((image * p.in_h + iy) * p.in_w + ix) * p.a_pitch + p.a_offset - p.a_base) >> 2u, valid);
}

// What was read of a row of A, zeros outside the picture.
fn inside_picture(start: RowStart, read: Input4) -> vec4f {
  let values = input_load(read);
  if (!CONV) { return values; }
  return select(vec4f(0.0), values, start.valid);
}

// One vec4 of a row of A, zeros outside the picture.
fn row_values(start: RowStart, at: u32) -> vec4f { return inside_picture(start, a[start.at + at]); }

// Stores one vec4 of a row of y behind the activation. Returns what was stored, as it was rounded.
fn finish(row: u32, batch: u32, column: u32, activated: vec4f) -> vec4f {
  var line = row;
  if (CONV && p.doubled != 0u) { line = 2u * (row + row / p.out_w * p.out_w + (batch >> 1u) * p.out_w) + (batch & 1u); }
  return finish_at(batch * p.y_batch + line * p.y_pitch + p.y_offset + column - p.y_base, row, column, activated);
}

// The slab of lib/moments that ends with or begins at a row: of a doubling, 16 pixels of one parity, beside those of the others.
fn slab_of(row: u32, batch: u32) -> u32 {
  if (CONV && p.doubled != 0u) { return row / SLAB * 4u + batch; }
  return row / SLAB;
}

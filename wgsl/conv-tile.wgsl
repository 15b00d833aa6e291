// conv-tile: y = act(A * B + bias) + channel_add, then + or * residual, for kernels of 3 x 3 with a stride of 1 and one pixel of zeros around:
// the patch of the map that a tile of pixels reads, border and all, lies in workgroup memory once for all nine taps.
// Implicit GEMM (Chellapilla et al. 2006, without the im2col copy), by blocks of channels, then taps.
//
//   a            [N, H, W, a_pitch]            Input     the map
//   b            panels [columns/32][9 * K][32]  Weight  the kernel, tap by tap (ky, kx, then channels)
//   bias         [columns]                     f32
//   channel_add  [images, columns]             Output    e.g. the time embedding, one row an image
//   residual, y  [N, H, W, y_pitch]            Output
//   moments      of y                          f32       where a norm follows: lib/moments, slabs being 2 lines of 8 pixels
//
// A workgroup makes 16 lines of 8 pixels by 64 columns; thread (ty, tx) keeps the 8 pixels of line ty by 8 columns, the vec4s tx and 8 + tx
// of a row. Per channel and line of taps it reads three vec4 of a patch's line for 192 FMAs, because neighbouring taps share pixels, and
// six of B: 25 % less than a product by tiles of 8 x 8. Eight channels at a time the patch is brought, then three times the kernels of
// a line of taps: 12 KiB, and 2.3 times fewer global loads than a product whose taps are brought one by one. Addresses are
// clamped and values selected, because a branch around a load is a wait for it.
// Tiles: images x ceil(H/16) x ceil(W/8) x ceil(columns/64), columns fastest. Traffic: A once a column tile and border, B once a tile, y once.
// Sums in f32, one chain per output over blocks of eight channels, in each over the taps' lines, then channels, then the taps of a line.
// Needs: lib/input, lib/weight, lib/output, lib/activation, lib/epilogue, lib/gemm, lib/moments, lib/half-slab, lib/normalize-none. With
// lib/normalize in its place the map is read as act(a * scale + shift), once for all taps, and the zeros around it stay zeros.

const UNROLL: u32 = 8;      // channels written out: 8, or 1 where compiling costs more than it brings
const ACTIVATION: u32 = 0;  // lib/activation
const INPUT_ACTIVATION: u32 = 0;  // the same, of what lib/normalize makes
const CONV: bool = true;    // for lib/gemm
const MOMENTS: u32 = 7u;    // binding of lib/moments
const HIGH: u32 = 16;       // lines of a tile
const THREADS: u32 = 8u * HIGH;
const LINES: u32 = 20;      // of a patch: 18, and room for what the last threads bring
const CHANNEL: u32 = 3u * LINES;  // vec4s of a channel in a patch
const HANDED: u32 = HIGH / 2u * 16u;  // vec4 columns of half slabs, measured
const_assert UNROLL == 1u || UNROLL == 8u;

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<Input4>;
@group(0) @binding(2) var<storage, read> b: array<Weight4>;
@group(0) @binding(3) var<storage, read> bias: array<vec4f>;
@group(0) @binding(4) var<storage, read> channel_add: array<Output4>;
@group(0) @binding(5) var<storage, read> residual: array<Output4>;
@group(0) @binding(6) var<storage, read_write> y: array<Output4>;

var<workgroup> patch_of_a: array<vec4f, 8u * CHANNEL>;  // [8 channels][LINES][12 pixels]
var<workgroup> b_tile: array<vec4f, 24u * 16u>;            // [3 taps of a line][8 channels][64]

alias Sums = array<vec4f, 16>;

// One tap of one channel.
fn step(sums: ptr<function, Sums>, lo: vec4f, hi: vec4f, near: vec4f, far: vec4f) {
  (*sums)[0] = fma(vec4f(lo.x), near, (*sums)[0]);
  (*sums)[1] = fma(vec4f(lo.y), near, (*sums)[1]);
  (*sums)[2] = fma(vec4f(lo.z), near, (*sums)[2]);
  (*sums)[3] = fma(vec4f(lo.w), near, (*sums)[3]);
  (*sums)[4] = fma(vec4f(hi.x), near, (*sums)[4]);
  (*sums)[5] = fma(vec4f(hi.y), near, (*sums)[5]);
  (*sums)[6] = fma(vec4f(hi.z), near, (*sums)[6]);
  (*sums)[7] = fma(vec4f(hi.w), near, (*sums)[7]);
  (*sums)[8] = fma(vec4f(lo.x), far, (*sums)[8]);
  (*sums)[9] = fma(vec4f(lo.y), far, (*sums)[9]);
  (*sums)[10] = fma(vec4f(lo.z), far, (*sums)[10]);
  (*sums)[11] = fma(vec4f(lo.w), far, (*sums)[11]);
  (*sums)[12] = fma(vec4f(hi.x), far, (*sums)[12]);
  (*sums)[13] = fma(vec4f(hi.y), far, (*sums)[13]);
  (*sums)[14] = fma(vec4f(hi.z), far, (*sums)[14]);
  (*sums)[15] = fma(vec4f(hi.w), far, (*sums)[15]);
}

// One channel, one line of taps: eight pixels by eight columns, three times.
fn taps(sums: ptr<function, Sums>, line: u32, column: u32) {
  let first = patch_of_a[line];
  let middle = patch_of_a[line + 1u];
  let last = patch_of_a[line + 2u];
  step(sums, first, middle, b_tile[column], b_tile[column + 8u]);
  step(sums, vec4f(first.yzw, middle.x), vec4f(middle.yzw, last.x), b_tile[column + 128u], b_tile[column + 136u]);
  step(sums, vec4f(first.zw, middle.xy), vec4f(middle.zw, last.xy), b_tile[column + 256u], b_tile[column + 264u]);
}

// Where vec4 `item` of a patch starts: lines of ten pixels of two vec4. What lies outside of the map is read at its edge.
fn patch_start(item: u32, image: u32, x0: u32, y0: u32) -> RowStart {
  let x = i32(x0 + item / 2u % 10u) - 1;
  let y = i32(y0 + min(item / 20u, HIGH + 1u)) - 1;
  let inside = vec2i(clamp(x, 0, i32(p.in_w) - 1), clamp(y, 0, i32(p.in_h) - 1));
  let pixel = (image * p.in_h + u32(inside.y)) * p.in_w + u32(inside.x);
  return RowStart(((pixel * p.a_pitch + p.a_offset - p.a_base) >> 2u) + item % 2u, inside.x == x && inside.y == y);
}

fn scatter(item: u32, x: vec4f) {
  let pixel = item / 2u % 10u;
  let at = item % 2u * 4u * CHANNEL + item / 20u % LINES * 3u + pixel / 4u;
  patch_of_a[at][pixel % 4u] = x.x;
  patch_of_a[at + CHANNEL][pixel % 4u] = x.y;
  patch_of_a[at + 2u * CHANNEL][pixel % 4u] = x.z;
  patch_of_a[at + 3u * CHANNEL][pixel % 4u] = x.w;
}

// What was read of a patch, as it is multiplied; zeros outside of the map.
fn arrived(start: RowStart, read: Input4, factors: Factors) -> vec4f {
  return select(vec4f(0.0), normalized(input_load(read), factors), start.valid);
}

fn store(row: u32, inside: bool, column: u32, sum: vec4f, shift: vec4f) -> vec4f {
  if (!inside || column >= p.columns4) { return vec4f(0.0); }
  return finish(row, 0u, column, activate(ACTIVATION, sum * p.scale + shift));
}

// Halves of a slab lie in neighbouring lines: odd ones hand theirs over where the tile of B was.
fn hand_over(odd: u32, column: u32, m: Moments) {
  let at = (odd * 16u + column) % HANDED;
  b_tile[at] = m.shift;
  b_tile[HANDED + at] = m.mean;
  b_tile[2u * HANDED + at] = m.squares;
}

fn take_over(even: u32, column: u32, m: Moments) -> Moments {
  let at = (even * 16u + column) % HANDED;
  return merge(m, Moments(b_tile[at], b_tile[HANDED + at], b_tile[2u * HANDED + at]), 8.0);
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) thread: u32) {
  let tile = p.first_tile + wid.y * nwg.x + wid.x;
  if (tile >= p.end_tile) { return; }
  let column_tile = tile % p.column_tiles;
  let across = (p.out_w + 7u) / 8u;
  let down = p.row_tiles;
  let place = tile / p.column_tiles;
  let x0 = place % across * 8u;
  let y0 = place / across % down * HIGH;
  let image = place / across / down;
  let tx = thread % 8u;
  let ty = thread / 8u % HIGH;
  let own = thread % THREADS;  // the same, and provably in range

  let start0 = patch_start(own, image, x0, y0);
  let start1 = patch_start(own + THREADS, image, x0, y0);
  let start2 = patch_start(own + 2u * THREADS, image, x0, y0);
  let b_column = min(column_tile * 16u + thread % 16u, p.columns4 - 1u);
  let b_first = p.b_offset - p.b_base + b_column / p.panel_width * p.panel_stride + b_column % p.panel_width;
  let tap = p.k * p.k_stride;

  keep_factor(own, factor_at(image, 0u, own));
  var sums: Sums;
  for (var k = 0u; k < p.k; k += 8u) {
    let x0 = a[start0.at + k / 4u];
    let x1 = a[start1.at + k / 4u];
    let x2 = a[start2.at + k / 4u];
    let next = factor_at(image, min(k + 8u, p.k - 8u), own);
    workgroupBarrier();  // what was read is converted behind it: compilers that convert a value where it comes wait for each
    let factors = factors_of(own);
    scatter(own, arrived(start0, x0, factors));
    scatter(own + THREADS, arrived(start1, x1, factors));
    scatter(own + 2u * THREADS, arrived(start2, x2, factors));
    for (var ky = 0u; ky < 3u; ky++) {
      let at = b_first + (k + own / 16u) * p.k_stride + 3u * ky * tap;
      let w0 = b[at];
      let w1 = b[at + tap];
      let w2 = b[at + 2u * tap];
      workgroupBarrier();
      b_tile[own] = weight_load(w0);
      b_tile[own + 128u] = weight_load(w1);
      b_tile[own + 256u] = weight_load(w2);
      workgroupBarrier();
      let line = 3u * (ty + ky);
      for (var c = 0u; c < 8u / UNROLL; c++) {
        taps(&sums, UNROLL * c * CHANNEL + line, 16u * UNROLL * c + tx);
        if (UNROLL == 8u) {
          taps(&sums, (UNROLL * c + 1u) * CHANNEL + line, 16u * (UNROLL * c + 1u) + tx);
          taps(&sums, (UNROLL * c + 2u) * CHANNEL + line, 16u * (UNROLL * c + 2u) + tx);
          taps(&sums, (UNROLL * c + 3u) * CHANNEL + line, 16u * (UNROLL * c + 3u) + tx);
          taps(&sums, (UNROLL * c + 4u) * CHANNEL + line, 16u * (UNROLL * c + 4u) + tx);
          taps(&sums, (UNROLL * c + 5u) * CHANNEL + line, 16u * (UNROLL * c + 5u) + tx);
          taps(&sums, (UNROLL * c + 6u) * CHANNEL + line, 16u * (UNROLL * c + 6u) + tx);
          taps(&sums, (UNROLL * c + 7u) * CHANNEL + line, 16u * (UNROLL * c + 7u) + tx);
        }
      }
    }
    keep_factor(own, next);  // the old ones were read two barriers ago
  }

  let column = column_tile * 16u + tx;
  let shift = bias_at(min(column, p.columns4 - 1u));
  let far_shift = bias_at(min(column + 8u, p.columns4 - 1u));
  let line = y0 + ty;
  for (var i = 0u; i < 8u; i++) {
    let inside = x0 + i < p.out_w && line < p.out_h;
    let row = (image * p.out_h + line) * p.out_w + x0 + i;
    let stored = store(row, inside, column, sums[i], shift);
    let far_stored = store(row, inside, column + 8u, sums[8u + i], far_shift);
    if (MEASURES) {
      sums[i] = stored;
      sums[8u + i] = far_stored;
    }
  }
  if (MEASURES) {
    let near = half_slab(&sums, 0u);
    let far = half_slab(&sums, 8u);
    workgroupBarrier();  // all have read the last tile
    if (ty % 2u == 1u) {
      hand_over(ty / 2u, tx, near);
      hand_over(ty / 2u, 8u + tx, far);
    }
    workgroupBarrier();
    if (ty % 2u == 0u && line < p.out_h) {
      let slab = (image * p.out_h + line) / 2u * across + x0 / 8u;
      if (column < p.columns4) { store_moments(slab, column, take_over(ty / 2u, tx, near)); }
      if (column + 8u < p.columns4) { store_moments(slab, column + 8u, take_over(ty / 2u, 8u + tx, far)); }
    }
  }
}

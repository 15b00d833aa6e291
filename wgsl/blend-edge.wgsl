// blend-edge: the first rows or columns of tiles fade in where the last ones of their neighbours fade out; in place.
//
//   tile(n, y, x) = near(n, near_top + y, near_left + x) (1 - w) + tile(n, y, x) w,   w = y / height or x / width of the region
//
//   tile  [N, tile_h, tile_w, pitch]  f32  of which the region at the upper left, region_h x region_w, is written
//   near  [N, near_h, near_w, pitch]  f32  the neighbour above or to the left, or its last rows or columns alone
//
// Tiles: WORKGROUP vec4s of the region. Traffic: region and what it meets once. Arithmetic in f32.
// Reference: AutoencoderKL.blend_v and blend_h of diffusers.
// Needs: nothing.

const WORKGROUP: u32 = 64;

struct Params {
  first_tile: u32, end_tile: u32,
  count: u32,    // vec4s of the region
  columns: u32,  // vec4s of a pixel
  region_h: u32, region_w: u32,
  tile_h: u32, tile_w: u32,
  near_h: u32, near_w: u32,
  near_top: u32, near_left: u32,
  down: u32,     // 1: fades row by row
  tile_base: u32, near_base: u32,  // vec4
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> tile: array<vec4f>;
@group(0) @binding(2) var<storage, read> near: array<vec4f>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let own = p.first_tile + wid.y * nwg.x + wid.x;
  if (own >= p.end_tile) { return; }
  let i = own * WORKGROUP + lane;
  if (i >= p.count) { return; }
  let column = i % p.columns;
  let pixel = i / p.columns;
  let x = pixel % p.region_w;
  let line = pixel / p.region_w;
  let y = line % p.region_h;
  let image = line / p.region_h;
  let w = select(f32(x) / f32(p.region_w), f32(y) / f32(p.region_h), p.down == 1u);
  let at = ((image * p.tile_h + y) * p.tile_w + x) * p.columns + column - p.tile_base;
  let source = ((image * p.near_h + p.near_top + y) * p.near_w + p.near_left + x) * p.columns + column - p.near_base;
  tile[at] = near[source] * (1.0 - w) + tile[at] * w;
}

// mask-morphology: dilation (maximum) or erosion (minimum) of masks over a square or a disc, or Gaussian blur along one axis.
// Pixels outside the picture: left out of maximum and minimum; the nearest pixel inside for the blur.
//
//   x, y  [N, H * W, 8]  f32  lane 0, the others zero
//
// Tiles: WORKGROUP pixels, one an invocation. Traffic: (2 radius + 1)^2 or 2 radius + 1 reads a pixel, cached.
// Blur weights exp(-d^2 / (2 sigma^2)) are normalised by their sum, in f32.
// Reference: Pillow MaxFilter and MinFilter for squares; a Gaussian as Pillow GaussianBlur approximates it.
// Needs: nothing.

const WORKGROUP: u32 = 64;
const KIND: u32 = 0;  // 0 dilate, 1 erode, 2 blur along x, 3 blur along y

struct Params {
  first_tile: u32, end_tile: u32,
  count: u32,  // pixels of all masks
  height: u32, width: u32,
  radius: u32,
  disc: u32,   // 1: distances up to radius, else the square
  sigma: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let tile = p.first_tile + wid.y * nwg.x + wid.x;
  if (tile >= p.end_tile) { return; }
  let i = tile * WORKGROUP + lane;
  if (i >= p.count) { return; }
  let px = i32(i % p.width);
  let py = i32(i / p.width % p.height);
  let origin = i / (p.width * p.height) * p.height * p.width;
  var v: f32;
  if (KIND < 2u) { v = extreme(origin, px, py); } else { v = blur(origin, px, py); }
  y[2u * i] = vec4f(v, 0.0, 0.0, 0.0);
  y[2u * i + 1u] = vec4f(0.0);
}

fn at(origin: u32, px: i32, py: i32) -> f32 {
  return x[2u * (origin + u32(py) * p.width + u32(px))].x;
}

fn extreme(origin: u32, px: i32, py: i32) -> f32 {
  let r = i32(p.radius);
  var best = at(origin, px, py);
  for (var qy = max(0, py - r); qy <= min(i32(p.height) - 1, py + r); qy++) {
    for (var qx = max(0, px - r); qx <= min(i32(p.width) - 1, px + r); qx++) {
      let inside = p.disc == 0u || (qx - px) * (qx - px) + (qy - py) * (qy - py) <= r * r;
      if (inside) { best = select(min(best, at(origin, qx, qy)), max(best, at(origin, qx, qy)), KIND == 0u); }
    }
  }
  return best;
}

fn blur(origin: u32, px: i32, py: i32) -> f32 {
  let r = i32(p.radius);
  var sum = 0.0;
  var weights = 0.0;
  for (var d = -r; d <= r; d++) {
    let weight = exp(-f32(d * d) / (2.0 * p.sigma * p.sigma));
    let qx = select(px, clamp(px + d, 0, i32(p.width) - 1), KIND == 2u);
    let qy = select(py, clamp(py + d, 0, i32(p.height) - 1), KIND == 3u);
    sum += weight * at(origin, qx, qy);
    weights += weight;
  }
  return sum / weights;
}

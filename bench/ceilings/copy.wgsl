// copy: how fast an adapter's memory is read and written: y = x.
//
//   x, y   [tiles * THREADS * EACH]   vec4u
//
// A workgroup copies THREADS * EACH neighbouring vec4, its invocations side by side. Tiles: one a workgroup. Traffic: x once, y once, both larger
// than the last cache where the adapter allows. Numerics: exact. Source: McCalpin 1995, STREAM, whose first line this is. Needs: nothing.

const THREADS: u32 = 64;
const EACH: u32 = 8;

struct Params { first_tile: u32, end_tile: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4u>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4u>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) thread: u32) {
  let tile = p.first_tile + wid.y * nwg.x + wid.x;
  if (tile >= p.end_tile) { return; }
  let start = tile * (THREADS * EACH) + thread;
  for (var i = 0u; i < EACH; i++) { y[start + i * THREADS] = x[start + i * THREADS]; }
}

// matrix-entry-pinned: the entry of kernels for matrix units where the device has subgroups of several sizes (needs
// subgroup-size-control). The kernel declares THREADS, LANES, Params and make_tile.
@compute @workgroup_size(THREADS) @subgroup_size(LANES)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u,
        @builtin(local_invocation_index) thread: u32, @builtin(subgroup_id) subgroup: u32,
        @builtin(subgroup_invocation_id) lane: u32) {
  let tile = p.first_tile + wid.y * nwg.x + wid.x;
  if (tile >= p.end_tile) { return; }
  make_tile(tile, thread, subgroup, lane);
}

// matrix: how many multiply-adds an adapter's matrix units make where all fragments stay in registers: y = loops * (A B), four fragments a
// subgroup. A and B hold zeros and ones, so that every sum is exact, and come from memory, so that no compiler knows them.
// WGSL proposal "subgroup matrix", https://github.com/gpuweb/gpuweb/blob/main/proposals/subgroup-matrix.md
//
//   x   [SIDE_K * max(SIDE_M, SIDE_N)]                f32   A row by row, and B row by row
//   y   [tiles, THREADS / LANES, 4 * SIDE_M * SIDE_N]  f32   all fragments
//
// Tiles: one a workgroup of THREADS. Traffic: next to none. Numerics: exact while loops * SIDE_K stays below 2^24. Sums in f32.
// Needs: lib/matrix-entry or lib/matrix-entry-pinned, subgroups, subgroup matrices.

enable subgroups;
enable chromium_experimental_subgroup_matrix;

alias Component = f16;
const SIDE_M: u32 = 16;
const SIDE_N: u32 = 16;
const SIDE_K: u32 = 16;
const LANES: u32 = 32;
const THREADS: u32 = 64;    // two subgroups
const OWN: u32 = 4 * SIDE_M * SIDE_N;      // sums of a subgroup
const SUMS: u32 = THREADS / LANES * OWN;

struct Params { first_tile: u32, end_tile: u32, loops: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

alias Left = subgroup_matrix_left<Component, SIDE_K, SIDE_M>;
alias Right = subgroup_matrix_right<Component, SIDE_N, SIDE_K>;
alias Result = subgroup_matrix_result<f32, SIDE_N, SIDE_M>;

var<workgroup> left_stage: array<Component, SIDE_M * SIDE_K>;
var<workgroup> right_stage: array<Component, SIDE_K * SIDE_N>;
var<workgroup> sums: array<f32, SUMS>;

fn make_tile(tile: u32, thread: u32, subgroup: u32, lane: u32) {
  for (var i = thread; i < SIDE_M * SIDE_K; i += THREADS) { left_stage[i] = Component(x[i]); }
  for (var i = thread; i < SIDE_K * SIDE_N; i += THREADS) { right_stage[i] = Component(x[i]); }
  workgroupBarrier();
  let left = subgroupMatrixLoad<Left, row_major>(&left_stage, 0u, SIDE_K);
  let right = subgroupMatrixLoad<Right, row_major>(&right_stage, 0u, SIDE_N);
  var s0: Result;
  var s1: Result;
  var s2: Result;
  var s3: Result;
  for (var i = 0u; i < p.loops; i++) {
    s0 = subgroupMatrixMultiplyAccumulate(left, right, s0);
    s1 = subgroupMatrixMultiplyAccumulate(left, right, s1);
    s2 = subgroupMatrixMultiplyAccumulate(left, right, s2);
    s3 = subgroupMatrixMultiplyAccumulate(left, right, s3);
  }
  let own = subgroup * OWN;
  subgroupMatrixStore<row_major>(&sums, own, s0, SIDE_N);
  subgroupMatrixStore<row_major>(&sums, own + SIDE_M * SIDE_N, s1, SIDE_N);
  subgroupMatrixStore<row_major>(&sums, own + 2u * SIDE_M * SIDE_N, s2, SIDE_N);
  subgroupMatrixStore<row_major>(&sums, own + 3u * SIDE_M * SIDE_N, s3, SIDE_N);
  workgroupBarrier();
  for (var i = thread; i < SUMS; i += THREADS) { y[tile * SUMS + i] = sums[i]; }
}

// half-slab: moments of what a thread of a product by tiles makes of a column: eight rows, half a slab of lib/moments. The kernel declares
// Sums, an array of vec4f.

// Of eight neighbouring ones from `at` on, in two passes: nothing beside the rows themselves is kept while they are stored.
fn half_slab(sums: ptr<function, Sums>, at: u32) -> Moments {
  let shift = (*sums)[at];
  var rows: array<vec4f, 8>;
  for (var i = 0u; i < 8u; i++) { rows[i] = (*sums)[at + i] - shift; }
  let mean = (((rows[0] + rows[1]) + (rows[2] + rows[3])) + ((rows[4] + rows[5]) + (rows[6] + rows[7]))) * 0.125;
  var squares = vec4f(0.0);
  for (var i = 0u; i < 8u; i++) {
    let delta = rows[i] - mean;
    squares += delta * delta;
  }
  return Moments(shift, mean, squares);
}

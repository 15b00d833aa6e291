// moments-none: what lib/moments defines, for products behind which no norm asks for it; no binding, and no code.
const MEASURES: bool = false;
const SLAB: u32 = 16u;
const NORMALIZED: u32 = 7u;  // binding of lib/normalize
struct Moments { shift: vec4f, mean: vec4f, squares: vec4f }
fn measure(m: Moments, before: u32, v: vec4f) -> Moments { return m; }
fn merge(a: Moments, b: Moments, each: f32) -> Moments { return a; }
fn store_moments(slab: u32, column: u32, m: Moments) {}

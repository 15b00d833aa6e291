// normalize-none: what lib/normalize defines, for kernels that read a map as it lies; no binding, and no code.
struct Factors { none: u32 }
fn factor_at(image: u32, channel: u32, thread: u32) -> f32 { return 0.0; }
fn keep_factor(thread: u32, factor: f32) {}
fn factors_of(half: u32) -> Factors { return Factors(0u); }
fn normalized(x: vec4f, f: Factors) -> vec4f { return x; }

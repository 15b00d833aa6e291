// step: what changes from one denoising step to the next, in a 64-byte buffer that the host rewrites (src/kernels/step.ts).

struct Step {
  guidance: f32,
  x0_x: f32, x0_e: f32,          // predicted clean latents = x0_x * x + x0_e * e
  eps_x: f32, eps_e: f32,        // predicted noise = eps_x * x + eps_e * e
  out_x0: f32, out_eps: f32,     // next latents = out_x0 * x0 + out_eps * eps + sigma * noise
  sigma: f32,
  clip: f32,                     // x0 is clamped to -clip..clip where this is positive
  map_weight: f32,
  map_first: u32,                // 1: mask-map overwrites instead of adding
  reference: u32,                // index into the reference latents
  history: u32,                  // index into the history
  number: u32,                   // of the step, from 0
  mask_above: f32,               // guided-step: latents are free where a soft mask is above this
  unused0: u32,
}

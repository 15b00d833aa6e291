// shift: four neighbouring elements that start `by` (0 to 3) elements into the first of two vec4s.

fn shifted(first: vec4f, second: vec4f, by: u32) -> vec4f {
  switch by {
    case 1u: { return vec4f(first.yzw, second.x); }
    case 2u: { return vec4f(first.zw, second.xy); }
    case 3u: { return vec4f(first.w, second.xyz); }
    default: { return first; }
  }
}

/** Images, pixels and channels for the kernels on latents: one pixel, primes, around a workgroup of 64 vec4s. */
export const latentCases: { images: number; pixels: number; channels: number }[] = [
  { images: 1, pixels: 1, channels: 4 },
  { images: 2, pixels: 31, channels: 4 },
  { images: 4, pixels: 33, channels: 3 },
  { images: 1, pixels: 65, channels: 6 },
];

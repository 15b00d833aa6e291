/** Images, pixels and channels for the kernels on latents: one pixel, primes, around a workgroup of 64 vec4s. */
export const latentCases: { images: number; pixels: number; channels: number }[] = [
  { images: 1, pixels: 1, channels: 4 },
  { images: 2, pixels: 31, channels: 4 },
  { images: 4, pixels: 33, channels: 3 },
  { images: 1, pixels: 65, channels: 6 },
];

/** SD-like coefficients of one step, with a clip that some values reach. */
export const coefficients = {
  x0FromX: 0.8,
  x0FromNoise: -0.6,
  epsFromX: 0.55,
  epsFromNoise: 0.75,
  outFromX0: 0.9,
  outFromEps: 0.4,
  sigma: 0.3,
  clip: 0.7,
};

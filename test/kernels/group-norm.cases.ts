/** Group norm problems: `channels` of one source or two. Tolerances: see `Setting`; the statistics are held to 1e-6. */
export interface GroupNormCase {
  name: string;
  images: number;
  pixels: number;
  channels: [number] | [number, number];
  groups: number;
  eps: number;
  silu: boolean;
  mean: number;
}

export const groupNormCases: GroupNormCase[] = [
  { name: 'one pixel', images: 1, pixels: 1, channels: [8], groups: 2, eps: 1e-5, silu: false, mean: 0 },
  {
    name: 'three channels, prime pixels',
    images: 2,
    pixels: 37,
    channels: [3],
    groups: 3,
    eps: 1e-6,
    silu: true,
    mean: 1,
  },
  { name: 'groups of three', images: 2, pixels: 35, channels: [24], groups: 8, eps: 1e-5, silu: true, mean: 0 },
  { name: 'ragged width', images: 1, pixels: 65, channels: [10], groups: 5, eps: 1e-5, silu: false, mean: 0 },
  { name: 'two sources', images: 2, pixels: 71, channels: [12, 20], groups: 8, eps: 1e-5, silu: true, mean: 0 },
  {
    name: 'two sources, ragged sum',
    images: 1,
    pixels: 9,
    channels: [4, 16],
    groups: 5,
    eps: 1e-5,
    silu: false,
    mean: 0,
  },
  { name: 'several slabs', images: 1, pixels: 1031, channels: [64], groups: 32, eps: 1e-6, silu: true, mean: 2 },
];

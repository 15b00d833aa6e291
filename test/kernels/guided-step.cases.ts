/** Latents: images, pixels around the 32 of a tile (two vec4s each), channels; what the step does besides. */
export interface GuidedStepCase {
  name: string;
  images: number;
  pixels: number;
  channels: number;
  guided: boolean;
  noise?: boolean;
  clip?: number;
  bounded?: boolean;
  blend?: { masks: number; order: 'tiled' | 'consecutive'; references: number; soft?: boolean };
}

export const guidedStepCases: GuidedStepCase[] = [
  { name: 'one pixel without guidance', images: 1, pixels: 1, channels: 4, guided: false },
  { name: 'guidance', images: 2, pixels: 31, channels: 4, guided: true },
  { name: 'noise and clipping', images: 1, pixels: 33, channels: 4, guided: true, noise: true, clip: 0.5 },
  { name: 'a bound for each image', images: 3, pixels: 33, channels: 4, guided: false, noise: true, bounded: true },
  {
    name: 'two masks in turn, two references for two images each',
    images: 4,
    pixels: 35,
    channels: 4,
    guided: true,
    blend: { masks: 2, order: 'tiled', references: 2 },
  },
  {
    name: 'two masks one after the other, one reference',
    images: 6,
    pixels: 13,
    channels: 4,
    guided: false,
    blend: { masks: 2, order: 'consecutive', references: 1 },
  },
  {
    name: 'two soft masks for four images',
    images: 4,
    pixels: 37,
    channels: 4,
    guided: true,
    blend: { masks: 2, order: 'consecutive', references: 2, soft: true },
  },
  {
    name: 'eleven channels with everything',
    images: 2,
    pixels: 29,
    channels: 11,
    guided: true,
    noise: true,
    clip: 1,
    blend: { masks: 1, order: 'tiled', references: 2 },
  },
];

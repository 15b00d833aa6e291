/** Classifier-free guidance of a phase: how strong it is at each noise level. */
import type { Sampler } from '../diffusion/sampler.ts';

/** Classifier-free guidance: e = u + scale * (c - u), or c alone. */
export interface Guidance {
  readonly scale: number;
  /** Whether the UNet sees every latent with a negative too. */
  readonly guided: boolean;
  /** Noise levels with guidance, as shares of the training timesteps; at others e = c. undefined: all. */
  readonly interval: readonly [from: number, to: number] | undefined;
  /** How much of the prediction's spread is brought back to that of c, 0 to 1. */
  readonly rescale: number;
}

/**
 * Guidance as arguments ask for it: of the negative prompt one half more of every UNet batch, above 1 only. A phase with no step within the
 * interval has none: it costs and gives what it does with a scale of 1, also where the original's mask has prompt and negative swapped.
 * @param steps of the phase
 */
export function guidanceOf(
  s: {
    readonly guidanceScale: number;
    readonly guidanceInterval?: readonly [number, number] | undefined;
    readonly guidanceRescale: number;
  },
  steps: readonly { readonly timestep: number }[],
  sampler: Pick<Sampler, 'length'>,
): Guidance {
  const { guidanceScale: scale, guidanceInterval: interval, guidanceRescale: rescale } = s;
  const guided = scale > 1 && steps.some(({ timestep }) => isWithin(interval, timestep, sampler));
  return { scale, guided, interval, rescale };
}

/** Whether guidance acts at a timestep. */
function isWithin(interval: Guidance['interval'], timestep: number, { length }: Pick<Sampler, 'length'>): boolean {
  const [from, to] = interval ?? [0, 1];
  const level = timestep / length;
  return level >= from && level <= to;
}

/** What a denoiser is built with for it. */
export function guidanceShape({ guided, rescale }: Guidance): { readonly guided: boolean; readonly rescaled: boolean } {
  return { guided, rescaled: guided && rescale > 0 };
}

/**
 * The numbers of a step at a timestep.
 * @see Kynkaanniemi et al. 2024, Applying Guidance in a Limited Interval, https://arxiv.org/abs/2404.07724
 */
export function guidanceAt(
  { scale, interval, rescale }: Guidance,
  timestep: number,
  sampler: Pick<Sampler, 'length'>,
): { readonly guidance: number; readonly rescale: number } {
  return { guidance: isWithin(interval, timestep, sampler) ? scale : 1, rescale };
}

/** Guidance of a map: whether negatives are predicted for it, and what the difference of the two predictions is multiplied by. */
export interface MapGuidance {
  readonly guidance: Guidance;
  readonly gain: number;
}

/**
 * Guidance of the map |T - S|. Where source and target have the same negative it cancels: with S = a + g (b - a) and
 * T = c + g (d - c), T - S is g (d - b) for a = c, and (1 - g) (c - a) for b = d, as the original has them. Two predictions do then.
 * @param of at the map's noise level
 * @param o.sameNegatives whether source and target have them
 */
export function guidanceOfMap(
  of: Guidance,
  o: {
    readonly mendQuirks: boolean;
    readonly sameNegatives: boolean;
  },
): MapGuidance {
  const alone = { ...of, guided: false };
  if (!of.guided) return { guidance: alone, gain: 1 };
  // Spreads are brought back to those of single predictions, which do not cancel.
  if (!o.sameNegatives || of.rescale > 0) return { guidance: of, gain: 1 };
  return { guidance: alone, gain: o.mendQuirks ? of.scale : of.scale - 1 };
}

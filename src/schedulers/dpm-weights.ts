/**
 * Weights of DPM-Solver's multistep updates of orders 1 to 3, for data and noise prediction, deterministic and stochastic.
 * @see Lu et al. 2022, https://arxiv.org/abs/2206.00927 (noise) and https://arxiv.org/abs/2211.01095 (data, stochastic)
 */
import { type Blend, blend, NOISE, SAMPLE } from './linear-step.ts';
import type { Level } from './variance-preserving.ts';

const f32 = Math.fround;

/** Which of the four updates. */
export type DPMAlgorithm = 'dpmsolver' | 'dpmsolver++' | 'sde-dpmsolver' | 'sde-dpmsolver++';

/** Levels and converted outputs of a step: of the step itself and of those before it, the latest first, as many as the order. */
export interface DPMStep {
  readonly algorithm: DPMAlgorithm;
  readonly solverType: 'midpoint' | 'heun';
  /** To which the step leads. */
  readonly to: Level;
  readonly levels: readonly Level[];
  readonly outputs: readonly Blend[];
}

/** Differences of the outputs, scaled to derivatives in lambda over the step h: m, h m', h^2 m'' / 2. */
function differences({ to, levels, outputs }: DPMStep): { readonly h: number; readonly d: readonly Blend[] } {
  const [l0 = to, l1, l2] = levels;
  const [m0 = SAMPLE, m1, m2] = outputs;
  const h = f32(to.lambda - l0.lambda);
  if (!l1 || !m1) return { h, d: [m0] };
  const r0 = f32(l0.lambda - l1.lambda) / h;
  const first = blend([1 / r0, m0], [-1 / r0, m1]);
  if (!l2 || !m2) return { h, d: [m0, first] };
  const r1 = f32(l1.lambda - l2.lambda) / h;
  const bend = blend([1, first], [-1 / r1, m1], [1 / r1, m2]);
  return { h, d: [m0, blend([1, first], [r0 / (r0 + r1), bend]), blend([1 / (r0 + r1), bend])] };
}

/** Factors of m and of its first and second derivative: the integral of exp(z) over the step, times 1, and its moments. */
function moments(z: number, order: number, solverType: DPMStep['solverType']): number[] {
  const whole = Math.expm1(z);
  if (order === 1) return [whole];
  const first = z === 0 ? 0 : whole / z - 1;
  if (order === 2) return [whole, solverType === 'midpoint' ? whole / 2 : first];
  return [whole, first, z === 0 ? 0 : (whole - z) / z ** 2 - 0.5];
}

/** x' of a step, of x, outputs and noise. */
export function dpmUpdate(step: DPMStep): Blend {
  const { algorithm, solverType, to } = step;
  const from = step.levels[0] as Level;
  const { h, d } = differences(step);
  const terms = (scale: number, factors: readonly number[]): [number, Blend][] =>
    d.map((one, i) => [scale * (factors[i] ?? 0), one]);
  switch (algorithm) {
    case 'dpmsolver++': {
      const factors = moments(-h, d.length, solverType);
      return blend([to.rest / from.rest, SAMPLE], ...terms(-to.signal, factors));
    }
    case 'dpmsolver': {
      const factors = moments(h, d.length, solverType);
      return blend([to.signal / from.signal, SAMPLE], ...terms(-to.rest, factors));
    }
    case 'sde-dpmsolver++': {
      // The third factor has half a unit of the other sign in diffusers, whose numbers these are.
      const factors = moments(-2 * h, d.length, solverType).map((factor, i) => (i === 2 ? factor + 1 : factor));
      const deviation = to.rest * Math.sqrt(-Math.expm1(-2 * h));
      return blend([(to.rest / from.rest) * Math.exp(-h), SAMPLE], ...terms(-to.signal, factors), [deviation, NOISE]);
    }
    case 'sde-dpmsolver': {
      const factors = moments(h, d.length, solverType).map(factor => 2 * factor);
      const deviation = to.rest * Math.sqrt(Math.expm1(2 * h));
      return blend([to.signal / from.signal, SAMPLE], ...terms(-to.rest, factors), [deviation, NOISE]);
    }
  }
}

/**
 * Weights of UniPC's predictor and corrector.
 * @see Zhao et al. 2023, https://arxiv.org/abs/2302.04867
 */
import { type Blend, blend } from './linear-step.ts';
import type { Level } from './variance-preserving.ts';

const f32 = Math.fround;

/** From one level to another, by the outputs at the first and at levels before it. */
export interface UniStep {
  readonly predictX0: boolean;
  readonly solverType: 'bh1' | 'bh2';
  readonly from: Level;
  readonly to: Level;
  /** x at the first level. */
  readonly sample: Blend;
  /** Converted outputs, that at the first level first, as many as the order; and the levels of the others. */
  readonly outputs: readonly Blend[];
  readonly earlier: readonly Level[];
  /** The output at the level that is reached, for the corrector. */
  readonly reached?: Blend;
}

/** x at the level that is reached. */
export function uniUpdate(step: UniStep): Blend {
  const { predictX0, from, to, sample, outputs, earlier, reached } = step;
  const [present = sample, ...others] = outputs;
  const h = f32(to.lambda - from.lambda);
  const z = predictX0 ? -h : h;
  const whole = Math.expm1(z);
  const scale = predictX0 ? to.signal : to.rest;
  const ratio = predictX0 ? to.rest / from.rest : to.signal / from.signal;
  const factor = step.solverType === 'bh1' ? z : whole;
  const ratios = earlier.map(({ lambda }) => f32(lambda - from.lambda) / h);
  const slopes = others.map((output, i) => blend([1 / (ratios[i] ?? 1), output], [-1 / (ratios[i] ?? 1), present]));
  if (reached) {
    ratios.push(1);
    slopes.push(blend([1, reached], [-1, present]));
  }
  const weights = factor === 0 ? slopes.map(() => 0) : slopeWeights(ratios, z, factor);
  return blend(
    [ratio, sample],
    [-scale * whole, present],
    ...slopes.map((slope, i) => [-scale * factor * (weights[i] ?? 0), slope] as const),
  );
}

/** Weights with which the slopes match the moments of exp over the step; those of one slope are 1/2, as the paper simplifies. */
function slopeWeights(ratios: readonly number[], z: number, factor: number): number[] {
  const { length } = ratios;
  if (length <= 1) return [0.5];
  const rows: number[][] = [];
  let [moment, factorial] = [Math.expm1(z) / z - 1, 1];
  for (let k = 0; k < length; k++) {
    rows.push([...ratios.map(r => r ** k), (moment * factorial) / factor]);
    factorial *= k + 2;
    moment = moment / z - 1 / factorial;
  }
  return solved(rows);
}

/** The x of A x = b, given the rows of A with b behind: elimination with pivots, for the few unknowns of a solver's order. */
function solved(rows: number[][]): number[] {
  for (let k = 0; k < rows.length; k++) {
    const size = (row: readonly number[]): number => Math.abs(row[k] ?? 0);
    const pivot = rows.slice(k).reduce((best, row) => (size(row) > size(best) ? row : best), rows[k] ?? []);
    const at = rows.indexOf(pivot);
    [rows[k], rows[at]] = [pivot, rows[k] ?? []];
    for (const row of rows) {
      if (row === pivot) continue;
      const share = (row[k] ?? 0) / (pivot[k] ?? 1);
      for (let j = k; j < row.length; j++) row[j] = (row[j] ?? 0) - share * (pivot[j] ?? 0);
    }
  }
  return rows.map((row, k) => (row.at(-1) ?? 0) / (row[k] ?? 1));
}

/** What a step works on, dense and in f64: [N, P, C] each. */
export interface LinearStepReference {
  readonly x: ArrayLike<number>;
  readonly e: ArrayLike<number>;
  readonly noise: ArrayLike<number> | undefined;
  readonly kept: readonly ArrayLike<number>[];
  /** [1 + slots, 4 + slots] */
  readonly weights: ArrayLike<number>;
  /** x0 = x * clean.x + e * clean.e */
  readonly clean: { readonly x: number; readonly e: number };
  /** x0 within +-clip where it is positive. */
  readonly clip: number;
  /** x0 within the bound of its image, over it; values of an image. */
  readonly bounds: { readonly values: ArrayLike<number>; readonly size: number } | undefined;
}

/** x', then what is kept in each slot. */
export function linearStep(r: LinearStepReference): Float64Array[] {
  const { x, e, noise, kept, weights, clean, clip, bounds } = r;
  const row = 4 + kept.length;
  return Array.from({ length: 1 + kept.length }, (_, k) =>
    Float64Array.from({ length: x.length }, (_, i) => {
      let x0 = clean.x * x[i] + clean.e * e[i];
      if (clip > 0) x0 = Math.min(clip, Math.max(-clip, x0));
      if (bounds) {
        const bound = bounds.values[Math.floor(i / bounds.size)];
        x0 = Math.min(bound, Math.max(-bound, x0)) / bound;
      }
      const at = (column: number): number => weights[k * row + column];
      const own = at(0) * x[i] + at(1) * e[i] + at(2) * x0 + (noise ? at(3) * noise[i] : 0);
      return kept.reduce((sum, values, slot) => sum + at(4 + slot) * values[i], own);
    }),
  );
}

/** Tensors of a checkpoint that its model has no use for: heads, towers, buffers that other programs left there. */
import type { Weights } from '../../nn/weights.ts';

/** Names that one warning lists. */
const SHOWN = 8;

/**
 * Builds a model as `make` does, and lets tensors that it has no use for pass with one warning, as transformers and diffusers do.
 * What is missing or misshapen stays an error of `Weights.check`.
 * @param make builds the modules; may be called again, for another view of the same checkpoint
 * @param label names the checkpoint in the warning
 * @param warn told the first time
 */
export function withSpareTensors<M, Rest extends readonly unknown[]>(
  make: (weights: Weights, ...rest: Rest) => M,
  label: string,
  warn: (message: string) => void,
): (weights: Weights, ...rest: Rest) => M {
  let told = false;
  return (weights, ...more) => {
    const model = make(weights, ...more);
    const spare = weights.allowUnused();
    if (spare.length === 0 || told) return model;
    told = true;
    const others = spare.length > SHOWN ? ` and ${spare.length - SHOWN} more` : '';
    warn(`${label}: the model has no use for ${spare.slice(0, SHOWN).join(', ')}${others}; ignored`);
    return model;
  };
}

/** Attention of Stable Diffusion's levels, to the text, and of its VAE; and of the embedded family. */
import { ATTENTION } from '../../src/kernels/attention.ts';
import type { Storage } from '../../src/kernels/kernel.ts';
import { type Choosing, type KernelCase, opCase } from './kernel-case.ts';

interface Sizes {
  readonly heads: number;
  readonly queries: number;
  readonly keys: number;
  readonly width: number;
}

/** Queries [queries, heads * width], keys and values [keys, heads * width]. */
function attentionCase(how: Choosing, shape: Sizes, activations: Storage): KernelCase {
  const { heads, queries, keys, width } = shape;
  const rows = { pitch: heads * width, storage: activations };
  const tokens = queries === keys ? `${queries} tokens` : `${queries} queries x ${keys} keys`;
  const sizes = { batch: 1, heads, queries, keys, headWidth: width, scale: width ** -0.5 };
  const made = opCase(
    how,
    ATTENTION,
    { ...sizes, q: rows, k: rows, v: rows, out: rows },
    {
      name: `attention ${tokens} x ${heads} heads x ${width} activations ${activations}`,
      op: 'attention',
      shape: { heads, queries, keys, width },
      storage: { activations },
    },
  );
  return { ...made, hostFlops: 2 * keys * (width + 1) }; // an element needs the weights of its whole row
}

/** Self-attention, cross-attention to 77 tokens of text, and one head of 512 as the VAE has it. */
export function attentionCases(how: Choosing): KernelCase[] {
  const { half } = how.caps;
  const all: readonly Sizes[] = [
    { heads: 5, queries: 1024, keys: 1024, width: 64 },
    { heads: 10, queries: 1024, keys: 1024, width: 64 }, // Stable Diffusion 2.1 at 512 x 512, second level
    { heads: 8, queries: 1024, keys: 1024, width: 80 }, // 1.5, second level
    { heads: 5, queries: 4096, keys: 4096, width: 64 }, // 2.1, first level
    { heads: 8, queries: 4096, keys: 4096, width: 40 }, // 1.5, first level
    { heads: 5, queries: 4096, keys: 77, width: 64 }, // to the text
    { heads: 8, queries: 4096, keys: 77, width: 40 },
    { heads: 1, queries: 1024, keys: 1024, width: 512 }, // the VAE's head, at 256 x 256
    { heads: 1, queries: 4096, keys: 4096, width: 512 }, // and at 512 x 512
    { heads: 2, queries: 256, keys: 256, width: 32 }, // embedded
  ];
  return all.flatMap(shape => [attentionCase(how, shape, 'f32'), attentionCase(how, shape, half)]);
}

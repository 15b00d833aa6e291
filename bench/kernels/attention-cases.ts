/** Self-attention of the published models' second level, and of the embedded model. */
import type { Caps } from '../../src/gpu/caps.ts';
import { attention } from '../../src/kernels/attention.ts';
import type { Storage } from '../../src/kernels/kernel.ts';
import type { KernelBench, Values } from './bench-case.ts';

/** Queries, keys and values of one tensor each, [tokens, heads * width]. */
function attentionCase(caps: Caps, heads: number, tokens: number, width: number, act: Storage): KernelBench {
  const pitch = heads * width;
  const rows = { pitch, storage: act };
  const scale = width ** -0.5;
  const shape = { batch: 1, heads, queries: tokens, keys: tokens, headWidth: width };
  const call = attention(caps, { ...shape, q: rows, k: rows, v: rows, out: rows, scale });
  const expected = (values: Values, at: number): number => {
    const [q, k, v] = [values('q'), values('k'), values('v')];
    const [query, column] = [Math.floor(at / pitch), at % pitch];
    const head = Math.floor(column / width) * width;
    const scores = Array.from({ length: tokens }, (_, j) => {
      let sum = 0;
      for (let e = 0; e < width; e++) sum += (q[query * pitch + head + e] ?? 0) * (k[j * pitch + head + e] ?? 0);
      return sum * scale;
    });
    const top = Math.max(...scores);
    const weights = scores.map(s => Math.exp(s - top));
    const total = weights.reduce((a, b) => a + b, 0);
    return weights.reduce((sum, w, j) => sum + w * (v[j * pitch + column] ?? 0), 0) / total;
  };
  const size = [tokens * pitch, act] as const;
  const unused = { bias: [4, 'f32'], key_mask: [4, 'f32'], lengths: [4, 'f32'] } as const;
  return {
    name: `attention ${tokens} tokens x ${heads} heads x ${width} activations ${act}`,
    calls: [call],
    buffers: { q: size, k: size, v: size, ...unused, out: size },
    output: 'out',
    expected,
    peer: { op: 'attention', heads, tokens, width },
  };
}

/** Self-attention. */
export function attentionCases(caps: Caps): KernelBench[] {
  return [
    attentionCase(caps, 5, 1024, 64, 'f32'),
    attentionCase(caps, 5, 1024, 64, caps.half),
    attentionCase(caps, 2, 256, 32, 'f32'),
  ];
}

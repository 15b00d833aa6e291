import { readFileSync } from 'node:fs';
import type { TensorSource } from '../../src/core/tensor-source.ts';
import type { Gpu } from '../../src/gpu/device.ts';
import { parseT5Config, T5Model } from '../../src/models/t5/index.ts';
import type { LoadedWeights } from '../../src/nn/load.ts';
import { Weights } from '../../src/nn/weights.ts';
import { checkpoint, goldenPath } from './checkpoint.ts';

export interface T5Change {
  readonly dtype?: 'float32' | 'float16';
  readonly config?: Record<string, unknown>;
  readonly source?: (source: TensorSource) => TensorSource;
}

/** The small recorded T5 with its weights on the device, its config and checkpoint altered first. */
export async function loadT5(gpu: Gpu, change: T5Change = {}): Promise<{ model: T5Model; weights: LoadedWeights }> {
  const path = 't5/model/config.json';
  const json = { ...JSON.parse(readFileSync(goldenPath(path), 'utf8')), ...change.config };
  const source = await checkpoint('t5/model/model.safetensors');
  try {
    const w = Weights.open(change.source?.(source) ?? source);
    const model = new T5Model(w, parseT5Config(json, path));
    return { model, weights: await w.load(gpu, { dtype: change.dtype ?? 'float32' }) };
  } finally {
    await source.close?.();
  }
}

/** Rows of a flat array. */
export function rowsOf(data: ArrayLike<number>, [count, length]: readonly number[]): number[][] {
  return Array.from({ length: count }, (_, r) => Array.from({ length }, (_, i) => data[r * length + i]));
}

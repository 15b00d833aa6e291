/** The networks at their published sizes, with weights that are never looked at, on a device that runs nothing. */
import type { Gpu } from '../../src/gpu/device.ts';
import { DiffEditPipeline } from '../../src/pipeline/diffedit/pipeline.ts';
import { BlipForConditionalGeneration } from '../../src/pipeline/text/blip.ts';
import { T5ForConditionalGeneration } from '../../src/pipeline/text/t5.ts';
import { hollowModel } from '../../test/support/fake-models.ts';

/** How the networks are used. */
export interface FullSizeUse {
  readonly gpu: Gpu;
  /** Of activations and weights. */
  readonly dtype: 'float16' | 'float32';
  /** Pixels of a side of the picture that is edited. */
  readonly size: number;
}

/** What `--networks` names: what people do with each, by the library's defaults. */
export const NETWORKS: Readonly<Record<string, (use: FullSizeUse) => Promise<void>>> = { sd: edit, t5: write, blip };

const quiet = { onWarning: () => undefined };

/** An edit with Stable Diffusion 2.1: 50 steps, 10 maps. */
async function edit({ gpu, dtype, size }: FullSizeUse): Promise<void> {
  const pipeline = await DiffEditPipeline.fromPretrained(hollowModel('sd21'), { gpu, dtype, ...quiet });
  const image = { width: size, height: size, data: new Uint8Array(3 * size * size) };
  const prompts = { sourcePrompt: 'a bowl of apples', targetPrompt: 'a bowl of pears' };
  await pipeline.run({ image, ...prompts, seed: 0, outputType: 'np' });
  pipeline.dispose();
}

/** Prompts of 16 tokens from one of 64 with Flan-T5 large: one, and ten at once. */
async function write({ gpu, dtype }: FullSizeUse): Promise<void> {
  const t5 = await T5ForConditionalGeneration.fromPretrained(hollowModel('flan-t5-large'), { gpu, dtype, ...quiet });
  const ids = [Array.from({ length: 64 }, (_, i) => 100 + i)];
  const options = { topK: 10, maxNewTokens: 16, eosTokenId: null };
  for (const sequences of [1, 10]) {
    await t5.generate({ ids }, { ...options, doSample: sequences > 1, numReturnSequences: sequences });
  }
  t5.dispose();
}

/** A caption of 16 tokens with BLIP base. */
async function blip({ gpu, dtype }: FullSizeUse): Promise<void> {
  const model = await BlipForConditionalGeneration.fromPretrained(hollowModel('blip-base'), { gpu, dtype, ...quiet });
  const side = 384;
  const image = { width: side, height: side, data: new Uint8Array(3 * side * side) };
  await model.caption(image, 'a photograph of', { maxNewTokens: 16, eosTokenId: null });
  model.dispose();
}

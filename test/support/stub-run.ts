/** What stands for the model where only the way to it and back is tested: a result at once, which depends on all that it is given. */
import { createHash } from 'node:crypto';
import { type MockInstance, vi } from 'vitest';
import type { RgbImage } from '../../src/io/image.ts';
import { DiffEditPipeline } from '../../src/pipeline/diffedit/pipeline.ts';
import type { RunArgs, RunOutput } from '../../src/pipeline/diffedit/types.ts';

/** Pictures whose every byte depends on the picture, the prompts and the seed. */
export function stubOutput(args: RunArgs): RunOutput {
  const { image, targetPrompt, seed, numImagesPerPrompt = 1, maskImage, pasteBack } = args;
  const seen = image as RgbImage;
  const { width, height, data } = (pasteBack as { readonly image: RgbImage } | undefined)?.image ?? seen;
  const images = Array.from({ length: numImagesPerPrompt }, (_, i) => {
    const [tint] = createHash('sha256').update(`${targetPrompt} ${seed} ${i}`).digest();
    return { width, height, data: Uint8Array.from(data, v => v ^ tint) };
  });
  const [w, h] = [seen.width / 8, seen.height / 8];
  const mask = { data: Float32Array.from({ length: w * h }, (_, i) => i % 2), shape: [1, h, w] };
  return { images, timings: { edit: 1 }, ...(maskImage ? {} : { mask: { mask, map: mask } }) } as unknown as RunOutput;
}

/** Puts `work` in the place of every pipeline's `run`; vi.restoreAllMocks takes it back. */
export function stubRun(
  work: (args: RunArgs, call: number) => RunOutput | Promise<RunOutput> = stubOutput,
): MockInstance<DiffEditPipeline['run']> {
  let calls = 0;
  return vi.spyOn(DiffEditPipeline.prototype, 'run').mockImplementation(async args => {
    await new Promise(setImmediate);
    args.signal?.throwIfAborted();
    return work(args, calls++);
  });
}

import { readFileSync } from 'node:fs';
import { afterAll, describe, expect, test } from 'vitest';
import type { NdArray } from '../../src/core/ndarray.ts';
import type { FolderSource } from '../../src/core/tensor-source.ts';
import type { Gpu } from '../../src/gpu/device.ts';
import { DiffEditPipeline, type PretrainedOptions } from '../../src/pipeline/diffedit/pipeline.ts';
import { goldenPath } from '../support/checkpoint.ts';
import { type Counter, countDevice } from '../support/counting.ts';
import { diskFolder } from '../support/folder.ts';
import { loadGolden } from '../support/golden.ts';
import { freshGpu } from '../support/gpu.ts';
import { openPipeline, picture, seeded } from '../support/pipeline.ts';
import { renewed } from '../support/renewed.ts';

/** The UNet of this model takes 5 MB; its largest weight 295 kB. */
const MODEL = 'test/golden/sd1/model';
const SMALL = { slotBytes: 2 ** 18 };
const STAGING = 2 ** 16;

const image = picture(loadGolden('sd1'));
const prompts = { sourcePrompt: 'a bowl of fruits', targetPrompt: 'a basket of pears' };
const run = { ...prompts, image, numInferenceSteps: 3, numMapsPerMask: 2, seed: 0, outputType: 'np' as const };

let gpu: Gpu;
let counter: Counter;
renewed(async () => {
  gpu = await freshGpu();
  counter = countDevice(gpu);
});
afterAll(() => {
  counter.stop();
  gpu.dispose();
});

/** Everything that the three phases compute, and what their programs are: maps, plain and guided steps, predictions, contexts. */
async function results(pipeline: DiffEditPipeline): Promise<Record<string, unknown>> {
  const { images, mask, latents } = await pipeline.run({ ...run, returnLatents: true });
  const regularised = await pipeline.invert({
    ...{ prompt: 'a bowl of fruits', image, numInferenceSteps: 2, generator: seeded(1) },
    ...{ lambdaAutoCorr: 20, lambdaKl: 20 },
  });
  return { images, mask, latents, regularised: regularised.latents };
}

async function open(options: PretrainedOptions = {}): Promise<DiffEditPipeline> {
  return openPipeline(MODEL, { gpu, stagingBytes: STAGING, ...options });
}

describe('a UNet whose weights pass through the device', () => {
  test.each(['float32', 'float16'] as const)('gives the same bits in %s, from files and from the host', async dtype => {
    const whole = await open({ dtype });
    const expected = await results(whole);
    const bytes = whole.bytes;
    whole.dispose();

    const fromFiles = await open({ dtype, streamWeights: SMALL });
    expect(fromFiles.bytes).toBe(counter.liveBytes);
    expect(await results(fromFiles)).toEqual(expected);
    expect(fromFiles.bytes).toBe(counter.liveBytes);
    expect(bytes - fromFiles.bytes).toBeGreaterThan(dtype === 'float32' ? 3e6 : 1.5e6);
    // What is read into while weights stream: no more than staging memory.
    expect(fromFiles.hostBytes).toBeGreaterThan(0);
    expect(fromFiles.hostBytes).toBeLessThan(2 ** 19);
    fromFiles.dispose();
    expect([fromFiles.bytes, fromFiles.hostBytes, counter.liveBytes]).toEqual([0, 0, 0]);
  });
});

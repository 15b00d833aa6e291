/** A pipeline of the first golden with an inverted picture, for tests of what calls do. */
import { afterAll, expect } from 'vitest';
import type { NdArray } from '../../src/core/ndarray.ts';
import type { Gpu } from '../../src/gpu/device.ts';
import type { DiffEditPipeline } from '../../src/pipeline/diffedit/pipeline.ts';
import type { CallPlan } from '../../src/pipeline/runtime/memory-plan.ts';
import { type Counter, countDevice } from './counting.ts';
import { loadGolden } from './golden.ts';
import { testGpu } from './gpu.ts';
import { openPipeline, picture, seeded } from './pipeline.ts';
import { renewed } from './renewed.ts';

export const golden = loadGolden('sd1');
export const image = picture(golden);
export const SOURCE = 'a bowl of fruits';
export const TARGET = 'a basket of pears';
export const few = { numInferenceSteps: 4, guidanceScale: 6 };
/** A whole edit and an inversion, as short as can be. */
export const shortRun = {
  image,
  sourcePrompt: SOURCE,
  targetPrompt: TARGET,
  ...{ numInferenceSteps: 4, numMapsPerMask: 2, seed: 0 },
};
export const shortInversion = { image, prompt: SOURCE, numInferenceSteps: 4 };
/** Sides of the latents. */
export const [H, W] = [12, 20];

export const mask = (value: (x: number) => number, batch = 1): NdArray => ({
  data: Float32Array.from({ length: batch * H * W }, (_, i) => value(i % W)),
  shape: [batch, H, W],
});
/** The left half. */
export const half = mask(x => (x < W / 2 ? 1 : 0));
export const edit = { ...few, prompt: TARGET, negativePrompt: SOURCE, maskImage: half, outputType: 'latent' as const };

/** Entry t of picture b of inverted latents. */
export const frame = ({ data, shape }: NdArray, t: number, b = 0) => {
  const size = 4 * H * W;
  return data.subarray((b * shape[1] + t) * size, (b * shape[1] + t + 1) * size);
};

/** What the tests of a file share. */
export interface Scene {
  pipeline: DiffEditPipeline;
  inverted: NdArray;
  /** Edited latents. */
  editLatents(more: object): Promise<NdArray>;
}

/** Opens it before the file's tests, and anew after one that failed. */
export function scene(): Scene {
  const shared = {
    async editLatents(more: object) {
      return (await shared.pipeline.edit({ ...edit, imageLatents: shared.inverted, ...more })).images as NdArray;
    },
  } as Scene;
  renewed(async () => {
    shared.pipeline = await openPipeline('test/golden/sd1/model');
    const inversion = { ...few, image, prompt: SOURCE, generator: seeded(1) };
    shared.inverted = (await shared.pipeline.invert(inversion)).latents;
  });
  afterAll(() => shared.pipeline.dispose());
  return shared;
}

/** The tests' device, and what is asked of it from here on. */
export interface CountedDevice {
  gpu: Gpu;
  counter: Counter;
}

/** Counts what the file's tests ask of the device that files share, whose pipelines are built already. */
export function countedDevice(): CountedDevice {
  const shared = {} as CountedDevice;
  renewed(async () => {
    shared.counter?.stop();
    shared.gpu = await testGpu();
    shared.counter = countDevice(shared.gpu);
  });
  afterAll(() => shared.counter.stop());
  return shared;
}

/** A call takes what its plan says, to the byte. */
export async function expectPlanned(
  { counter }: CountedDevice,
  pipeline: { readonly bytes: number },
  plan: () => Promise<CallPlan>,
  call: () => Promise<unknown>,
): Promise<void> {
  const planned = await plan();
  const before = counter.liveBytes;
  counter.resetPeak();
  await call();
  expect(counter.liveBytes, 'bytes that the pipeline says it holds').toBe(pipeline.bytes);
  // Programs of the call before lie there until this one begins.
  expect(counter.peakBytes).toBe(Math.max(before, planned.peakBytes));
  expect(planned.largestBinding).toBeLessThanOrEqual(counter.largestBinding);
}

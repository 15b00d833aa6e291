/** Pictures as diffusers makes them: every pipeline with every sampler, in batches, and each argument once. */
import { afterAll, describe, expect, it } from 'vitest';
import type { NdArray } from '../../../src/core/ndarray.ts';
import { arrayToImages } from '../../../src/io/postprocess.ts';
import { maxError } from '../../support/close.ts';
import {
  type AnyPipeline,
  argumentsOf,
  openGeneration,
  PIPELINES,
  type RecordedCall,
  schedulerOf,
} from '../../support/generation.ts';
import { loadGolden } from '../../support/golden.ts';

const golden = loadGolden('image-generation');
const cases: readonly RecordedCall[] = golden.json.cases;
const models = new Map<string, Promise<AnyPipeline>>();

/** One model each on the device, and the pipelines over it. */
async function pipelineOf(recorded: RecordedCall): Promise<AnyPipeline> {
  const { model, pipeline } = recorded;
  const first = model === 'sd1-inpainting' ? 'inpaint' : 'text';
  if (!models.has(model)) models.set(model, openGeneration({ pipeline: first, model }));
  const opened = await models.get(model);
  return (await opened?.as(PIPELINES[pipeline] as never, { scheduler: schedulerOf(recorded) })) as AnyPipeline;
}

afterAll(async () => {
  for (const opened of models.values()) (await opened).dispose();
});

/** Pictures from decoded values. */
const bytes = (x: NdArray): number[] => arrayToImages(x).flatMap(({ data }) => [...data]);

describe('as diffusers', () => {
  for (const recorded of cases) {
    it(recorded.name, async () => {
      const pipe = await pipelineOf(recorded);
      const { name } = recorded;
      if (golden.has(`${name}.latents`)) {
        const { images } = await pipe.generate({ ...argumentsOf(recorded), outputType: 'latent' });
        const expected = golden.floats(`${name}.latents`);
        expect((images as NdArray).shape).toEqual(expected.shape);
        expect(maxError((images as NdArray).data, expected.data)).toBeLessThanOrEqual(1e-3);
      }
      if (!golden.has(`${name}.picture`)) return;
      const cropped = !golden.has(`${name}.latents`);
      const { images } = await pipe.generate({ ...argumentsOf(recorded), outputType: cropped ? 'pil' : 'np' });
      const made = Array.isArray(images) ? images.flatMap(({ data }) => [...data]) : bytes(images);
      const expected = golden.ints(`${name}.picture`);
      expect(made.length).toBe(expected.data.length);
      expect(maxError(made, expected.data)).toBeLessThanOrEqual(2);
    });
  }
});

/** Pictures in float16 as diffusers makes them in float32: the mean stays within two of 255. */
import { afterAll, expect, it } from 'vitest';
import type { NdArray } from '../../../src/core/ndarray.ts';
import { arrayToImages } from '../../../src/io/postprocess.ts';
import {
  type AnyPipeline,
  argumentsOf,
  openGeneration,
  PIPELINES,
  type RecordedCall,
  schedulerOf,
} from '../../support/generation.ts';
import { loadGolden } from '../../support/golden.ts';
import { meanError } from '../../support/pipeline.ts';
import { renewed } from '../../support/renewed.ts';

const golden = loadGolden('image-generation');
const cases: readonly RecordedCall[] = golden.json.cases;
const wanted = process.env['PENTIMENTO_FULL']
  ? cases.filter(({ name, model }) => model === 'sd1' && golden.has(`${name}.latents`) && golden.has(`${name}.picture`))
  : cases.filter(({ name }) => ['text dpm', 'image euler', 'inpaint unipc'].includes(name));

let pipeline: AnyPipeline;
renewed(async () => {
  pipeline = await openGeneration({ pipeline: 'text', model: 'sd1' }, { dtype: 'float16' });
});
afterAll(() => pipeline.dispose());

it.each(wanted.map(recorded => [recorded.name, recorded] as const))('%s', async (name, recorded) => {
  const own = PIPELINES[recorded.pipeline] as never;
  const pipe = (await pipeline.as(own, { scheduler: schedulerOf(recorded) })) as AnyPipeline;
  const { images } = await pipe.generate({ ...argumentsOf(recorded), outputType: 'np' });
  const made = arrayToImages(images as NdArray).flatMap(({ data }) => [...data]);
  expect(meanError(made, golden.ints(`${name}.picture`).data)).toBeLessThanOrEqual(2);
});

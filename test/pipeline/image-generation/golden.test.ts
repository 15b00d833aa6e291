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
/** Those that differ most; all of them with PENTIMENTO_FULL. */
const DAILY = [
  ...[
    /^text \w+$/,
    /^image (euler|unipc batch)$/,
    /^inpaint (ancestral|pndm batch)$/,
    /^nine channels (ddim|lcm batch)$/,
  ],
  ...[
    /^text: (rescale|sigmas|no guidance)$/,
    /^image: (generators|latents)$/,
    /^inpaint: (latents|weak|default size|crop 3)$/,
  ],
  ...[/^nine channels: masked latents$/, /^turbo 1$/, /^thresholding$/],
];
const cases = (golden.json.cases as readonly RecordedCall[]).filter(
  ({ name }) => process.env['PENTIMENTO_FULL'] || DAILY.some(pattern => pattern.test(name)),
);
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
      const [hasLatents, hasPicture] = [golden.has(`${name}.latents`), golden.has(`${name}.picture`)];
      let last: NdArray | undefined;
      const { images } = await pipe.generate({
        ...argumentsOf(recorded),
        outputType: !hasPicture ? 'latent' : hasLatents ? 'np' : 'pil',
        callback: async (_step, _timestep, latents) => {
          if (hasLatents) last = await latents();
        },
      });
      if (hasLatents) {
        const expected = golden.floats(`${name}.latents`);
        expect(last?.shape).toEqual(expected.shape);
        expect(maxError(last?.data ?? [], expected.data)).toBeLessThanOrEqual(1e-3);
      }
      if (!hasPicture) return expect((images as NdArray).data).toEqual(last?.data);
      const made = Array.isArray(images) ? images.flatMap(({ data }) => [...data]) : bytes(images);
      const expected = golden.ints(`${name}.picture`);
      expect(made.length).toBe(expected.data.length);
      expect(maxError(made, expected.data)).toBeLessThanOrEqual(2);
    });
  }
});

/** Checked by `tsc -p test/tsconfig.json`: at run time these only touch the types' names. */
import { describe, expectTypeOf, it } from 'vitest';
import type { DiffEditPipeline, NdArray, RgbImage } from '../../src/index.ts';

declare const pipeline: DiffEditPipeline;
const image: RgbImage = { width: 1, height: 1, data: new Uint8Array(3) };

describe('types', () => {
  it('edit and run promise pictures by default and for pil, else pictures or arrays', () => {
    const prompts = { image, sourcePrompt: 'a', targetPrompt: 'b' } as const;
    expectTypeOf(() => pipeline.run(prompts))
      .returns.resolves.toHaveProperty('images')
      .toEqualTypeOf<RgbImage[]>();
    expectTypeOf(() => pipeline.run({ ...prompts, outputType: 'pil' }))
      .returns.resolves.toHaveProperty('images')
      .toEqualTypeOf<RgbImage[]>();
    expectTypeOf(() => pipeline.run({ ...prompts, outputType: 'np' }))
      .returns.resolves.toHaveProperty('images')
      .toEqualTypeOf<RgbImage[] | NdArray>();
  });

  it('arguments have the names and kinds of diffusers', () => {
    // @ts-expect-error a number of steps is a number
    const wrong = () => pipeline.run({ image, sourcePrompt: 'a', targetPrompt: 'b', numInferenceSteps: '50' });
    // @ts-expect-error the mask is called maskImage
    const missing = () => pipeline.edit({ prompt: 'a', mask: image });
    expectTypeOf(wrong).toBeFunction();
    expectTypeOf(missing).toBeFunction();
  });
});

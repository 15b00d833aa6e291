/** The embedded model makes what it is asked for: its captioner names fruit and vessel; and a mask that DiffEdit found is painted anew. */

import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { maskToImage } from '../../../src/io/mask.ts';
import { readImage } from '../../../src/node/images.ts';
import type { DiffEditPipeline } from '../../../src/pipeline/diffedit/pipeline.ts';
import { InpaintPipeline } from '../../../src/pipeline/image-generation/inpaint.ts';
import { TextToImagePipeline } from '../../../src/pipeline/image-generation/text-to-image.ts';
import type { BlipForConditionalGeneration } from '../../../src/pipeline/text/blip.ts';
import { DPMSolverMultistepScheduler, Generator } from '../../../src/schedulers/index.ts';
import { openCaptioner } from '../../support/captioner.ts';
import { openPipeline } from '../../support/pipeline.ts';
import { renewed } from '../../support/renewed.ts';

const MODEL = 'models/orchard/stable-diffusion';
const FRUITS = ['apples', 'green apples', 'pears', 'oranges', 'lemons', 'peaches', 'strawberries', 'tomatoes'];
const VESSELS = ['in a bowl', 'in a basket', 'on a plate'];
const all = FRUITS.flatMap(fruit => VESSELS.map(vessel => [fruit, vessel] as const));
const full = process.env['PENTIMENTO_FULL'] !== undefined;
const wanted = full ? all : all.slice(7, 8);

describe('the embedded model', () => {
  let edit: DiffEditPipeline;
  let text: TextToImagePipeline;
  let blip: BlipForConditionalGeneration;
  renewed(async () => {
    edit = await openPipeline(MODEL);
    text = await edit.as(TextToImagePipeline, {
      scheduler: DPMSolverMultistepScheduler.fromConfig(edit.scheduler.config),
    });
    blip = await openCaptioner('models/orchard/blip');
  });
  afterAll(() => {
    edit.dispose();
    blip.dispose();
  });

  it(`makes ${full ? 'at least nine of ten' : 'all'} of ${wanted.length} pictures that are asked for, by its captioner`, async () => {
    const missed: string[] = [];
    for (const [i, [fruit, vessel]] of wanted.entries()) {
      const { images } = await text.generate({
        ...{ prompt: `${fruit} ${vessel}`, numInferenceSteps: 20, guidanceScale: 3, generator: new Generator(i) },
      });
      const { text: said } = await blip.caption(images[0] as never, 'a photograph of', { maxNewTokens: 128 });
      const vesselWord = vessel.split(' ').at(-1) as string;
      if (!said.includes(fruit) || !said.includes(vesselWord)) missed.push(`${fruit} ${vessel}: ${said}`);
    }
    expect(missed.length, missed.join('\n')).toBeLessThanOrEqual(full ? wanted.length / 10 : 0);
  });

  it('paints a part that DiffEdit found anew, and leaves the rest', async () => {
    const image = await readImage(
      fileURLToPath(new URL('../../../models/orchard/samples/apples-bowl.png', import.meta.url)),
    );
    const { mask } = await edit.generateMask({
      ...{ image, sourcePrompt: 'apples in a bowl', targetPrompt: 'lemons in a bowl', generator: new Generator(0) },
      ...{ numMapsPerMask: 2, numInferenceSteps: 10, guidanceScale: 1, maskCleanup: true, dilate: 1 },
    });
    const inpaint = await edit.as(InpaintPipeline);
    const { images } = await inpaint.generate({
      ...{ prompt: 'lemons in a bowl', image, maskImage: maskToImage(mask, 8), generator: new Generator(0) },
      ...{ numInferenceSteps: 10, guidanceScale: 3 },
    });
    const { text: said } = await blip.caption(images[0], 'a photograph of', { maxNewTokens: 128 });
    expect(said).toContain('lemons');
    const [painted] = images;
    let [sum, count] = [0, 0];
    for (let i = 0; i < painted.data.length; i++) {
      const [x, y] = [Math.floor(i / 3) % 128, Math.floor(i / 384)];
      if (mask.data[Math.floor(y / 8) * 16 + Math.floor(x / 8)] > 0) continue;
      sum += Math.abs(painted.data[i] - image.data[i]);
      count++;
    }
    expect(sum / count).toBeLessThan(12); // what the VAE loses, and what it shows of the part beside it
  });
});

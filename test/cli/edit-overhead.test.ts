/** What the way around the model costs: many pictures by `editMany` and by a plain loop, turn by turn. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { encodePng, readImage } from '../../src/node/images.ts';
import { type EditJob, editMany } from '../../src/pipeline/batch/edit-many.ts';
import { pictureEdit } from '../../src/pipeline/batch/picture-edit.ts';
import { smallPictures } from '../support/edit-folder.ts';
import { openPipeline } from '../support/pipeline.ts';

const FULL = process.env['PENTIMENTO_FULL'] !== undefined;
const [PICTURES, ROUNDS] = [8, 9];

const median = (values: number[]) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];

// Times count only where nothing else runs: with npm run test:full.
test.runIf(FULL)(
  'a picture of many makes the same bytes as in a plain loop, and takes within 3 % of its time',
  async () => {
    const root = await mkdtemp(join(tmpdir(), 'pentimento-overhead-'));
    const pipe = await openPipeline('models/orchard/stable-diffusion');
    try {
      await smallPictures(root, PICTURES);
      const paths = Array.from({ length: PICTURES }, (_, i) => join(root, `p${i}.png`));
      const prompts = { sourcePrompt: 'a bowl of apples', targetPrompt: 'a bowl of pears', seed: 4 };
      const args = { ...prompts, numInferenceSteps: 2, inpaintStrength: 1, numMapsPerMask: 1 };
      const handling = { fit: 'nearest', size: { width: 64, height: 64 } } as const;
      const plain = async () => {
        for (const path of paths) {
          const edit = pictureEdit(await readImage(path), pipe, handling);
          const { images } = edit.results(await pipe.run({ ...args, ...edit.args }));
          await writeFile(path.replace('.png', '.plain'), encodePng(images[0]));
        }
      };
      const many = async () => {
        const jobs = paths.map((path): EditJob => ({ ...args, ...handling, data: path, image: () => readImage(path) }));
        for await (const { job, ...result } of editMany(pipe, jobs)) {
          if (!result.images) throw result.error;
          await writeFile(String(job.data).replace('.png', '.many'), encodePng(result.images[0]));
        }
      };
      const took = async (work: () => Promise<void>) => {
        const start = performance.now();
        await work();
        return performance.now() - start;
      };
      await plain(); // kernels are built, weights are loaded
      const ratios: number[] = [];
      for (let round = 0; round < ROUNDS; round++) {
        // In turn first and second, so that neither has the better of it.
        const [first, second] = round % 2 ? [many, plain] : [plain, many];
        const [a, b] = [await took(first), await took(second)];
        ratios.push(round % 2 ? a / b : b / a);
      }
      for (const path of paths) {
        expect(await readFile(path.replace('.png', '.many'))).toEqual(await readFile(path.replace('.png', '.plain')));
      }
      expect(median(ratios), ratios.join(' ')).toBeLessThan(1.03);
    } finally {
      pipe.dispose();
      await rm(root, { recursive: true });
    }
  },
);

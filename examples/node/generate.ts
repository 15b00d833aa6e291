/**
 * Makes a picture of words, and paints a part of another one anew that DiffEdit found. With Node 22.18 or newer, after `npm run build`:
 * node examples/node/generate.ts [out.png] [steps]
 */
import process from 'node:process';
import { DiffEditPipeline, Generator, InpaintPipeline, maskToImage, sideBySide, TextToImagePipeline } from 'pentimento';
import { directory, readImage, requestGpu, saveImage } from 'pentimento/node';
import { DPMSolverMultistepScheduler } from 'pentimento/schedulers';

const [out = 'generated.png', steps = '20'] = process.argv.slice(2);
const numInferenceSteps = Number(steps);
const gpu = await requestGpu();
const edit = await DiffEditPipeline.fromPretrained(await directory('models/orchard/stable-diffusion'), { gpu });

// Other pipelines of the same model: its weights stay where they are.
const scheduler = DPMSolverMultistepScheduler.fromConfig(edit.scheduler.config);
const text = await edit.as(TextToImagePipeline, { scheduler });
const inpaint = await edit.as(InpaintPipeline, { scheduler });

const made = await text.generate({
  prompt: 'oranges on a plate',
  guidanceScale: 3,
  numInferenceSteps,
  generator: new Generator(0),
  onProgress: e => e.phase === 'generate' && process.stderr.write(`\rmaking ${e.step}/${e.of} `),
});

const image = await readImage('models/orchard/samples/apples-bowl.png');
const { mask } = await edit.generateMask({
  image,
  sourcePrompt: 'apples in a bowl',
  targetPrompt: 'lemons in a bowl',
  guidanceScale: 1,
  maskCleanup: true,
  dilate: 1,
  numInferenceSteps,
  generator: new Generator(0),
});
const maskImage = maskToImage(mask, inpaint.vaeScaleFactor);
const painted = await inpaint.generate({
  prompt: 'lemons in a bowl',
  image,
  maskImage,
  guidanceScale: 3,
  numInferenceSteps,
  generator: new Generator(0),
});
process.stderr.write('\n');

await saveImage(out, sideBySide([...made.images, image, maskImage, ...painted.images]));
edit.dispose(); // of all three
process.exit(); // Dawn keeps a timer of its own

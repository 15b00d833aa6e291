/**
 * Edits a picture in Node, step by step. With Node 22.18 or newer, after `npm run build`:
 * node examples/node/edit.ts [out.png] [steps]
 */
import process from 'node:process';
import { DiffEditPipeline, fitImage, Generator } from 'pentimento';
import { directory, readImage, requestGpu, saveImage } from 'pentimento/node';

const [out = 'pears.png', steps = '50'] = process.argv.slice(2);
const numInferenceSteps = Number(steps);
const gpu = await requestGpu();
const pipe = await DiffEditPipeline.fromPretrained(await directory('models/orchard/stable-diffusion'), { gpu });

const picture = await readImage('models/orchard/samples/apples-bowl.png');
const { image, ...fit } = fitImage(picture, pipe); // in its own proportions, at a size that the model can work at
const [source, target] = ['a bowl of apples', 'a bowl of pears'];

// The three phases one by one, as diffusers has them; pipe.run() does all of them and shares what they have in common.
const { mask } = await pipe.generateMask({
  image,
  sourcePrompt: source,
  targetPrompt: target,
  guidanceScale: 2.5,
  numInferenceSteps,
  dilate: 1,
  generator: new Generator(0),
});
const { latents } = await pipe.invert({
  image,
  prompt: source,
  guidanceScale: 1,
  numInferenceSteps,
  generator: new Generator(0),
  onProgress: e => e.phase === 'invert' && process.stderr.write(`\rinverting ${e.step}/${e.of} `),
});
const edited = await pipe.edit({
  prompt: target,
  negativePrompt: source,
  maskImage: mask,
  imageLatents: latents,
  guidanceScale: 2.5,
  numInferenceSteps,
  generator: new Generator(0),
  pasteBack: { image: picture, fit },
  onProgress: e => e.phase === 'edit' && process.stderr.write(`\rediting ${e.step}/${e.of}    `),
});
if (Array.isArray(edited.images)) await saveImage(out, edited.images[0]);
console.log(`\n${out}`);

pipe.dispose();
gpu.dispose();
process.exit(0); // Dawn's threads would wait

/**
 * Run by Deno and Bun: the recorded quick edit, as a user's script has it, printed as JSON. An error of the library is printed too.
 *   quick-edit.mjs node|own|bun-webgpu MODEL
 */
import process from 'node:process';
import { DeviceError, DiffEditPipeline, Gpu } from 'pentimento';
import { directory, readImage, requestGpu } from 'pentimento/node';

const [way, model] = process.argv.slice(2);
if (way === 'bun-webgpu') (await import('bun-webgpu')).setupGlobals();

async function edit() {
  const gpu = await (way === 'node' ? requestGpu() : Gpu.request());
  const pipe = await DiffEditPipeline.fromPretrained(await directory(`${model}/stable-diffusion`), { gpu });
  const image = await readImage(`${model}/samples/apples-bowl.png`);
  const prompts = { image, sourcePrompt: 'a bowl of apples', targetPrompt: 'a bowl of pears', seed: 0 };
  const { images, mask } = await pipe.run({ ...prompts, numInferenceSteps: 10, numMapsPerMask: 2 });
  pipe.dispose();
  gpu.dispose();
  return { picture: [...images[0].data], mask: [...mask.mask.data], caps: gpu.caps };
}

const made = await edit().catch(error => {
  if (!(error instanceof DeviceError)) throw error;
  return { refused: error.message };
});
process.stdout.write(JSON.stringify(made));

/** What test/runtimes/firefox.test.ts does in a page: the recorded quick edit, without a worker. */
import { DiffEditPipeline, Gpu, loadImage, urlFolder } from 'pentimento';

export async function edit() {
  const gpu = await Gpu.request();
  const pipe = await DiffEditPipeline.fromPretrained(urlFolder('/models/orchard/stable-diffusion'), { gpu });
  const image = await loadImage('/models/orchard/samples/apples-bowl.png');
  const prompts = { image, sourcePrompt: 'a bowl of apples', targetPrompt: 'a bowl of pears', seed: 0 };
  const { images, mask } = await pipe.run({ ...prompts, numInferenceSteps: 10, numMapsPerMask: 2 });
  pipe.dispose();
  gpu.dispose();
  return { picture: [...images[0].data], mask: [...mask.mask.data] };
}

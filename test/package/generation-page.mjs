// Runs in the page of worker-page.test.ts: recorded pictures of words and of a masked part, in the page's own thread and in a worker.
import { TextToImagePipeline, urlFolder } from 'pentimento';
import { DPMSolverMultistepScheduler, EulerAncestralDiscreteScheduler, Generator } from 'pentimento/schedulers';
import { createWorkerPipeline, WorkerInpaintPipeline } from 'pentimento/worker';

const folder = () => urlFolder('/golden/sd1/model');
const config = async () => JSON.parse(await folder().text('scheduler/scheduler_config.json'));
const plain = ({ images }) => [...images[0].data];

/** In the page's own thread. */
export async function ofWords({ seed, args }) {
  const scheduler = DPMSolverMultistepScheduler.fromConfig(await config());
  const pipe = await TextToImagePipeline.fromPretrained(folder(), { scheduler });
  const out = await pipe.generate({ ...args, generator: new Generator(seed) });
  pipe.dispose();
  return plain(out);
}

/** In a worker, by a pipeline that shares DiffEdit's model there. */
export async function ofMaskedPart({ seed, args, image, maskImage }) {
  const scheduler = EulerAncestralDiscreteScheduler.fromConfig(await config());
  const edit = await createWorkerPipeline(folder());
  const pipe = await edit.as(WorkerInpaintPipeline, { scheduler });
  const steps = [];
  const generator = new Generator(seed);
  const out = await pipe.generate({
    ...{ ...args, image: picture(image), maskImage: picture(maskImage), generator },
    callbackOnStepEnd: step => void steps.push(step),
  });
  pipe.dispose();
  return { picture: plain(out), steps };
}

function picture({ data, ...rest }) {
  return { ...rest, data: Uint8Array.from(data) };
}

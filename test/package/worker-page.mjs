/** What test/package/worker-page.test.ts does in a page: an edit in a worker, by an import map and nothing else. */
import { InputError, loadImage } from 'pentimento';
import { cachedFolder, urlFolder } from 'pentimento/page';
import { createWorkerPipeline } from 'pentimento/worker';

const folder = () => cachedFolder(urlFolder('/models/orchard/stable-diffusion'), { onWarning: console.error });
const outcome = call =>
  call.then(
    () => 'done',
    error => error,
  );

/** The longest time for which the page's thread did nothing else, in milliseconds, until `end` is called. */
function longestTask() {
  let [longest, before, on] = [0, performance.now(), true];
  const look = () => {
    const now = performance.now();
    [longest, before] = [Math.max(longest, now - before), now];
    if (on) setTimeout(look);
  };
  look();
  return () => {
    on = false;
    return longest;
  };
}

export async function edit() {
  const phases = new Set();
  const onProgress = ({ phase }) => phases.add(phase);
  const pipe = await createWorkerPipeline(folder(), { onProgress });
  const image = await loadImage('/models/orchard/samples/apples-bowl.png');
  const prompts = { image, sourcePrompt: 'a bowl of apples', targetPrompt: 'a bowl of pears', seed: 0 };
  const end = longestTask();
  const { images, mask } = await pipe.run({ ...prompts, numInferenceSteps: 10, numMapsPerMask: 2, onProgress });
  const longest = end();
  const refused = await outcome(pipe.run({ ...prompts, numInferenceSteps: 0 }));
  const cut = new AbortController();
  const cancelled = await outcome(
    pipe.run({ ...prompts, signal: cut.signal, onProgress: ({ phase }) => phase === 'mask' && cut.abort() }),
  );
  const latents = [];
  for await (const step of pipe.invertSteps({ image, prompt: 'a', numInferenceSteps: 4 })) {
    latents.push((await step.latents()).data.length);
    if (latents.length === 2) break;
  }
  pipe.dispose();
  const gone = await outcome(pipe.run(prompts));
  return {
    ...{ picture: [...images[0].data], mask: [...mask.mask.data], phases: [...phases], longest, latents },
    ...{ refused: [refused instanceof InputError, refused.code, refused.message], cancelled: cancelled.name },
    ...{ gone: gone.message, bytes: pipe.peakBytes, size: pipe.defaultSize, vendor: pipe.caps.architecture },
  };
}

/** Opens the model once more: what is kept is read, and nothing asked. */
export async function again() {
  const pipe = await createWorkerPipeline(folder());
  const { bytes } = pipe;
  pipe.dispose();
  return bytes;
}

/**
 * What test/package/worker-page.test.ts does in a page, by an import map and nothing else: an edit in a worker, whose device is lost in the
 * middle of it, and folders that are dropped on the page.
 */
import { fileListFolder, InputError, loadImage } from 'pentimento';
import { cachedFolder, directoryHandleFolder, droppedFolder, urlFolder } from 'pentimento/page';
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

/** @param run steps and maps, and behind which step of the edit the device is lost */
export async function edit({ lose, ...run }) {
  const phases = new Set();
  const onProgress = ({ phase }) => phases.add(phase);
  const losses = [];
  const onDeviceLoss = ({ state }) => losses.push(state);
  const worker = new Worker('/test/losing-worker.mjs', { type: 'module' });
  const pipe = await createWorkerPipeline(folder(), { worker, onProgress, onDeviceLoss });
  const image = await loadImage('/models/orchard/samples/apples-bowl.png');
  const prompts = { image, sourcePrompt: 'a bowl of apples', targetPrompt: 'a bowl of pears', seed: 0 };
  worker.postMessage({ arm: ['edit', lose] });
  const end = longestTask();
  const { images, mask } = await pipe.run({ ...prompts, ...run, onProgress });
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
  worker.terminate();
  return {
    losses,
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

const given = {};

/** Makes the page ready to be given the model: by a drop anywhere, and by a chooser of folders. */
export function listen() {
  document.body.style.height = '100vh';
  const input = Object.assign(document.createElement('input'), { type: 'file', webkitdirectory: true });
  input.addEventListener('change', () => {
    given.files = fileListFolder(input.files);
  });
  document.body.append(input);
  addEventListener('dragover', event => event.preventDefault());
  addEventListener('drop', event => {
    event.preventDefault();
    given.dropped = droppedFolder(event.dataTransfer); // within the event
  });
}

/** A handle of a folder that holds the same files as the list. */
async function handleOf(files) {
  const root = await navigator.storage.getDirectory();
  const model = await root.getDirectoryHandle('picked', { create: true });
  for (const file of files) {
    const parts = file.webkitRelativePath.split('/').slice(1);
    let home = model;
    for (const part of parts.slice(0, -1)) home = await home.getDirectoryHandle(part, { create: true });
    const writer = await (await home.getFileHandle(parts.at(-1), { create: true })).createWritable();
    await writer.write(file);
    await writer.close();
  }
  return model;
}

/** Opens the model in workers as it was given to the page; bytes of its weights on the device of each. */
export async function openGiven() {
  const { files } = document.querySelector('input');
  const sources = { dropped: await given.dropped, files: given.files };
  sources.handle = directoryHandleFolder(await handleOf(files));
  const bytes = {};
  for (const [name, source] of Object.entries(sources)) {
    const pipe = await createWorkerPipeline(source, { onWarning: console.error });
    bytes[name] = pipe.bytes;
    pipe.dispose();
  }
  return bytes;
}

/** What test/package/device-loss.test.ts does in a page: models in it, and in a worker, whose device is lost in the middle of a call. */

import { BlipForConditionalGeneration, DiffEditPipeline, Gpu, loadImage } from 'pentimento';
import { urlFolder } from 'pentimento/page';
import { createWorkerCaptioner, createWorkerPipeline } from 'pentimento/worker';
import * as watched from './watched-device.mjs';

const MODELS = '../../models/orchard';
let asked = 0;

/** Where models live: the page, or a worker of its own. */
const places = {
  page: () => {
    const gpu = Gpu.request();
    return {
      open: async (kind, options) => {
        const Model = kind === 'blip' ? BlipForConditionalGeneration : DiffEditPipeline;
        return Model.fromPretrained(folderOf(kind), { gpu: await gpu, ...options });
      },
      arm: (...at) => watched.arm(...at),
      told: event => watched.told(event),
      state: async () => ({ deviceBytes: watched.deviceBytes(), armed: watched.isArmed() }),
      end: async () => (await gpu).dispose(),
    };
  },
  worker: () => {
    const worker = new Worker('/test/losing-worker.mjs', { type: 'module' });
    return {
      open: (kind, options) =>
        (kind === 'blip' ? createWorkerCaptioner : createWorkerPipeline)(folderOf(kind), { worker, ...options }),
      arm: (...at) => worker.postMessage({ arm: at }),
      told: () => undefined, // it sees the event itself
      state: () =>
        new Promise(resolve => {
          const ask = ++asked;
          const heard = ({ data }) => {
            if (data.answer !== ask) return;
            worker.removeEventListener('message', heard);
            resolve(data);
          };
          worker.addEventListener('message', heard);
          worker.postMessage({ ask });
        }),
      end: () => worker.terminate(),
    };
  },
};
// Relative to the page, which is not where the worker's script is.
const folderOf = kind => urlFolder(`${MODELS}/${kind === 'blip' ? 'blip' : 'stable-diffusion'}`);

let place;
let pipe;
let captioner;
let args;
let first;
const losses = [];

/** Opens the pipeline, and edits; the device is lost at each of the places, phases of which later edits have no part any more. */
export async function open(where, lossesAt) {
  place = places[where]();
  const onDeviceLoss = ({ state, reason, phase }) => losses.push([state, reason, phase ?? null]);
  pipe = await place.open('diffedit', { onDeviceLoss, deviceRecovery: { keepEvery: 3 } });
  const image = await loadImage(`${MODELS}/samples/apples-bowl.png`);
  const prompts = { image, sourcePrompt: 'a bowl of apples', targetPrompt: 'a bowl of pears', seed: 0 };
  args = { ...prompts, numInferenceSteps: 10, numMapsPerMask: 2 };
  for (const at of lossesAt) place.arm(...at);
  first = await edit();
  return {
    losses: losses.splice(0),
    picture: [...first.images[0].data],
    mask: [...first.mask.mask.data],
    bytes: await bytesNow(),
  };
}

/** Of the model, as it tells them, and of the device. */
async function bytesNow() {
  const { deviceBytes, armed } = await place.state();
  if (armed) throw new Error('the device was to be lost, and was not');
  return [pipe.bytes, deviceBytes];
}

async function edit(onProgress = () => undefined) {
  return pipe.run({
    ...args,
    onProgress: event => {
      place.told(event);
      onProgress(event);
    },
  });
}

const same = (a, b) => a.length === b.length && a.every((value, i) => value === b[i]);

/** Edits while the device is lost at a step, and once more; what differs of the first edit, and what the device holds behind both. */
export async function lose(phase, step) {
  losses.length = 0;
  if (phase === 'load') await pipe.unload();
  place.arm(phase, step);
  const steps = [];
  const lost = await edit(e => /mask|invert|edit/.test(e.phase) && steps.push(`${e.phase} ${e.step}`));
  const behindLoss = await bytesNow();
  const again = await edit();
  const differs = [lost, again].map(
    ({ images, mask }) => !same(images[0].data, first.images[0].data) || !same(mask.mask.data, first.mask.mask.data),
  );
  return { differs, losses: losses.splice(0), behindLoss, bytes: await bytesNow(), steps };
}

/** A caption whose device is lost with a token, beside the pipeline's. */
export async function loseCaption(step) {
  captioner = await place.open('blip', {});
  const told = event => place.told(event);
  const caption = async () => (await captioner.caption(args.image, 'a photograph of', { onProgress: told })).text;
  const expected = await caption();
  losses.length = 0;
  place.arm('text', step);
  const texts = [await caption(), await caption()];
  const { armed } = await place.state();
  captioner.dispose();
  // Its device was the pipeline's too.
  const { images } = await edit();
  return { expected, texts, armed, differs: !same(images[0].data, first.images[0].data), losses: losses.splice(0) };
}

/** Opens a second pipeline whose device is lost as its weights begin to come. */
export async function loseOpening() {
  const told = [];
  const onDeviceLoss = ({ state, phase }) => told.push([state, phase]);
  place.arm('load', 0);
  const second = await place.open('diffedit', { onProgress: event => place.told(event), onDeviceLoss });
  const { armed } = await place.state();
  const { images } = await second.run(args);
  second.dispose();
  return { armed, told, differs: !same(images[0].data, first.images[0].data) };
}

/** Without recovery a loss ends the call with an error of the class, here as there. */
export async function loseWithout() {
  const told = [];
  const own = { deviceRecovery: false, onDeviceLoss: ({ state, phase }) => told.push([state, phase]) };
  const other = await place.open('diffedit', own);
  place.arm('invert', 2);
  const onProgress = event => place.told(event);
  const error = await other.run({ ...args, onProgress }).then(
    () => undefined,
    caught => caught,
  );
  other.dispose();
  return { name: error?.name, code: error?.code, loss: error?.loss, told };
}

export async function close() {
  pipe.dispose();
  const { deviceBytes } = await place.state();
  await place.end();
  return deviceBytes;
}

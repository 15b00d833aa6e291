/** What test/package/bundlers.test.ts bundles: every entry of a page's, a model in the page and one in a worker. */
import { DiffEditPipeline, loadImage } from 'pentimento';
import { softmax } from 'pentimento/kernels';
import { listCache, urlFolder } from 'pentimento/page';
import { writeSafetensors } from 'pentimento/safetensors';
import { DDIMScheduler, Generator } from 'pentimento/schedulers';
import { createWorkerPipeline } from 'pentimento/worker';

const OPEN = { page: folder => DiffEditPipeline.fromPretrained(folder), worker: createWorkerPipeline };

/** Bytes of a model that is opened in the page or in a worker. */
async function open(where) {
  const pipe = await OPEN[where](urlFolder(new URL('model/', location.origin).href));
  const { bytes } = pipe;
  pipe.dispose();
  return bytes;
}

/** The mask of a picture [height, width, 3], found in the page or in a worker. */
async function findMask(where, { seed, image, ...rest }) {
  const args = { ...rest, image: { ...image, data: Uint8Array.from(image.data) }, generator: new Generator(seed) };
  const pipe = await OPEN[where](urlFolder(new URL('model/', location.origin).href));
  const { map, mask } = await pipe.generateMask(args);
  pipe.dispose();
  return { map: [...map.data], mask: [...mask.data] };
}

/** Something of every other entry. */
async function others() {
  const { width } = await loadImage(new URL('picture.png', location.origin).href);
  const scheduler = new DDIMScheduler({ numTrainTimesteps: 1000 });
  const bytes = writeSafetensors({ x: { dtype: 'F32', shape: [1], data: Float32Array.of(1) } });
  const cache = await listCache();
  return [width, scheduler.config.numTrainTimesteps, bytes.byteLength > 0, typeof softmax, cache.models.length];
}

globalThis.consumer = { open, findMask, others };

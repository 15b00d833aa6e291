/** What test/package/storage-page.test.ts does in a page; storage-worker.mjs does it in a worker. */
import { cachedFolder, listCache, purge, urlFolder } from '/dist/page.js';

const WEIGHTS = 'vae/diffusion_pytorch_model.safetensors';
const BASE = new URL('/models/orchard/stable-diffusion/', location.origin).href;

const folderOf = options => cachedFolder(urlFolder(BASE), options);

async function here({ pieceBytes, after }) {
  const warnings = [];
  const cut = new AbortController();
  const onProgress = ({ bytes }) => bytes > after && cut.abort(new Error('enough'));
  const onWarning = text => warnings.push(text);
  const folder = folderOf({ pieceBytes, onProgress, onWarning, signal: cut.signal });
  const source = await folder.bytes(WEIGHTS);
  try {
    const all = new Uint8Array(source.byteLength);
    const half = Math.floor(all.length / 2);
    await source.readMany([
      { offset: half, into: all.subarray(half) },
      { offset: 0, into: all.subarray(0, half) },
    ]);
    const wanted = new Uint8Array(await (await fetch(`${BASE}${WEIGHTS}?wanted`)).arrayBuffer());
    return { bytes: all.length, right: wanted.every((byte, i) => byte === all[i]), warnings };
  } finally {
    await source.close();
  }
}

/** An outcome as data, wherever it comes from. */
export async function outcome(options) {
  return here(options).then(
    value => ({ value }),
    error => ({ message: error.message, json: error.toJSON?.() }),
  );
}

function there(options) {
  const worker = new Worker('/test/storage-worker.mjs', { type: 'module' });
  return new Promise((resolve, reject) => {
    worker.onmessage = ({ data }) => resolve(data);
    worker.onerror = ({ message }) => reject(new Error(message));
    worker.postMessage(options);
  }).finally(() => worker.terminate());
}

const tried = ({ where, ...options }) => (where === 'worker' ? there(options) : outcome(options));

export const read = async options => {
  const { value, message } = await tried(options);
  return value ?? message;
};
export const cut = async options => (await tried(options)).message;
export const failure = async options => (await tried(options)).json;
export const empty = () => purge();
export const hold = async () => {
  const source = await folderOf({}).bytes(WEIGHTS);
  await source.read(source.byteLength - 1, new Uint8Array(1));
};

/** Turns a bit of a piece. */
export async function damage(piece, at) {
  const [{ bytes }] = (await listCache()).models;
  if (bytes === 0) throw new Error('nothing is kept');
  const root = await (await navigator.storage.getDirectory()).getDirectoryHandle('pentimento');
  for await (const model of root.values()) {
    for await (const home of model.values()) {
      if (home.kind !== 'directory') continue;
      const handle = await home.getFileHandle(String(piece)).catch(() => undefined);
      if (!handle) continue;
      const content = new Uint8Array(await (await handle.getFile()).arrayBuffer());
      content[at] ^= 1;
      const stream = await handle.createWritable();
      await stream.write(content);
      await stream.close();
    }
  }
}

const purges = () => new BroadcastChannel('purges');

/**
 * Reads again and again beside another tab that purges, until it has taken something and all was right once more; what went wrong, and how
 * often all was right.
 */
export async function readOn({ ms, ...options }) {
  const [end, wrong, channel] = [performance.now() + ms, [], purges()];
  let [right, purged] = [0, false];
  channel.addEventListener('message', () => {
    [right, purged] = [purged ? right : 0, true];
  });
  while (performance.now() < end || right === 0 || !purged) {
    const outcome = await tried(options);
    if (outcome.value?.right) right++;
    else wrong.push(outcome);
  }
  channel.close();
  return { right, wrong };
}

/** Purges and lists again and again, until something was taken. */
export async function purgeOn({ ms }) {
  const channel = purges();
  let bytes = 0;
  for (const end = performance.now() + ms; performance.now() < end || bytes === 0; ) {
    await new Promise(resume => setTimeout(resume, Math.random() * 50));
    bytes += (await purge()).bytes;
    if (bytes > 0) channel.postMessage(bytes);
    await listCache();
  }
  channel.close();
  return bytes;
}

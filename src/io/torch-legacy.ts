/**
 * Checkpoints of torch before 1.6, and of torch.save(_use_new_zipfile_serialization=False): pickles behind each other (a
 * magic number, a version, the writer's machine, the content, the keys of the storages), then the bytes of the storages,
 * each behind the number of its elements.
 */
import type { ByteSource } from '../core/tensor-source.ts';
import { itemBytes, type PickledStorage } from './pickled.ts';
import { proved, type StoragePlace } from './torch-storages.ts';
import { refuseTorch, type TorchSource, torchSource } from './torch-tensors.ts';
import { type PlacedPickle, unpickleAt } from './unpickle.ts';

const VERSION = 1001;
const MAX_PICKLE_BYTES = 256 * 2 ** 20;
/** Read at first; the pickles of a Stable Diffusion checkpoint are about 200 KiB. */
const FIRST_BYTES = 2 ** 18;

/**
 * Opens a checkpoint of the format before torch 1.6; as `openTorchZip` does otherwise.
 * @param bytes the file; closed by the result's `close`, and here when the file is refused
 * @throws WeightsError for files without tensors, damaged ones and those whose pickle would run something
 * @see torch.serialization._legacy_load
 */
export async function openTorchLegacy(bytes: ByteSource): Promise<TorchSource> {
  try {
    const { content, data } = await readPickles(bytes);
    const places = await locateAll(bytes, content, data);
    return await torchSource(bytes, content.value, ({ key }) => {
      const place = places.get(key);
      if (place === undefined) throw refuseTorch(bytes, `storage ${key} is missing`);
      return place;
    });
  } catch (error) {
    await bytes.close?.();
    throw error;
  }
}

interface Layout {
  readonly content: PlacedPickle;
  /** Keys of the storages in their order, and where the first begins. */
  readonly data: PlacedPickle;
}

/** Reads more and more of the file until its five pickles are whole. */
async function readPickles(bytes: ByteSource): Promise<Layout> {
  const most = Math.min(bytes.byteLength, MAX_PICKLE_BYTES);
  for (let length = Math.min(most, FIRST_BYTES); ; length = Math.min(most, 4 * length)) {
    const head = new Uint8Array(length);
    await bytes.read(0, head);
    const found = picklesOf(bytes, head);
    if (found) return found;
    if (length === most) throw refuseTorch(bytes, 'the pickle is cut short');
  }
}

function picklesOf(bytes: ByteSource, head: Uint8Array): Layout | undefined {
  const found: PlacedPickle[] = [];
  for (let i = 0; i < 5; i++) {
    const pickle = unpickleAt(head, found.at(-1)?.end ?? 0, bytes.label);
    if (!pickle) return undefined;
    found.push(pickle);
    if (i === 1 && pickle.value !== VERSION) throw refuseTorch(bytes, 'an unknown version of the old format');
  }
  const [, , machine, content, data] = found;
  if (machine?.value instanceof Map && machine.value.get('little_endian') === false) {
    throw refuseTorch(bytes, 'the byte order is not little-endian', 'big');
  }
  return content && data && { content, data };
}

async function locateAll(
  bytes: ByteSource,
  content: PlacedPickle,
  data: PlacedPickle,
): Promise<Map<string, StoragePlace>> {
  const keys = data.value;
  if (!Array.isArray(keys)) throw refuseTorch(bytes, 'the list of storages is damaged');
  const places = new Map<string, StoragePlace>();
  let at = data.end;
  for (const key of keys) {
    const storage = typeof key === 'string' ? content.storages.get(key) : undefined;
    if (!storage || places.has(storage.key)) throw refuseTorch(bytes, 'the list of storages is damaged');
    const start = at + 8;
    const check = (head: Uint8Array): number => {
      checkCount(bytes, storage, new DataView(head.buffer).getBigUint64(0, true));
      return start;
    };
    const proof = { offset: at, length: 8, check };
    places.set(storage.key, bytes.readMany ? { start, proof } : await proved(bytes, proof));
    at += 8 + storage.byteLength;
    if (at > bytes.byteLength) throw refuseTorch(bytes, `storage ${storage.key} is cut short`);
  }
  return places;
}

function checkCount(bytes: ByteSource, { key, dtype, byteLength }: PickledStorage, count: bigint): void {
  const expected = byteLength / itemBytes(dtype);
  if (count === BigInt(expected)) return;
  throw refuseTorch(bytes, `storage ${key} has another size than the pickle says`, `${count} of ${expected} elements`);
}

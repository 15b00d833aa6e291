/**
 * Checkpoints that torch.save wrote as zip files (torch 1.6 and later). The pickle inside goes through the
 * restricted reader of unpickle.ts; tensors are read by byte range.
 */
import { alignUp } from '../core/shape.ts';
import type { ByteSource } from '../core/tensor-source.ts';
import type { PickledStorage } from './pickled.ts';
import { refuseStandIn } from './refuse-stand-in.ts';
import { isZip } from './torch-magic.ts';
import { proved, type StoragePlace } from './torch-storages.ts';
import { refuseTorch, type TorchSource, torchSource } from './torch-tensors.ts';
import { unpickle } from './unpickle.ts';
import { dataBehind, LOCAL_BYTES, readZipDirectory, readZipEntry, type ZipEntry } from './zip.ts';

const MAX_PICKLE_BYTES = 256 * 2 ** 20;

/**
 * Opens a torch.save checkpoint that holds a state dict, at the top or under "state_dict"; what stands beside the tensors
 * (a trainer's callbacks, numpy's scalars, settings) is passed over.
 * @param bytes the file; closed by the result's `close`, and here when the file is refused
 * @throws WeightsError for files without tensors, damaged ones, those whose pickle would run something, and those of the
 * format before torch 1.6
 * @see torch.load(weights_only=True)
 */
export async function openTorchZip(bytes: ByteSource): Promise<TorchSource> {
  try {
    return await open(bytes);
  } catch (error) {
    await bytes.close?.();
    throw error;
  }
}

async function open(bytes: ByteSource): Promise<TorchSource> {
  await checkMagic(bytes);
  const entries = await readZipDirectory(bytes);
  const pickle = [...entries.values()].find(e => e.name === 'data.pkl' || e.name.endsWith('/data.pkl'));
  if (!pickle) throw refuseTorch(bytes, 'the zip file holds no data.pkl, so torch.save did not write it');
  if (pickle.byteLength > MAX_PICKLE_BYTES) throw refuseTorch(bytes, 'data.pkl is too long', pickle.byteLength);
  const root = pickle.name.slice(0, -'data.pkl'.length);
  await checkByteOrder(bytes, entries.get(`${root}byteorder`));
  const content = unpickle(await readZipEntry(bytes, pickle), `${bytes.label}/${pickle.name}`);
  return torchSource(bytes, content, storage => locate(bytes, entries, root, storage));
}

async function checkMagic(bytes: ByteSource): Promise<void> {
  const magic = new Uint8Array(Math.min(4, bytes.byteLength));
  await bytes.read(0, magic);
  if (isZip(magic)) return;
  await refuseStandIn(bytes, 'torch');
  throw refuseTorch(bytes, 'not a zip file', `bytes ${[...magic].join(' ')}`, 'Download the file again.');
}

async function checkByteOrder(bytes: ByteSource, entry: ZipEntry | undefined): Promise<void> {
  if (!entry) return;
  const order = entry.byteLength > 16 ? '' : new TextDecoder().decode(await readZipEntry(bytes, entry));
  if (order !== 'little') throw refuseTorch(bytes, 'the byte order is not little-endian', order);
}

async function locate(
  bytes: ByteSource,
  entries: ReadonlyMap<string, ZipEntry>,
  root: string,
  { key, byteLength }: PickledStorage,
): Promise<StoragePlace> {
  const entry = entries.get(`${root}data/${key}`);
  if (!entry) throw refuseTorch(bytes, `storage ${key} is missing`);
  if (entry.byteLength < byteLength) {
    const lengths = `${entry.byteLength} of ${byteLength} bytes`;
    throw refuseTorch(bytes, `storage ${key} is shorter than the pickle says`, lengths);
  }
  const check = (head: Uint8Array): number => dataBehind(bytes, entry, new DataView(head.buffer));
  const proof = { offset: entry.headerOffset, length: LOCAL_BYTES, check };
  return bytes.readMany ? { start: usualStart(entry), proof } : proved(bytes, proof);
}

/**
 * Where torch puts the data of an entry: behind header, name and a padding field, at the next multiple of 64.
 * @see caffe2/serialize/inline_container.cc, getPadding
 */
function usualStart({ name, headerOffset, byteLength }: ZipEntry): number {
  const wide = [byteLength, headerOffset].filter(value => value >= 0xffffffff).length;
  const field = 4 + (wide > 0 ? 4 + 8 * wide : 0);
  return alignUp(headerOffset + LOCAL_BYTES + new TextEncoder().encode(name).length + field, 64);
}
